"""SIGHUP: what can change changes under clients that stay, the rest is named, and a broken file changes nothing."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.integration.live import PRICE, WAIT_S, Publisher, Serving, client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.server import EmbeddedServer


@asynccontextmanager
async def served(file: Path) -> AsyncIterator[Serving]:
    """`gateway serve` as it is installed, with its settings in a file."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "gateway", "serve", "--config", str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), WAIT_S)
        found = Serving(line.decode().split()[-1], process=child)
        await found.fresh()
        yield found
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def said(serving: Serving, what: str) -> str:
    """Read the log until a line has it."""
    assert serving.process is not None
    assert serving.process.stderr is not None
    async with asyncio.timeout(WAIT_S):
        while what not in (line := (await serving.process.stderr.readline()).decode()):
            assert line, f"the log ended without {what!r}"
    return line


def settings(server: EmbeddedServer, **keys: str) -> str:
    text = f'[server]\nport = 0\n[redis]\nurl = "{server.url}"\nretry_s = [0.05]\n[market]\nintervals = ["1m"]\n'
    return text + "".join(f"[{name}]\n{body}\n" for name, body in keys.items())


def write(file: Path, text: str) -> None:
    file.write_text(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


async def test_limits_and_origins_change_while_clients_stay(
    redis_server: EmbeddedServer, publisher: Publisher, file: Path
) -> None:
    await publisher.ticker("1")
    write(file, settings(redis_server))
    async with served(file) as up, client(up) as someone:
        await someone.subscribe(PRICE)
        write(file, settings(redis_server, stream="max_subscriptions = 1", http='cors_origins = ["https://a.example"]'))
        assert up.process is not None
        up.process.send_signal(signal.SIGHUP)
        assert "http.cors_origins, stream.max_subscriptions" in ", ".join(
            sorted((await said(up, "settings read again")).strip().rpartition("changed: ")[2].split(", "))
        )
        refused = await someone.ask("subscribe", channels=["ticker:ETHUSDT", "kline:BTCUSDT:1m"])
        assert refused["channels"]["kline:BTCUSDT:1m"]["error"]["code"] == "TOO_MANY_SUBSCRIPTIONS"
        async with httpx.AsyncClient(base_url=up.address, trust_env=False) as http:
            for origin, allowed in (("https://a.example", "https://a.example"), ("https://b.example", None)):
                answer = await http.get("/v1/symbols", headers={"Origin": origin})
                assert answer.headers.get("access-control-allow-origin") == allowed
        await publisher.ticker("2")
        await someone.until(lambda: (someone.view(PRICE).ticker or {})["c"] == "2")


async def test_a_feed_counts_as_silent_by_the_new_limit(
    redis_server: EmbeddedServer, publisher: Publisher, file: Path
) -> None:
    await publisher.ticker("1")
    write(file, settings(redis_server))
    async with served(file) as up, client(up) as someone:
        await someone.subscribe(PRICE)
        write(file, settings(redis_server).replace("[market]\n", "[market]\nstale_after_s = 0.2\n"))
        assert up.process is not None
        up.process.send_signal(signal.SIGHUP)
        await someone.until(lambda: someone.view(PRICE).state == "stale")


@pytest.mark.parametrize(
    ("broken", "why"),
    [("[stream", "not valid TOML"), ("[stream]\nflush_max_ms = 0\n", "stream.flush_max_ms"), ("[dream]\n", "dream")],
    ids=["no TOML", "impossible value", "unknown section"],
)
async def test_a_broken_file_changes_nothing_and_is_logged(
    redis_server: EmbeddedServer, publisher: Publisher, file: Path, broken: str, why: str
) -> None:
    await publisher.ticker("1")
    write(file, settings(redis_server))
    async with served(file) as up, client(up) as someone:
        await someone.subscribe(PRICE)
        write(file, broken)
        assert up.process is not None
        up.process.send_signal(signal.SIGHUP)
        assert why in await said(up, "nothing has changed")
        await publisher.ticker("2")
        await someone.until(lambda: (someone.view(PRICE).ticker or {})["c"] == "2")


async def test_keys_that_need_a_restart_are_named_and_unchanged(
    redis_server: EmbeddedServer, publisher: Publisher, file: Path
) -> None:
    await publisher.ticker("1")
    write(file, settings(redis_server))
    async with served(file) as up, client(up) as someone:
        write(file, settings(redis_server, stream="flush_max_ms = 500"))
        assert up.process is not None
        up.process.send_signal(signal.SIGHUP)
        assert (await said(up, "need a restart")).strip().endswith(": stream.flush_max_ms")
        assert someone.hello["interval_ms"] == "60"
        async with client(up) as another:
            assert another.hello["interval_ms"] == "60"
