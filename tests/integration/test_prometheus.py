"""What operators look at: a real Prometheus draws every curve of the dashboard, and each alert comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from websockets.asyncio.client import connect

from gateway.market import gaps
from gateway.model.interval import DAY_MS
from gateway.runtime import gap_watch
from loadtest.processes import family
from loadtest.protocol.websocket import handshake
from tests.integration.live import client, make_config, process, serving
from tests.integration.prometheus import DEPLOY, WAIT_S, alert_names, dashboard_queries, program, prometheus
from tests.integration.raw import peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving
    from tests.integration.prometheus import Prometheus

SYMBOLS = [f"SYM{number:02}USDT" for number in range(40)]
TICKERS = [f"ticker:{symbol}" for symbol in SYMBOLS]
BARS = f"kline:{SYMBOLS[0]}:1s"
BUDGET_BYTES = 4096
CLIENTS = 6


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def bar(symbol: str, interval: str, open_ms: int, length_ms: int) -> dict[str, Any]:
    """A closed kline as collectors write it."""
    figures = dict.fromkeys(("o", "h", "l", "c"), "1.5") | {"v": "2", "q": "3", "n": 4}
    return {"t": open_ms, "T": open_ms + length_ms - 1, "s": symbol, "i": interval, "x": True, **figures}


class Collector:
    """Prices ten times a second, bars of a second for one symbol, in the present; it can fall silent."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.redis = Redis.from_url(server.url)
        self.silent = False
        self.prices = True
        self.garbled: tuple[str, ...] = ()
        """Payloads that go out besides, on the first ticker's channel."""
        self.foreign = False
        """Whether messages go out besides on a channel that the settings do not admit."""
        self._price = 0
        self._next_ms = (now_ms() // 1000 - 5) * 1000

    async def run(self) -> None:
        while True:
            if not self.silent:
                # The server is away at times.
                with contextlib.suppress(RedisError, OSError):
                    await self.step()
            await asyncio.sleep(0.1)

    async def step(self) -> None:
        self._price += 1
        async with self.redis.pipeline(transaction=False) as pipe:
            if self.foreign:
                pipe.publish("ticker:no symbol", "{}")
            for payload in self.garbled:
                pipe.publish(f"ticker:{SYMBOLS[0]}", payload)
            for symbol in SYMBOLS if self.prices else ():
                price = {"s": symbol, "c": str(self._price), **dict.fromkeys("ohlvq", "1")}
                pipe.set(f"ticker:{symbol}", json.dumps(price))
                pipe.publish(f"ticker:{symbol}", json.dumps({"e": "24hrMiniTicker", "E": now_ms(), **price}))
            while self._next_ms + 1000 <= now_ms():
                self._bar(pipe, bar(SYMBOLS[0], "1s", self._next_ms, 1000))
                self._next_ms += 1000
            await pipe.execute()

    async def days(self, *ago: int, reported: bool = False) -> None:
        today_ms = now_ms() // DAY_MS * DAY_MS
        async with self.redis.pipeline(transaction=False) as pipe:
            for days in ago:
                self._bar(pipe, bar(SYMBOLS[1], "1d", today_ms - days * DAY_MS, DAY_MS), reported=reported)
            await pipe.execute()

    def _bar(self, pipe: Any, news: dict[str, Any], *, reported: bool = True) -> None:
        name, text = f"klines:{news['s']}:{news['i']}", json.dumps(news)
        pipe.zadd(name, {text: news["T"]})
        if reported:
            pipe.publish(name, json.dumps({"e": "kline", "E": now_ms(), "s": news["s"], "k": news}))


class Reader:
    """Asks over HTTP, again and again: for what is kept, and where `misses`, for what is not."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.misses = False

    async def run(self) -> None:
        functions = {"symbol": SYMBOLS[0], "timeframe": "1s", "limit": 5}
        while True:
            await self.http.post("/functions/v1/get-klines", json=functions)
            await self.http.get("/api/v3/ping")
            await self.http.get("/udf/time")
            if self.misses:
                for symbol in SYMBOLS[2:12]:
                    await self.http.get(f"/v1/klines?symbol={symbol}&interval=1d")
            await asyncio.sleep(0.1)


@asynccontextmanager
async def going(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def stalled(up: Serving, count: int) -> AsyncIterator[None]:
    """Clients that ask for everything and read nothing."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            silent = await stack.enter_async_context(peer(up.port, handshake("x", "/v1/stream"), receive_buffer=4096))
            silent.command(op="subscribe", channels=[BARS, *TICKERS], id=1)
        yield


@asynccontextmanager
async def busy() -> AsyncIterator[None]:
    """Something keeps the event loop."""

    async def hog() -> None:
        while True:
            time.sleep(0.05)  # noqa: ASYNC251 - what must not happen in a gateway
            await asyncio.sleep(0.001)

    async with going(hog()):
        yield


async def seldom_things(up: Serving, collector: Collector) -> None:
    """One of each event that some curve counts."""
    await collector.redis.publish(f"ticker:{SYMBOLS[0]}", "{")
    async with connect(f"ws://127.0.0.1:{up.port}/v1/stream", proxy=None) as odd:
        await odd.send('{"op":"nonsense"}')
        await odd.recv()
    async with peer(up.port, handshake("x", "/v1/stream")) as rude:
        rude.writer.write(b"\xff\xff")
        await rude.rest()
    async with httpx.AsyncClient(base_url=up.address, trust_env=False) as http:
        upgrade = dict(line.split(": ", 1) for line in handshake("x").decode().split("\r\n")[1:] if line)
        refused = await http.get("/v1/stream", headers=upgrade | {"origin": "https://elsewhere.example"})
        assert refused.status_code == 403
        assert (await http.get("/v1/ticker?symbol=%20")).status_code == 400


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gap_watch, "PERIOD_S", 0.1)
    monkeypatch.setattr(gaps, "WAITS_MS", (100,) * 1000)


@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "rules.test.yml"),
        ("test", "rules", "collector_rules.test.yml"),
    ],
    ids=lambda it: it[-1],
)
def test_promtool_accepts_rules_and_configuration(command: tuple[str, ...]) -> None:
    result = subprocess.run(
        [program("promtool"), *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 0, result.stdout + result.stderr


@dataclass
class World:
    """A gateway with clients, a collector, a reader, and the Prometheus that watches it."""

    up: Serving
    collector: Collector
    reader: Reader
    watching: Prometheus


@asynccontextmanager
async def watched(redis_server: EmbeddedServer, folder: Path) -> AsyncIterator[World]:
    program("prometheus")
    small = dict.fromkeys(("budget_bytes", "send_buffer_bytes", "unsent_bytes"), BUDGET_BYTES)
    config = make_config(
        redis_server,
        redis={"command_timeout_s": 1.5},
        market={"intervals": ("1s", "1d"), "stale_after_s": 1.0, "symbol_stale_after_s": 1.0, "close_grace_ms": 100},
        history={"klines_ttl_s": 0.5},
        stream={"slow_abort_s": 60.0, **small},
        limits={"exempt": ("127.0.0.1",)},
    )
    collector = Collector(redis_server)
    await collector.step()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(going(collector.run()))
        up = await stack.enter_async_context(serving(config))
        asking = httpx.AsyncClient(base_url=up.address, trust_env=False, timeout=WAIT_S)
        reader = Reader(await stack.enter_async_context(asking))
        await stack.enter_async_context(going(reader.run()))
        for _ in range(CLIENTS):
            someone = await stack.enter_async_context(client(up))
            await someone.subscribe(BARS, *TICKERS)
        watching = await stack.enter_async_context(prometheus(folder, up.port))
        yield World(up, collector, reader, watching)


# Which test sees which alert: together they see all of them.
OF_SILENCE = {"GatewayDataGap", "GatewayFeedSilent", "GatewayStaleSymbols", "GatewayLaneStale"}
OF_MESSAGES = {"GatewayFeedErrors", "GatewayImplausibleTimes", "GatewayRefusedChannels"}
OF_LOAD = {"GatewayCacheMisses", "GatewaySlowClients", "GatewayFlushOverrun"}
OF_REDIS = {"GatewayHistorySlow", "GatewayRedisLost", "GatewayErrors"}
OF_ARCHIVE = {"GatewayArchiveUnwritten", "GatewayArchiveFails"}
OF_PROCESSES = {"GatewayDown", "GatewayWorkerAway"}
# They take hours to come true: `promtool test rules` sees them.
OF_RULES = {"GatewayArchiveBehind", "GatewayArchiveHole"}


def test_no_alert_is_without_a_test() -> None:
    tested = (DEPLOY / "prometheus/rules.test.yml").read_text()
    assert all(name in tested for name in OF_RULES)
    assert alert_names() == OF_SILENCE | OF_MESSAGES | OF_LOAD | OF_REDIS | OF_ARCHIVE | OF_PROCESSES | OF_RULES


async def test_every_panel_has_data(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    async with watched(redis_server, tmp_path) as world, stalled(world.up, 2):
        await seldom_things(world.up, world.collector)
        await each_has_data(world.watching)


async def test_data_that_stops_alerts_until_it_is_back(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    async with watched(redis_server, tmp_path) as world:
        collector, watching = world.collector, world.watching
        await until_well(watching)
        await collector.days(4, 3, 1, reported=True)
        await watching.until_firing("GatewayDataGap")
        await collector.days(2)
        await watching.until_clear("GatewayDataGap")

        collector.silent = True
        await watching.until_firing("GatewayFeedSilent")
        await watching.until_firing("GatewayStaleSymbols")
        collector.silent = False
        await watching.until_clear("GatewayFeedSilent")
        await watching.until_clear("GatewayStaleSymbols")

        collector.prices = False
        await watching.until_firing("GatewayLaneStale")
        collector.prices = True
        await watching.until_clear("GatewayLaneStale")
        assert watching.seen == OF_SILENCE


@pytest.mark.long
async def test_messages_that_cannot_be_used_alert_until_they_end(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    async with watched(redis_server, tmp_path) as world:
        collector, watching = world.collector, world.watching
        await until_well(watching)
        collector.garbled = ("{", "[]")
        await watching.until_firing("GatewayFeedErrors")
        assert "GatewayImplausibleTimes" not in await watching.firing()
        collector.garbled = (json.dumps({"c": "1", "E": 17}),)
        await watching.until_firing("GatewayImplausibleTimes")
        collector.garbled = ()
        await watching.until_clear("GatewayFeedErrors")
        await watching.until_clear("GatewayImplausibleTimes")

        collector.foreign = True
        await watching.until_firing("GatewayRefusedChannels")
        collector.foreign = False
        await watching.until_clear("GatewayRefusedChannels")
        assert watching.seen == OF_MESSAGES


@pytest.mark.long
async def test_load_alerts_until_it_ends(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    async with watched(redis_server, tmp_path) as world:
        reader, watching = world.reader, world.watching
        await until_well(watching)
        reader.misses = True
        await watching.until_firing("GatewayCacheMisses")
        reader.misses = False
        await watching.until_clear("GatewayCacheMisses")

        async with stalled(world.up, CLIENTS):
            await watching.until_firing("GatewaySlowClients")
        await watching.until_clear("GatewaySlowClients")

        async with busy():
            await watching.until_firing("GatewayFlushOverrun")
        await watching.until_clear("GatewayFlushOverrun")
        assert watching.seen == OF_LOAD


@pytest.mark.long
async def test_a_redis_that_hangs_or_dies_alerts_until_it_is_back(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    async with watched(redis_server, tmp_path) as world:
        reader, watching = world.reader, world.watching
        await until_well(watching)
        redis_server.freeze()
        await watching.until_firing("GatewayHistorySlow")
        redis_server.thaw()
        await watching.until_clear("GatewayHistorySlow")

        redis_server.kill()
        reader.misses = True
        await watching.until_firing("GatewayRedisLost")
        await watching.until_firing("GatewayErrors")
        reader.misses = False
        redis_server.start()
        await watching.until_clear("GatewayRedisLost")
        await watching.until_clear("GatewayErrors")
        assert watching.seen == OF_REDIS


@pytest.mark.long
async def test_an_archive_that_cannot_be_used_alerts(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    program("prometheus")
    (folder := tmp_path / "archive").mkdir()
    config = make_config(redis_server, archive={"path": str(folder / "missing" / "archive.db")})
    async with serving(config, ready=False) as up, prometheus(tmp_path, up.port) as watching:
        await watching.until_firing("GatewayArchiveUnwritten")
        await watching.until_firing("GatewayArchiveFails")
        (folder / "missing").mkdir()
        await watching.until_clear("GatewayArchiveUnwritten")
        await watching.until_clear("GatewayArchiveFails")


@pytest.mark.long
async def test_a_gateway_that_does_not_answer_is_down(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    program("prometheus")
    async with process(make_config(redis_server), ready=False) as up, prometheus(tmp_path, up.port) as watching:
        assert up.process is not None
        up.process.send_signal(signal.SIGSTOP)
        await watching.until_firing("GatewayDown")
        up.process.send_signal(signal.SIGCONT)
        await watching.until_clear("GatewayDown")


@pytest.mark.alone
async def test_a_worker_that_ends_alerts_until_it_is_replaced(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    program("prometheus")
    config = make_config(redis_server, server={"workers": 2})
    async with process(config, ready=False) as up, prometheus(tmp_path, up.port) as watching:
        assert up.process is not None
        await until_known(watching, "gateway_workers_up", 2)
        _, first, spared = family(up.process.pid)
        async with going(killed_again_and_again(up.process.pid, spared)):
            await watching.until_firing("GatewayWorkerAway")
        await watching.until_clear("GatewayWorkerAway")
        await until_known(watching, "gateway_workers_up", 2)
        assert first not in family(up.process.pid)


async def killed_again_and_again(supervisor: int, spared: int) -> None:
    while True:
        for worker in family(supervisor)[1:]:
            if worker != spared:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
        # Not in step with the scrapes: each would meet a worker that is about to be killed.
        await asyncio.sleep(random.uniform(0.1, 0.6))


async def until_known(watching: Prometheus, query: str, value: float) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while (found := await watching.query(query)) != [value]:
        assert time.monotonic() < deadline_s, found
        await asyncio.sleep(0.1)


async def each_has_data(watching: Prometheus) -> None:
    missing = dashboard_queries()
    deadline_s = time.monotonic() + WAIT_S
    while missing := [(title, query) for title, query in missing if not await watching.query(query)]:
        assert time.monotonic() < deadline_s, missing
        await asyncio.sleep(0.1)


async def until_well(watching: Prometheus) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while firing := await watching.firing():
        assert time.monotonic() < deadline_s, firing
        await asyncio.sleep(0.1)
