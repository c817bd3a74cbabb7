"""The commands as processes of their own: what they print, how they end, and what they leave behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import websockets

from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
WAIT_S = 20.0


@contextmanager
def command(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A group of its own, as a terminal's foreground job has: Ctrl-C reaches all of it.
        process_group=0,
        **options,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The first line on standard output that fits."""
    assert process.stdout is not None
    for text in process.stdout:
        if found := re.search(pattern, text):
            return found
    _, errors = process.communicate()
    pytest.fail(f"ended with {process.returncode}:\n{errors}")


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_serves_a_market_of_its_own_and_ends_cleanly(number: signal.Signals) -> None:
    with command("demo", "--port", "0", "--symbols", "2", "--rate", "20") as process:
        address = line(process, r"http://127\.0\.0\.1:\d+")[0]
        async with websockets.connect(address.replace("http", "ws", 1) + "/v1/stream") as client:
            await client.send('{"op":"subscribe","channels":["ticker:BTCUSDT"]}')
            async with asyncio.timeout(WAIT_S):
                while json.loads(await client.recv())["op"] != "update":
                    pass
            os.killpg(process.pid, number)
            _, errors = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0
        assert "Traceback" not in errors
        assert [text for text in errors.splitlines() if " error " in text] == []
        # The embedded server went with it.
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)


def test_a_port_in_use_is_said_before_anything_is_started() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name in ("demo", "live"):
            with command(name, "--port", str(port)) as process:
                output, errors = process.communicate(timeout=WAIT_S)
            assert process.returncode == 1
            assert errors == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
            assert output == ""


def test_simulate_fills_a_redis_that_serve_then_serves() -> None:
    with EmbeddedServer() as server:
        options = ("--symbols", "2", "--intervals", "1m,1h", "--extended")
        with command("simulate", "--redis", server.url, *options) as simulator:
            with command("serve", "--redis", server.url, "--port", "0") as gateway:
                address = line(gateway, r"http://\S+")[0]
                client = redis.Redis.from_url(server.url)
                with client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
                    pubsub.psubscribe("ticker:*")
                    while (message := pubsub.get_message(timeout=WAIT_S))["type"] != "pmessage":
                        pass
                ticker = json.loads(message["data"])
                assert ticker["s"] in {"BTCUSDT", "ETHUSDT"}
                assert float(ticker["b"]) < float(ticker["a"])
                answer = fetch(f"{address}/v1/klines?symbol=BTCUSDT&interval=1m&limit=3")
                assert len(answer["klines"]) == 3
                client.close()
                gateway.terminate()
                gateway.communicate(timeout=WAIT_S)
                assert gateway.returncode == 0
            simulator.terminate()
            simulator.communicate(timeout=WAIT_S)
            assert simulator.returncode == 0


async def until_ready(address: str) -> Any:
    """What `/readyz` says once it is 200."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with suppress(urllib.error.HTTPError):
                return fetch(f"{address}/readyz")
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("mode", "options", "settings"),
    [("poll", ("--no-publish",), ""), ("streams", ("--streams", "--format", "ccxt"), 'format = "ccxt"')],
)
@pytest.mark.varied
async def test_simulate_may_write_keys_only_or_streams_and_serve_may_read_them(
    tmp_path: Path, mode: str, options: tuple[str, ...], settings: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[feed]\nmode = "{mode}"\n{settings}\n')
    with EmbeddedServer() as server:
        simulated = ("--redis", server.url, "--symbols", "2", "--rate", "20", *options)
        with (
            command("simulate", *simulated),
            command("serve", "--redis", server.url, "--port", "0", "--config", str(path)) as gateway,
            redis.Redis.from_url(server.url) as link,
        ):
            address = line(gateway, r"http://\S+")[0]
            async with websockets.connect(address.replace("http", "ws", 1) + "/v1/stream") as client:
                await client.send('{"op":"subscribe","channels":["ticker:BTCUSDT"]}')
                async with asyncio.timeout(WAIT_S):
                    while json.loads(await client.recv())["op"] != "update":
                        pass
            stats: Any = link.info("commandstats")
            assert "cmdstat_publish" not in stats
            # Updates may come before all that is stored has been read.
            assert (await until_ready(address))["feed"] == mode


def test_serve_starts_and_ends_without_redis() -> None:
    with command("serve", "--redis", "redis://127.0.0.1:1", "--port", "0") as process:
        address = line(process, r"http://\S+")[0]
        with urllib.request.urlopen(f"{address}/healthz", timeout=WAIT_S) as answer:
            assert answer.status == 200
        process.terminate()
        process.communicate(timeout=WAIT_S)
        assert process.returncode == 0


def test_a_port_in_use_is_reported_in_a_sentence() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        with command("serve", "--port", str(taken.getsockname()[1])) as process:
            _, errors = process.communicate(timeout=WAIT_S)
        assert process.returncode == 1
        assert "ddress already in use" in errors
        assert "Traceback" not in errors


def test_wrong_settings_are_reported_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text("[server]\nprot = 1\n")
    with command("serve", "--config", str(path)) as process:
        _, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, errors) == (2, f"Error: {path}: server.prot: no such key; did you mean 'port'?\n")
