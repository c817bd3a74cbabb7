"""What a backfill reads, in which order, and what happens when the store fails. The test owns the clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from gateway.config import MarketConfig
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.store import StoreUnavailable
from gateway.market.market import Market
from gateway.runtime.backfill import CONCURRENT_READS, KLINES_MAX, SEED_KLINES, Backfill
from tests.builders import T0, closed_klines, ticker

if TYPE_CHECKING:
    from gateway.history.store import KlineStore
    from gateway.market.series import Series
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

RETRY_S = (1.0, 2.0)


class Store:
    """A store that records its reads. `failures`: how many further reads fail; `gate` holds reads up."""

    def __init__(self) -> None:
        self.names = {"BTCUSDT", "ETHUSDT", "XRPUSDT"}
        self.klines: list[Kline] = closed_klines([0, 1])
        self.tickers = True
        self.failures = 0
        self.gate: asyncio.Event | None = None
        self.reads: list[tuple[str, ...]] = []
        self.limits: list[tuple[int, int | None]] = []
        self.concurrent = self.concurrent_max = 0

    async def symbols(self) -> set[str]:
        await self._read("symbols")
        return set(self.names)

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        await self._read("klines", symbol, interval)
        self.limits.append((limit, start_ms))
        return self.klines if interval == "1m" else []

    async def has_klines(self, symbol: str, interval: str) -> bool:
        return interval == "1m" and bool(self.klines)

    async def ticker(self, symbol: str) -> Ticker | None:
        await self._read("ticker", symbol)
        return ticker("100", symbol, event_time_ms=1) if self.tickers else None

    async def _read(self, *read: str) -> None:
        self.reads.append(read)
        self.concurrent += 1
        self.concurrent_max = max(self.concurrent_max, self.concurrent)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable("timeout", 1, 0.0)
        finally:
            self.concurrent -= 1


class World:
    def __init__(self, *intervals: str) -> None:
        self.store = Store()
        config = MarketConfig(intervals=intervals or ("1m",))
        self.market = Market(config, log_size=4)
        self.waits_s: list[float] = []
        self.done = 0
        self.backfill = Backfill(
            AggregatingStore(cast("KlineStore", self.store), config),
            self.market,
            config.intervals,
            RETRY_S,
            clock_ms=lambda: T0,
            clock_s=lambda: 0.0,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        await asyncio.sleep(0)

    def start_all(self) -> None:
        def count() -> None:
            self.done += 1

        self.backfill.start_all(count)

    async def settle(self) -> None:
        """Let every task run until it waits for something that the test controls."""
        for _ in range(200):
            await asyncio.sleep(0)

    def series(self, symbol: str = "BTCUSDT") -> Series:
        series = self.market.series(symbol, "1m")
        assert series is not None
        return series


@pytest.fixture
def world() -> World:
    return World()


async def test_tickers_are_read_after_all_klines_and_only_then_is_it_done(world: World) -> None:
    world.start_all()
    assert world.backfill.running
    await world.settle()
    assert [read[0] for read in world.store.reads] == ["symbols"] + ["klines"] * 3 + ["ticker"] * 3
    assert (world.done, world.backfill.running) == (1, False)
    assert world.market.has_symbols
    assert {symbol for symbol in world.store.names if world.market.ticker(symbol)} == world.store.names


async def test_shorter_intervals_are_read_first() -> None:
    world = World("1h", "1m", "5m")
    world.store.names = {"BTCUSDT"}
    world.store.klines = []
    world.start_all()
    await world.settle()
    assert [read[2] for read in world.store.reads if read[0] == "klines"] == ["1m", "5m", "1h"]


async def test_symbols_that_only_the_market_knows_are_read_too(world: World) -> None:
    world.market.reseed("NEWUSDT", "1m", closed_klines([0]), T0, None)
    world.start_all()
    await world.settle()
    assert ("klines", "NEWUSDT", "1m") in world.store.reads


async def test_a_symbol_whose_ticker_has_expired_in_the_store_lapses(world: World) -> None:
    world.market.restore(ticker("99", "BTCUSDT", event_time_ms=1))
    world.store.tickers = False
    world.start_all()
    await world.settle()
    assert world.market.lapsed("BTCUSDT")


async def test_reads_are_limited(world: World) -> None:
    world.store.names = {f"S{number}USDT" for number in range(3 * CONCURRENT_READS)}
    world.start_all()
    await world.settle()
    assert world.store.concurrent_max == CONCURRENT_READS


async def test_a_failed_run_is_repeated_by_the_retry_schedule_until_it_succeeds(world: World) -> None:
    world.store.failures = 3
    world.start_all()
    await world.settle()
    assert world.waits_s == [1.0, 2.0, 2.0]
    assert world.done == 1


async def test_a_new_run_replaces_the_one_in_progress(world: World) -> None:
    world.store.gate = asyncio.Event()
    world.start_all()
    await world.settle()
    world.start_all()
    world.store.gate.set()
    await world.settle()
    assert world.done == 1


async def test_a_cancelled_run_is_not_done(world: World) -> None:
    world.start_all()
    world.backfill.cancel()
    await world.settle()
    assert (world.done, world.backfill.running) == (0, False)


async def test_an_empty_series_is_seeded_and_others_are_read_from_their_oldest_kline(world: World) -> None:
    world.store.names = {"BTCUSDT"}
    world.start_all()
    await world.settle()
    world.backfill.start_series(world.series())
    await world.settle()
    assert world.store.limits == [(SEED_KLINES, None), (KLINES_MAX, T0)]


async def test_klines_found_in_the_store_are_counted_but_not_those_of_an_empty_series(world: World) -> None:
    world.store.names = {"BTCUSDT"}
    world.start_all()
    await world.settle()
    assert world.backfill.backfilled == 0
    world.store.klines = closed_klines([0, 1, 2, 3])
    assert world.backfill.start_series(world.series())
    await world.settle()
    assert world.backfill.backfilled == 2


async def test_a_series_is_read_once_at_a_time(world: World) -> None:
    world.start_all()
    await world.settle()
    world.store.gate = asyncio.Event()
    series = world.series()
    assert world.backfill.start_series(series)
    assert not world.backfill.start_series(series)
    assert list(world.backfill.in_progress) == [series]
    world.store.gate.set()
    await world.settle()
    assert not world.backfill.in_progress


async def test_a_single_series_is_not_read_during_a_run_over_all(world: World) -> None:
    world.start_all()
    await world.settle()
    series = world.series()
    world.start_all()
    assert not world.backfill.start_series(series)
    await world.settle()


async def test_closing_ends_all_reads(world: World) -> None:
    world.start_all()
    await world.settle()
    world.store.gate = asyncio.Event()
    world.backfill.start_series(world.series())
    await world.settle()
    await world.backfill.aclose()
    await world.settle()
    assert not world.backfill.in_progress
    assert world.store.concurrent == 0


async def test_an_interval_that_the_feed_sends_but_nobody_stored_is_aggregated_from_its_divisor() -> None:
    world = World("1m", "5m")
    world.store.klines = []
    world.market.reseed("BTCUSDT", "1m", closed_klines([0, 1]), T0, None)
    world.market.reseed("BTCUSDT", "5m", [], T0, None)
    longer = world.market.series("BTCUSDT", "5m")
    assert longer is not None
    world.backfill.start_series(longer)
    await world.settle()
    assert longer.derived_from == "1m"
