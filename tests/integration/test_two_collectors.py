"""Two collectors of one exchange and one Redis: whatever ends the one that writes, no kline is missing or doubled."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from simulator.server import EmbeddedServer
from tests.integration.running import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx

WAIT_S = 40.0
SYMBOL = "BTCUSDT"
LEASE_KEY = "collector:lease"


class Collectors:
    """Processes of `gateway collect --ha`, and what a subscriber of their Redis hears."""

    def __init__(self, redis: Redis, redis_url: str, exchange_url: str) -> None:
        self.redis = redis
        self.closed: list[dict[str, Any]] = []
        """Klines as published, in order."""
        self.tickers = 0
        self._urls = (redis_url, exchange_url)
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> asyncio.subprocess.Process:
        redis_url, exchange_url = self._urls
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "collect", "--ha", "--redis", redis_url, "--symbols", SYMBOL),
            *("--intervals", "1m", "--rest-url", exchange_url, "--stream-url", exchange_url.replace("http", "ws")),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    async def holder(self) -> asyncio.subprocess.Process | None:
        """The process that holds the lease."""
        value = str(await self.redis.get(LEASE_KEY))
        return next((process for process in self._processes if f":{process.pid}:" in value), None)

    async def holds(self, process: asyncio.subprocess.Process) -> bool:
        return await self.holder() is process

    async def listen(self) -> None:
        async with self.redis.pubsub() as subscription:
            await subscription.subscribe(f"klines:{SYMBOL}:1m", f"ticker:{SYMBOL}")
            async for message in subscription.listen():
                if message["type"] != "message":
                    continue
                if message["channel"].startswith(b"ticker"):
                    self.tickers += 1
                elif (kline := json.loads(message["data"])["k"])["x"]:
                    self.closed.append(kline)

    async def end(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                await process.wait()


async def until(holds: Callable[[], Awaitable[object]], what: str, within_s: float = WAIT_S) -> float:
    """Wait; returns how long it took."""
    started_s = time.monotonic()
    while not await holds():
        assert time.monotonic() - started_s < within_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.02)
    return time.monotonic() - started_s


@asynccontextmanager
async def collectors() -> AsyncIterator[tuple[Collectors, httpx.AsyncClient]]:
    async with (
        running() as exchange,
        EmbeddedServer() as server,
        Redis.from_url(server.url, socket_timeout=None) as redis,
    ):
        address = str(exchange.http.base_url).rstrip("/")
        made = Collectors(redis, server.url, address)
        listening = asyncio.create_task(made.listen())
        try:
            yield made, exchange.http
        finally:
            listening.cancel()
            await made.end()


@pytest.mark.early
@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    "ends", ["killed", *(pytest.param(name, marks=pytest.mark.long) for name in ("frozen", "terminated"))]
)
async def test_the_standby_takes_over_and_no_kline_is_missing_or_doubled(ends: str) -> None:
    async with collectors() as (both, exchange):
        first = await both.start()
        await until(lambda: both.holds(first), "the first one writes")
        second = await both.start()

        async def stored() -> int:
            return int(await both.redis.zcard(f"klines:{SYMBOL}:1m"))

        async def has_history() -> bool:
            return await stored() >= 500

        await until(has_history, "the history")
        # The standby has begun to follow; it must not have the lease.
        await asyncio.sleep(3)
        assert await both.holds(first)
        number = {"killed": signal.SIGKILL, "frozen": signal.SIGSTOP, "terminated": signal.SIGTERM}[ends]
        # Around a close, which is where a hole could be.
        await asyncio.sleep((57.0 - time.time()) % 60)
        first.send_signal(number)
        if ends == "terminated":
            await first.wait()
            # It has given the lease back: nobody waits for the end of its time.
            assert not await both.holds(first)
        await until(lambda: both.holds(second), "the second one writes")
        before = both.tickers
        await until(lambda: _true(both.tickers > before), "its prices")
        if ends == "frozen":
            first.send_signal(signal.SIGCONT)
            await asyncio.sleep(3)
            assert await both.holds(second)
            first.send_signal(signal.SIGTERM)

        async def closed_since() -> bool:
            return bool(both.closed)

        await until(closed_since, "the close", 70)
        await asyncio.sleep(2)
        # What a subscriber hears: each kline once, in order.
        heard = [kline["t"] for kline in both.closed]
        assert heard == sorted(set(heard))
        # What is stored: each kline once, none missing, as the exchange has them.
        members: Any = await both.redis.zrange(f"klines:{SYMBOL}:1m", 0, -1)
        opened = [json.loads(member)["t"] for member in members]
        assert [time_ms for time_ms, count in Counter(opened).items() if count > 1] == []
        assert opened == list(range(opened[0], opened[-1] + 1, 60_000))
        assert heard[-1] == opened[-1]
        answer = await exchange.get("/api/v3/klines", params={"symbol": SYMBOL, "interval": "1m", "limit": "20"})
        exact = {row[0]: row[1:6] for row in answer.json()}
        for member in members[-5:]:
            kline = json.loads(member)
            assert [kline[name] for name in "ohlcv"] == exact[kline["t"]]


async def _true(value: bool) -> bool:
    return value
