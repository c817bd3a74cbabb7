"""What a backfill reads, in which order, and what happens when the store fails. The test owns the clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.config import MarketConfig
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.store import StoreUnavailable
from gateway.market.market import Market
from gateway.runtime import backfill
from gateway.runtime.backfill import CONCURRENT_BATCHES, KLINES_MAX, SEED_KLINES, Backfill
from tests.builders import MINUTE_MS, T0, closed_klines, kline, kline_update, ticker, ticker_update

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from gateway.history.store import KlineStore, SeriesRead
    from gateway.market.series import Series
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

RETRY_S = (1.0, 2.0)


class Store:
    """A store that records its reads. `failures`: how many further reads fail; `gate` holds reads up."""

    def __init__(self) -> None:
        self.names = {"BTCUSDT", "ETHUSDT", "XRPUSDT"}
        self.klines: list[Kline] = closed_klines([0, 1])
        self.later: list[Kline] = []
        """What a read from a kline on finds, if it is something else than `klines`."""
        self.stored = {"1m"}
        self.last_closed_ms: dict[str, int] = {}
        self.has_tickers = True
        self.tickers_of: dict[str, Ticker] = {}
        self.failures = 0
        self.failing = ""
        self.gate: asyncio.Event | None = None
        self.reads: list[tuple[str, ...]] = []
        self.limits: list[tuple[int, int | None]] = []
        self.concurrent = self.concurrent_max = 0

    async def symbols(self) -> set[str]:
        await self._read("symbols")
        return set(self.names)

    async def closed_klines_of(self, reads: Sequence[SeriesRead]) -> list[list[Kline]]:
        if not reads:
            return []
        await self._read("klines", *(f"{read.symbol} {read.interval}" for read in reads))
        self.limits += [(read.limit, read.start_ms) for read in reads]
        klines = [self.later or self.klines if read.start_ms is not None else self.klines for read in reads]
        return [found if read.interval in self.stored else [] for read, found in zip(reads, klines, strict=True)]

    async def has_klines_of(self, series: Sequence[tuple[str, str]]) -> list[bool]:
        if series:
            await self._read("has", *(f"{symbol} {interval}" for symbol, interval in series))
        return [interval in self.stored and bool(self.klines) for _, interval in series]

    async def last_closed(self, series: Sequence[tuple[str, str]]) -> list[int | None]:
        return [self.last_closed_ms.get(interval) for _, interval in series]

    async def tickers(self, symbols: Sequence[str]) -> list[Ticker | None]:
        await self._read("tickers", *symbols)
        if not self.has_tickers:
            return [None for _ in symbols]
        return [self.tickers_of.get(symbol) or ticker("100", symbol, event_time_ms=1) for symbol in symbols]

    def asked(self, kind: str) -> list[str]:
        """What was read of a kind, in order."""
        return [one for read in self.reads if read[0] == kind for one in read[1:]]

    async def _read(self, *read: str) -> None:
        self.reads.append(read)
        self.concurrent += 1
        self.concurrent_max = max(self.concurrent_max, self.concurrent)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
            if self.failures and self.failing in read[0]:
                self.failures -= 1
                raise StoreUnavailable("timeout", 1, 0.0)
        finally:
            self.concurrent -= 1


class World:
    def __init__(self, *intervals: str, lazy: bool = False) -> None:
        self.store = Store()
        config = MarketConfig(intervals=intervals or ("1m",))
        self.market = Market(config, log_size=4, lazy=lazy)
        self.waits_s: list[float] = []
        self.done = 0
        self.unread: list[set[str]] = []
        self.now_ms = T0
        self.now_s = 0.0
        self.backfill = Backfill(
            AggregatingStore(cast("KlineStore", self.store), config),
            self.market,
            config.intervals,
            RETRY_S,
            clock_ms=lambda: self.now_ms,
            clock_s=self._clock_s,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        await asyncio.sleep(0)

    def _clock_s(self) -> float:
        self.now_s += 1
        return self.now_s

    def start_all(self) -> None:
        def count(unread: Collection[str]) -> None:
            self.unread.append(set(unread))
            self.done += not unread

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
    assert [read[0] for read in world.store.reads] == ["symbols", "klines", "tickers"]
    assert (world.done, world.backfill.running) == (1, False)
    assert world.market.has_symbols
    assert {symbol for symbol in world.store.names if world.market.ticker(symbol)} == world.store.names


async def test_shorter_intervals_are_read_first() -> None:
    world = World("1h", "1m", "5m")
    world.store.names = {"BTCUSDT"}
    world.store.klines = []
    world.start_all()
    await world.settle()
    assert world.store.asked("klines") == ["BTCUSDT 1m", "BTCUSDT 5m", "BTCUSDT 1h"]


async def test_symbols_that_only_the_market_knows_are_read_too(world: World) -> None:
    world.market.reseed("NEWUSDT", "1m", closed_klines([0]), T0, None)
    world.start_all()
    await world.settle()
    assert "NEWUSDT 1m" in world.store.asked("klines")


async def test_what_somebody_watches_is_read_first_and_the_rest_is_named_until_it_is_read() -> None:
    world = World(lazy=True)
    world.start_all()
    await world.settle()
    assert world.unread == [set()], "the first run reads everything"
    world.store.reads.clear()
    world.unread.clear()
    world.market.watch("XRPUSDT", 1)
    world.store.names.add("NEWUSDT")
    world.start_all()
    assert world.backfill.unread == {"BTCUSDT", "ETHUSDT", "XRPUSDT"}
    await world.settle()
    assert [(read[0], list(read[1:])) for read in world.store.reads] == [
        ("klines", ["XRPUSDT 1m"]),
        ("tickers", ["BTCUSDT", "ETHUSDT", "XRPUSDT"]),
        ("symbols", []),
        ("klines", ["BTCUSDT 1m", "ETHUSDT 1m", "NEWUSDT 1m"]),
        ("tickers", ["NEWUSDT"]),
    ]
    assert world.unread == [{"BTCUSDT", "ETHUSDT"}, set()]
    assert not world.backfill.unread


async def test_what_somebody_begins_to_watch_meanwhile_is_read_before_the_rest() -> None:
    world = World(lazy=True)
    world.start_all()
    await world.settle()
    world.unread.clear()
    world.market.watch("XRPUSDT", 1)
    world.store.gate = asyncio.Event()
    world.start_all()
    await world.settle()
    world.market.watch("ETHUSDT", 1)
    world.store.gate.set()
    await world.settle()
    assert world.unread == [{"BTCUSDT"}, set()]


async def test_a_symbol_whose_ticker_has_expired_in_the_store_lapses(world: World) -> None:
    world.market.restore(ticker("100", "BTCUSDT", event_time_ms=1))
    world.store.has_tickers = False
    world.start_all()
    await world.settle()
    assert world.market.lapsed("BTCUSDT")
    world.store.has_tickers = True
    world.start_all()
    await world.settle()
    assert not world.market.lapsed("BTCUSDT"), "its key is there again"


async def test_a_stored_ticker_of_unknown_time_confirms_the_known_one_only_if_they_are_equal(world: World) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        world.market.restore(ticker("99", symbol, event_time_ms=7))
    world.store.tickers_of = {
        "BTCUSDT": ticker("99", "BTCUSDT", event_time_ms=0),
        "ETHUSDT": ticker("98", "ETHUSDT", event_time_ms=0),
    }
    world.start_all()
    await world.settle()
    assert [world.market.lapsed(symbol) for symbol in ("BTCUSDT", "ETHUSDT", "XRPUSDT")] == [False, True, False]


async def test_a_ticker_that_has_come_since_the_start_needs_no_confirmation(world: World) -> None:
    world.market.restore(ticker("99", "BTCUSDT", event_time_ms=1))
    world.store.has_tickers = False
    world.start_all()
    world.market.apply(ticker_update("98", 2), T0)
    await world.settle()
    assert not world.market.lapsed("BTCUSDT")


async def test_the_time_of_the_newest_stored_ticker_is_that_of_the_last_run(world: World) -> None:
    assert world.backfill.newest_price_ms == 0
    world.market.apply(ticker_update("98", T0), T0)
    world.store.tickers_of["ETHUSDT"] = ticker("98", "ETHUSDT", event_time_ms=5)
    world.start_all()
    await world.settle()
    assert world.backfill.newest_price_ms == 5, "what the feed has sent is no stored one"
    world.store.has_tickers = False
    world.start_all()
    await world.settle()
    assert world.backfill.newest_price_ms == 0


async def test_batches_are_limited_in_size_and_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "SERIES_AT_ONCE", 2)
    world.store.names = {f"S{number}USDT" for number in range(6 * CONCURRENT_BATCHES)}
    world.start_all()
    await world.settle()
    assert world.store.concurrent_max == CONCURRENT_BATCHES
    assert {len(read) - 1 for read in world.store.reads if read[0] == "klines"} == {2}


async def test_a_series_that_has_all_that_the_collector_states_is_not_read_again(world: World) -> None:
    world.store.names = {"BTCUSDT"}
    world.start_all()
    await world.settle()
    world.store.reads.clear()
    world.now_ms = T0 + 2 * MINUTE_MS + 1
    world.store.last_closed_ms = {"1m": T0 + 2 * MINUTE_MS - 1}
    world.start_all()
    await world.settle()
    assert world.store.asked("klines") == []
    world.store.last_closed_ms = {"1m": T0 + 3 * MINUTE_MS - 1}
    world.start_all()
    await world.settle()
    assert world.store.asked("klines") == ["BTCUSDT 1m"]


async def test_a_derived_series_is_made_of_what_was_read_of_its_source() -> None:
    world = World("1m", "3m")
    world.store.names = {"BTCUSDT"}
    world.store.last_closed_ms = {"1m": T0}
    world.start_all()
    await world.settle()
    world.store.reads.clear()
    # More than the log of a series holds.
    world.store.klines = closed_klines(range(12))
    world.start_all()
    await world.settle()
    assert world.store.asked("klines") == ["BTCUSDT 1m"]
    longer = world.market.series("BTCUSDT", "3m")
    assert longer is not None
    assert [(kline.open_time_ms - T0) // MINUTE_MS for kline in longer.closed] == [0, 3, 6, 9]
    assert not longer.gap


async def test_a_derived_series_is_read_once_the_collector_stores_it() -> None:
    world = World("1m", "3m")
    world.store.names = {"BTCUSDT"}
    world.start_all()
    await world.settle()
    longer = world.market.series("BTCUSDT", "3m")
    assert longer is not None
    assert longer.derived_from == "1m"
    world.store.reads.clear()
    world.store.stored.add("3m")
    world.start_all()
    await world.settle()
    assert world.store.asked("klines") == ["BTCUSDT 1m", "BTCUSDT 3m"]
    assert longer.in_source


async def test_what_is_derived_from_a_corrected_series_is_read_in_the_same_run() -> None:
    world = World("1m", "3m")
    world.store.names = {"BTCUSDT"}
    world.store.klines = closed_klines(range(5))
    world.start_all()
    await world.settle()
    world.store.klines = [
        each._replace(volume="9", event_time_ms=each.event_time_ms + 1) for each in world.store.klines
    ]
    world.start_all()
    await world.settle()
    longer = world.market.series("BTCUSDT", "3m")
    assert longer is not None
    assert [kline.volume for kline in longer.closed] == ["27"]
    assert (longer.gap, world.backfill.running) == (False, False)


async def test_a_gap_that_is_found_while_its_symbol_is_read_is_read_for_afterwards(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store.names = {"BTCUSDT"}
    world.start_all()
    await world.settle()
    series = world.series()
    reseed = world.market.reseed

    def reseed_and_miss(*args: Any) -> None:
        reseed(*args)
        series.gap = not world.done or len(world.store.asked("klines")) < 3

    monkeypatch.setattr(world.market, "reseed", reseed_and_miss)
    world.start_all()
    await world.settle()
    assert world.store.asked("klines") == ["BTCUSDT 1m"] * 3
    assert not series.gap


async def test_a_failed_run_is_repeated_by_the_retry_schedule_until_it_succeeds(world: World) -> None:
    world.store.failures = 3
    world.start_all()
    await world.settle()
    assert world.waits_s == [1.0, 2.0, 2.0]
    assert world.done == 1


@pytest.mark.parametrize("kind", ["klines", "tickers"])
async def test_a_run_is_not_done_before_everything_could_be_read(world: World, kind: str) -> None:
    world.store.failing, world.store.failures = kind, 2
    world.start_all()
    await world.settle()
    assert (world.waits_s, world.done) == ([1.0, 2.0], 1)


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


async def test_a_series_is_read_from_the_first_kline_that_may_still_close(world: World) -> None:
    world.store.names = {"BTCUSDT"}
    world.start_all()
    await world.settle()
    series = world.series()
    series.closed.begin_ms = T0 - MINUTE_MS
    world.store.klines = closed_klines([-1, 0, 1])
    world.backfill.start_series(series)
    await world.settle()
    assert world.store.limits[-1] == (KLINES_MAX, T0 - MINUTE_MS)
    assert [kline.open_time_ms for kline in series.closed] == [T0 - MINUTE_MS, T0, T0 + MINUTE_MS]


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


async def test_series_with_gaps_are_read_together_and_again_where_the_store_fails() -> None:
    world = World("1m", "3m")
    world.start_all()
    await world.settle()
    world.store.reads.clear()
    world.store.failing, world.store.failures = "klines", 1
    for symbol in ("ETHUSDT", "BTCUSDT"):
        for interval in ("3m", "1m"):
            series = world.market.series(symbol, interval)
            assert series is not None
            assert world.backfill.start_series(series)
            assert series in world.backfill
    await world.settle()
    together = ("klines", "BTCUSDT 1m", "BTCUSDT 3m", "ETHUSDT 1m", "ETHUSDT 3m")
    assert [read for read in world.store.reads if len(read) > 3 and read[0] == "klines"] == [together] * 2
    assert (world.waits_s, list(world.backfill.in_progress)) == ([1.0], [])


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


async def test_what_was_stored_while_the_store_was_being_read_is_read_again(world: World) -> None:
    world.store.names = {"BTCUSDT"}
    world.store.klines = closed_klines([0, 1])
    world.start_all()
    await world.settle()
    series = world.series()
    answer = world.store.gate = asyncio.Event()
    world.backfill.start_series(series)
    await world.settle()
    world.market.apply(kline_update(kline(4, closed=True)), T0)
    answer.set()
    await world.settle()
    assert [known.open_time_ms for known in series.closed] == [T0, T0 + MINUTE_MS]
    assert world.market.take_changes().gaps == {series}
    world.store.klines = closed_klines([0, 1, 2, 3])
    assert world.backfill.start_series(series)
    await world.settle()
    assert [known.open_time_ms for known in series.closed] == [T0 + number * MINUTE_MS for number in range(1, 5)]


async def test_klines_that_come_before_a_new_series_is_seeded_leave_no_hole(world: World) -> None:
    world.store.klines = closed_klines([4, 5])
    answer = asyncio.Event()

    async def symbols() -> set[str]:
        world.store.gate = answer
        return {"BTCUSDT"}

    world.store.symbols = symbols  # type: ignore[method-assign]
    world.start_all()
    await world.settle()
    world.market.apply(kline_update(kline(1, closed=True)), T0)
    opens: list[list[int]] = []
    read = world.market.reseed

    def noted(*args: Any) -> None:
        read(*args)
        opens.append([(known.open_time_ms - T0) // MINUTE_MS for known in world.series().closed])

    world.market.reseed = noted  # type: ignore[assignment, method-assign]
    answer.set()
    world.store.later = closed_klines([1, 2, 3, 4, 5])
    await world.settle()
    assert (world.done, opens) == (1, [[2, 3, 4, 5]])
    assert world.store.limits == [(SEED_KLINES, None), (KLINES_MAX, T0 + (1 - SEED_KLINES) * MINUTE_MS)]


async def test_what_the_feed_brings_ahead_of_the_first_read_is_joined_by_those_before_it(world: World) -> None:
    world.store.names = {"BTCUSDT"}
    world.store.klines = closed_klines(range(6))
    world.market.apply(kline_update(kline(4, closed=True)), T0)
    world.start_all()
    await world.settle()
    assert [(known.open_time_ms - T0) // MINUTE_MS for known in world.series().closed] == [2, 3, 4, 5]
    assert world.store.limits == [(KLINES_MAX, T0 + (4 - SEED_KLINES) * MINUTE_MS)]


@pytest.mark.parametrize("later", [[], [9]], ids=["alone", "with a later one"])
async def test_a_forming_kline_that_is_older_than_the_newest_stored_ones_leaves_no_hole(
    world: World, later: list[int]
) -> None:
    world.store.names = {"BTCUSDT"}
    for number in (2, *later):
        world.market.apply(kline_update(kline(number)), T0)
    world.store.klines, world.store.later = closed_klines([7, 8]), closed_klines(range(9))
    world.start_all()
    await world.settle()
    series = world.series()
    series.settle(T0 + 60_000, 0)
    assert [(known.open_time_ms - T0) // MINUTE_MS for known in series.closed] == [5, 6, 7, 8]
    assert world.store.limits == [(SEED_KLINES, None), (KLINES_MAX, T0)]
