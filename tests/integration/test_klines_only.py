"""A collector that writes closed klines only, or klines only: no tickers. Everything that a user sees, in each mode.

Its shortest interval is a second here, and `stale_after_s` as much shorter: between two closes there is silence for
longer than data may be old.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from collector.encode import kline_event, kline_member
from gateway.feed.discovery import DISCOVER_S
from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline
from simulator.server import EmbeddedServer
from tests.integration.live import SYMBOL, WAIT_S, client, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.config import Config
    from tests.integration.live import Serving

MODES = ("pubsub", *(pytest.param(mode, marks=pytest.mark.long) for mode in ("poll", "keyspace", "auto")))
STALE_S = 0.3
SECONDS = 150
"""Of the past, that the collector has stored."""


def second(open_time_ms: int) -> Kline:
    """The kline of a second, whose figures depend on it."""
    number = open_time_ms // 1000 % 1009
    return Kline(
        open_time_ms,
        open_time_ms + 999,
        f"{1000 + number}.10",
        f"{1010 + number + number * 7 % 53}.5",
        f"{900 + number - number * 5 % 47}.25",
        f"{1001 + number}.20",
        f"{number % 97}.125",
        f"{number % 89}.0625",
        number % 7 + 1,
        f"{number % 13}.5",
        f"{number % 11}.25",
        closed=True,
    )


def seconds(from_ms: int, until_ms: int) -> list[Kline]:
    return [second(at) for at in range(from_ms, until_ms, 1000)]


class Collector:
    """Writes each second and each minute once it has closed, and publishes it where `publishes`."""

    def __init__(self, server: EmbeddedServer, *, publishes: bool) -> None:
        self.redis: Any = Redis.from_url(server.url)
        self._publishes = publishes
        self.start_ms = (int(time.time()) - SECONDS) * 1000
        self.next_ms = self.start_ms
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def write_past(self) -> None:
        while self.next_ms + 1000 <= time.time() * 1000:
            await self._close(publish=False)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, (self.next_ms + 1020) / 1000 - time.time()))
            await self._close(publish=self._publishes)

    async def _close(self, *, publish: bool) -> None:
        made = second(self.next_ms)
        self.next_ms += 1000
        await self._write("1s", made, publish=publish)
        minute = INTERVALS["1m"]
        if self.next_ms % minute.length_ms == 0 and self.next_ms - minute.length_ms >= self.start_ms:
            for whole in aggregate_closed(seconds(self.next_ms - 60_000, self.next_ms), INTERVALS["1s"], minute):
                await self._write("1m", whole, publish=publish)

    async def _write(self, interval: str, made: Kline, *, publish: bool) -> None:
        await self.redis.zadd(f"klines:{SYMBOL}:{interval}", {kline_member(SYMBOL, interval, made): made.close_time_ms})
        await self.redis.set(f"lastClosed:{SYMBOL}:{interval}", made.close_time_ms)
        if publish:
            await self.redis.publish(f"klines:{SYMBOL}:{interval}", kline_event(SYMBOL, interval, made))


@pytest.fixture
def server() -> Any:
    with EmbeddedServer(options={"notify-keyspace-events": "K$z"}) as running:
        yield running


@asynccontextmanager
async def collecting(server: EmbeddedServer, mode: str, *, past: bool = True) -> AsyncIterator[Collector]:
    collector = Collector(server, publishes=mode == "pubsub")
    if past:
        await collector.write_past()
        collector.start()
    try:
        yield collector
    finally:
        await collector.stop()
        await collector.redis.aclose()


def settings(server: EmbeddedServer, mode: str, **market: Any) -> Config:
    feed = {"mode": mode, "poll_min_ms": 20, "poll_max_ms": 100, "poll_rest_s": 0.3, "auto_after_s": 0.6}
    common = {"intervals": ("1s", "1m", "1h"), "stale_after_s": STALE_S, "close_grace_ms": 300, "overdue_s": 0.3}
    return make_config(server, feed=feed, market=common | market)


async def watch_health(up: Serving, for_s: float) -> list[tuple[int, list[str]]]:
    """The answers of `/v1/health/data`, each run of equal ones once."""
    found: list[tuple[int, list[str]]] = []
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        answer = await up.get("/v1/health/data")
        state = answer.status_code, answer.json().get("reasons", [])
        if found[-1:] != [state]:
            found.append(state)
        await asyncio.sleep(0.02)
    return found


async def in_force(up: Serving, mode: str) -> None:
    """Wait until the feed reads as it will; `auto` has to find out first that nothing is published."""
    if mode == "auto":
        await until(lambda: up.inside.health.feed.mode == "keyspace", "the switch")
        await up.fresh()


def decimals(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def until_trades(collector: Collector, from_ms: int, trades: int) -> list[Kline]:
    """The seconds from a time on that have so many trades together; every second has some."""
    parts = seconds(from_ms, collector.next_ms)
    while sum(part.trades for part in parts) > trades:
        del parts[-1]
    assert sum(part.trades for part in parts) == trades
    return parts


def figures(parts: list[Kline]) -> dict[str, Decimal]:
    return {
        "open": Decimal(parts[0].open),
        "high": max(Decimal(part.high) for part in parts),
        "low": min(Decimal(part.low) for part in parts),
        "close": Decimal(parts[-1].close),
        "volume": sum((Decimal(part.volume) for part in parts), Decimal(0)),
        "quoteVolume": sum((Decimal(part.quote_volume) for part in parts), Decimal(0)),
    }


async def shown(up: Serving, interval: str) -> dict[str, Any]:
    """The newest kline over HTTP, once it is a forming one."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        answer = await up.get(f"/v1/klines?symbol={SYMBOL}&interval={interval}&limit=2")
        last: dict[str, Any] = decimals(answer.text)["klines"][-1]
        if not last["isClosed"]:
            return last
        assert time.monotonic() < deadline_s, answer.text
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("mode", MODES)
class TestACollectorOfClosedKlines:
    async def test_is_live_between_two_closes_until_one_is_overdue(self, server: EmbeddedServer, mode: str) -> None:
        # A busy machine makes this collector itself late by more than the others of these tests allow.
        async with collecting(server, mode) as collector, serving(settings(server, mode, overdue_s=6.0)) as up:
            await in_force(up, mode)
            assert await watch_health(up, 3.0) == [(200, [])]
            assert (await up.metric("gateway_feed_reconnects_total")) == 0
            await collector.stop()
            await up.fresh(503)
            assert up.inside.feed_state.current.closed.reason == "silent"
            collector.start()
            await up.fresh()

    @pytest.mark.long
    async def test_a_restart_between_two_closes_makes_nothing_stale(self, server: EmbeddedServer, mode: str) -> None:
        async with collecting(server, mode) as collector:
            async with serving(settings(server, mode)) as up:
                await in_force(up, mode)
            async with serving(settings(server, mode), ready=False) as up:
                await up.fresh()
                await in_force(up, mode)
                assert await watch_health(up, 1.5) == [(200, [])]
            await collector.stop()
            await asyncio.sleep(2.0)
            async with serving(settings(server, mode), ready=False) as up:
                await until(lambda: up.inside.market.read, "the first read")
                assert (await up.get("/v1/health/data")).status_code == 503, "what is stored shows that one is overdue"

    async def test_forms_longer_klines_to_the_digit(self, server: EmbeddedServer, mode: str) -> None:
        async with collecting(server, mode) as collector, serving(settings(server, mode)) as up, client(up) as someone:
            await in_force(up, mode)
            await someone.subscribe(f"kline:{SYMBOL}:1m", history=10)
            view, before = someone.view(f"kline:{SYMBOL}:1m"), set[Decimal]()
            await someone.until(lambda: view.forming is not None and view.forming.provisional and view.forming.volume)
            for _ in range(3):
                minute = await shown(up, "1m")
                parts = until_trades(collector, int(minute["openTime"]), int(minute["trades"]))
                assert minute["provisional"] is True
                assert {name: minute[name] for name in figures(parts)} == figures(parts)
                before.add(minute["volume"])
                seen = collector.next_ms
                await until(lambda seen=seen: collector.next_ms >= seen + 1000, "the next close")  # type: ignore[misc]
            assert len(before) > 1, "it grows with every close"

    async def test_has_a_ticker_in_every_dialect(self, server: EmbeddedServer, mode: str) -> None:
        async with collecting(server, mode) as collector, serving(settings(server, mode)) as up, client(up) as someone:
            await in_force(up, mode)
            await someone.subscribe(f"ticker:{SYMBOL}")
            view = someone.view(f"ticker:{SYMBOL}")
            # Until the day's begin has been read it is the minutes' and the newest seconds'.
            first = second(collector.start_ms).open
            await someone.until(lambda: Decimal((view.ticker or {}).get("o", 0)) == Decimal(first))
            assert view.ticker is not None
            assert str(view.ticker["derived"]) == "True"
            native = decimals((await up.get(f"/v1/ticker?symbol={SYMBOL}")).text)
            assert_day(collector, native, "ohlcvqn")
            assert native["derived"] is True
            assert native["stale"] is False
            async with httpx.AsyncClient(base_url=up.address, trust_env=False) as http:
                function = await http.post("/functions/v1/get-ticker", json={"symbol": SYMBOL})
            assert_day(collector, decimals(function.text), "ohlcvqn")
            names = ("openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume", "count")
            (day,) = decimals((await up.get("/api/v3/ticker/24hr")).text)
            assert_day(collector, day, names)
            one = decimals((await up.get(f"/api/v3/ticker/24hr?symbol={SYMBOL}")).text)
            assert_day(collector, one, names)
            assert Decimal(one["priceChange"]) == Decimal(one["lastPrice"]) - Decimal(one["openPrice"])
            (listed,) = decimals((await up.get("/api/v3/ticker/price")).text)
            assert Decimal(listed["price"]) in {Decimal(part.close) for part in seconds(*last_three(collector))}
            (quote,) = decimals((await up.get(f"/udf/quotes?symbols={SYMBOL}")).text)["d"]
            assert quote["s"] == "ok"
            assert quote["v"]["lp"] in {Decimal(part.close) for part in seconds(*last_three(collector))}
            for stream in (f"{SYMBOL.lower()}@miniTicker", "!miniTicker@arr"):
                event = await first_event(up, stream)
                assert Decimal(event["c"]) in {Decimal(part.close) for part in seconds(*last_three(collector))}
                assert Decimal(event["v"]) >= Decimal(native["v"])

    async def test_that_begins_with_an_empty_store_is_found_before_the_next_regular_scan(
        self, server: EmbeddedServer, mode: str
    ) -> None:
        assert WAIT_S < DISCOVER_S
        async with (
            collecting(server, mode, past=False) as collector,
            serving(settings(server, mode), ready=False) as up,
            client(up) as someone,
        ):
            await until(lambda: up.inside.market.read, "the first read")
            await asyncio.sleep(1.5)
            collector.next_ms = int(time.time()) * 1000 - 3000
            await collector.write_past()
            collector.start()
            await until(lambda: up.inside.market.has_data(SYMBOL), "the symbol")
            await someone.subscribe(f"kline:{SYMBOL}:1s", history=5)
            view = someone.view(f"kline:{SYMBOL}:1s")
            await someone.until(lambda: len(view.closed) >= 5 and view.state == "live")


def last_three(collector: Collector) -> tuple[int, int]:
    return collector.next_ms - 3000, collector.next_ms


def assert_day(collector: Collector, said: dict[str, Any], names: Sequence[str]) -> None:
    """The 24 h figures are those of all seconds that the collector has written up to some close."""
    *texts, trades = (said[name] for name in names)
    parts = until_trades(collector, collector.start_ms, int(trades))
    assert [Decimal(text) for text in texts] == list(figures(parts).values())


async def first_event(up: Serving, stream: str) -> dict[str, Any]:
    async with connect(up.address.replace("http", "ws") + f"/ws/{stream}", proxy=None) as socket:
        event = decimals(str(await asyncio.wait_for(socket.recv(), WAIT_S)))
        found: dict[str, Any] = event[0] if isinstance(event, list) else event
        return found
