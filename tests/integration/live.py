"""A gateway whose feed is the test's own: a publisher of a few lines, a gateway in this process or in one of its own,
and clients that fold what they hear (`tests/fakes.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx
from redis.asyncio import Redis, RedisCluster
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from collector.encode import kline_event, kline_member, ticker_event, ticker_value
from gateway.app import Gateway
from gateway.config import load_config
from gateway.protocol.native import SUBPROTOCOL
from tests.builders import MINUTE_MS, T0, kline, ticker
from tests.fakes import Folder, View, parsed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from websockets.asyncio.client import ClientConnection

    from gateway.config import Config
    from simulator.server import EmbeddedServer

WAIT_S = 20.0
"""Longest a test waits for something that takes a fraction of a second on an idle machine."""

SYMBOL = "BTCUSDT"
BARS = f"kline:{SYMBOL}:1m"
PRICE = f"ticker:{SYMBOL}"
PRICES = "100 110 90 105"

SETTINGS: dict[str, dict[str, Any]] = {
    "redis": {"retry_s": (0.05,), "connect_timeout_s": 1.0, "command_timeout_s": 1.0},
    "market": {"intervals": ("1m",), "unknown_after_s": 0.0},
    "stream": {"flush_max_ms": 20},
    "server": {"shutdown_s": 3.0},
}


def make_config(server: EmbeddedServer, /, **sections: dict[str, Any]) -> Config:
    """Settings with short waits; `stream={"closed_log": 4}` overrides."""
    given = {name: SETTINGS.get(name, {}) | sections.get(name, {}) for name in SETTINGS | sections}
    given["redis"] = {"url": server.url} | given["redis"]
    return load_config(None, {}, given)


async def until(holds: Callable[[], object], what: str = "it") -> None:
    """Wait for something that tells nobody when it comes true."""
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, f"{what} did not happen within {WAIT_S:g} s"
        await asyncio.sleep(0.005)


class Publisher:
    """A collector: it stores before it publishes. Its bars are numbered from `T0`; its prices are older than those, so
    that they leave the bars alone; when they were written is not said, so that nobody takes them for stale."""

    def __init__(
        self,
        server: EmbeddedServer,
        redis: Redis | RedisCluster | None = None,
        *,
        shard: bool = False,
        publishes: bool = True,
    ) -> None:
        """`redis`: a client for more than one server. `shard`: publish to a cluster's shards. `publishes` off: write
        keys only."""
        self._redis: Any = redis or Redis.from_url(server.url)
        self._publish = self._redis.spublish if shard else self._redis.publish
        self._publishes = publishes
        self.seen_ms = T0 - 60 * MINUTE_MS

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._redis.aclose()

    async def ticker(self, last: str, symbol: str = SYMBOL, *, updated: bool = False) -> None:
        """`updated`: the key that says when is written too. It says long ago, which makes a stored price an old one."""
        self.seen_ms += 1
        figures = dict.fromkeys(("open", "high", "low", "volume", "quote_volume", "change", "change_percent"), "1")
        news = ticker(last, symbol, trades=1, event_time_ms=self.seen_ms, **figures)
        if updated:
            # Before the price: whoever reads between the two must not find it without its time.
            await self._redis.set(f"ticker:{symbol}:lastUpdate", self.seen_ms)
        await self._redis.set(f"ticker:{symbol}", ticker_value(news))
        await self.publish(f"ticker:{symbol}", ticker_event(news))

    async def forming(self, number: int, prices: str = PRICES, **changes: Any) -> None:
        await self.publish(f"klines:{SYMBOL}:1m", kline_event(SYMBOL, "1m", kline(number, prices, **changes)))

    async def in_sync(self) -> None:
        """Wait until a replica has all that was written."""
        assert await self._redis.wait(1, 5000) >= 1

    async def closed(
        self, number: int, prices: str = PRICES, *, symbol: str = SYMBOL, reported: bool = True, **changes: Any
    ) -> None:
        """`reported` off: it is stored, and its message is lost."""
        news = kline(number, prices, closed=True, **changes)
        await self._redis.zadd(f"klines:{symbol}:1m", {kline_member(symbol, "1m", news): news.close_time_ms})
        if reported:
            await self.publish(f"klines:{symbol}:1m", kline_event(symbol, "1m", news))

    async def publish(self, channel: str, payload: str | bytes) -> None:
        if self._publishes:
            await self._publish(channel, payload)


@dataclass
class Serving:
    """A gateway that answers on `address` (http://…)."""

    address: str
    gateway: Gateway | None = None
    """Where it runs in the test's process."""
    process: asyncio.subprocess.Process | None = None

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def inside(self) -> Gateway:
        assert self.gateway is not None
        return self.gateway

    async def get(self, path: str, *, unit: str | None = None) -> httpx.Response:
        """`unit`: the time unit that Binance's clients ask for."""
        headers = {} if unit is None else {"x-mbx-time-unit": unit}
        async with httpx.AsyncClient(base_url=self.address, timeout=WAIT_S, trust_env=False, headers=headers) as http:
            return await http.get(path)

    async def ready(self, wanted: int = 200) -> httpx.Response:
        """Ask until it says that it is ready for clients (or, with 503, that it is not)."""
        return await self._probe("/readyz", wanted)

    async def fresh(self, wanted: int = 200) -> httpx.Response:
        """Ask until it says that its data is fresh (or, with 503, that it is not)."""
        return await self._probe("/v1/health/data", wanted)

    async def _probe(self, path: str, wanted: int) -> httpx.Response:
        deadline_s = time.monotonic() + WAIT_S
        while (answer := await self.get(path)).status_code != wanted:
            assert time.monotonic() < deadline_s, answer.text
            await asyncio.sleep(0.02)
        return answer

    async def metric(self, name: str) -> float:
        """A metric's value, labels and all in the name; 0 where there is none yet. Of a gateway in this process it is
        the value of this moment; `/metrics` repeats its answer for a second."""
        text = self.gateway.metrics.render().decode() if self.gateway else (await self.get("/metrics")).text
        lines = text.splitlines()
        return float(next((line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == name), 0))


@asynccontextmanager
async def serving(config: Config, *, ready: bool = True) -> AsyncIterator[Serving]:
    """A gateway in the test's process; ends with the block."""
    gateway = Gateway(config)
    up = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        running = asyncio.create_task(gateway.run(listening, up.set))
        try:
            await asyncio.wait_for(up.wait(), WAIT_S)
            found = Serving(f"http://127.0.0.1:{listening.getsockname()[1]}", gateway)
            if ready:
                await found.fresh()
                # What was read at the start is news of the next beat: who is there by then gets it again.
                beat = gateway.hub.flush_number
                await until(lambda: gateway.hub.flush_number > beat + 1, "a beat")
            yield found
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            # uvicorn was cancelled, not shut down: its listener would take the connections of the next socket that
            # gets this one's number.
            asyncio.get_running_loop().remove_reader(listening.fileno())


@asynccontextmanager
async def process(
    config: Config, *, ready: bool = True, log: Path | None = None, port: int = 0
) -> AsyncIterator[Serving]:
    """A gateway in a process of its own, as it is installed: uvloop, signals, standard output; its log into a file."""
    sections = {name: getattr(config, name) for name in ("redis", "market", "stream", "server", "tokens", "log")}
    keys = (
        *(
            "url",
            "retry_s",
            "intervals",
            "flush_max_ms",
            "shutdown_s",
            "heartbeat_s",
            "closed_log",
            "stale_after_s",
            "workers",
        ),
        *("level", "required", "jwt_algorithm", "jwt_secret", "audience", "api_keys"),
        *("tls_ca", "tls_cert", "tls_key", "cluster", "cluster_pubsub"),
    )
    settings = {
        f"GATEWAY_{name.upper()}__{key.upper()}": _text(getattr(section, key))
        for name, section in sections.items()
        for key in keys
        if hasattr(section, key)
    }
    errors = None if log is None else log.open("wb")
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "serve",
        "--port",
        str(port),
        env={**os.environ, **settings, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if errors is None else errors,
    )
    if errors is not None:
        errors.close()
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), WAIT_S)
        address = next(word for word in line.decode().split() if word.startswith("http"))
        found = Serving(address, process=child)
        if ready:
            await found.fresh()
        yield found
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass
class Client:
    """A client of the native protocol on one connection; what it holds outlives that."""

    socket: ClientConnection
    folder: Folder
    hello: dict[str, Any]
    received: list[Any] = field(default_factory=list)
    """Every message since the last `clear`."""
    _reading: asyncio.Task[None] | None = None
    _next_id: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its reply."""
        self._next_id += 1
        id = f"ask-{self._next_id}"
        await self.say({"op": op, "id": id, **fields})
        return await self.reply(id)

    async def say(self, command: object) -> None:
        await self.socket.send(command if isinstance(command, str | bytes) else json.dumps(command))

    async def reply(self, id: str) -> dict[str, Any]:
        await self.until(lambda: self._reply(id))
        found = self._reply(id)
        assert found is not None
        return found

    async def subscribe(self, *channels: str, **fields: Any) -> dict[str, Any]:
        """Subscribe, and wait for the snapshots of what was accepted."""
        answer = await self.ask("subscribe", channels=list(channels), **fields)
        accepted = [name for name, result in answer["channels"].items() if "n" in result]
        await self.until(lambda: all(self.folder.views[name].live for name in accepted))
        return answer

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until the messages so far make it true."""
        async with asyncio.timeout(WAIT_S):
            while not holds():
                assert self._reading is not None
                if self._reading.done():
                    self._reading.result()
                    raise AssertionError(f"closed: {self.socket.close_code} {self.socket.close_reason}")
                self._news.clear()
                await self._news.wait()

    async def closed(self) -> int | None:
        """Wait for the end of the connection; returns its code."""
        async with asyncio.timeout(WAIT_S):
            await self.socket.wait_closed()
        return self.socket.close_code

    def view(self, channel: str) -> View:
        return self.folder.views[channel]

    def said(self, op: str) -> list[dict[str, Any]]:
        """The messages of a kind since the last `clear`."""
        return [message for message in self.received if isinstance(message, dict) and message["op"] == op]

    def clear(self) -> None:
        self.received.clear()

    def _reply(self, id: str) -> dict[str, Any] | None:
        return next((message for message in self.folder.replies if message.get("id") == id), None)

    async def read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self.socket:
                message = parsed(text)
                self.received.append(message)
                self.folder.hear(message)
                self._news.set()
        self._news.set()


@asynccontextmanager
async def client(
    serving: Serving,
    folder: Folder | None = None,
    *,
    path: str = "/v1/stream",
    subprotocol: str | None = SUBPROTOCOL,
    **options: Any,
) -> AsyncIterator[Client]:
    """A connection; with `folder` one of somebody who was here before."""
    folder = folder or Folder()
    folder.connected()
    options.setdefault("compression", None)
    protocols: Any = [subprotocol] if subprotocol else None
    address = serving.address.replace("http", "ws") + path
    async with connect(address, subprotocols=protocols, proxy=None, **options) as socket:
        found = Client(socket, folder, parsed(await asyncio.wait_for(socket.recv(), WAIT_S)))
        found._reading = asyncio.create_task(found.read())
        try:
            yield found
        finally:
            await socket.close()
            await found._reading
