"""Reads missing klines from the store after a disconnect or a gap, so that they are delivered before anything newer.

The order matters: the subscription is active first, then the store is read; newer live updates win by event time.
Symbols that somebody watches are read first. A read that fails is retried until it succeeds or a new disconnect cancels
it. All work is done in batches of series, and other tasks get their turn while one is applied.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gateway.history.store import SeriesRead, StoreUnavailable
from gateway.market.aggregate import Parts
from gateway.market.building import parts_needed
from gateway.market.reread import Reread, judge
from gateway.model.interval import INTERVALS
from gateway.redis.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

    from gateway.history.aggregating_store import AggregatingStore, StoredKlines
    from gateway.market.market import Market
    from gateway.market.series import Series
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

    Name = tuple[str, str]
    """Symbol and interval of a series."""

logger = logging.getLogger(__name__)

CONCURRENT_BATCHES = 4
"""Batches under way at a time: while one is applied, others wait for the store."""

SERIES_AT_ONCE = 500
"""Series in one batch."""

SLICE_S = 0.005
"""The longest that klines are applied before other tasks get their turn."""

SEED_KLINES = 2
"""Closed klines read of a series without any in memory: enough to know which one is the newest. Of stored ones more,
where longer forming klines are made of them."""

KLINES_MAX = 500
"""Closed klines read of other series: the most that the collector stores."""


class Backfill:
    """At most one run over all series at a time, and beside it single series that have a gap, each at most once.

    `series in backfill`: whether the series is being read, or is still to be read.
    """

    def __init__(
        self,
        store: AggregatingStore,
        market: Market,
        intervals: tuple[str, ...],
        retry_s: tuple[float, ...],
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`retry_s`: waits after failed attempts in a row, in seconds; the last one repeats."""
        self._aggregating_store = store
        self._store = store.store
        self._market = market
        # Shortest first: an aggregated interval needs the state of those that it is aggregated from.
        self._intervals = sorted(intervals, key=list(INTERVALS).index)
        self._seeds = {name: max(SEED_KLINES, parts_needed(name, intervals)) for name in intervals}
        self._retry_s = retry_s
        self._clock_ms = clock_ms
        self._clock_s = clock_s
        self._sleep = sleep
        self._all: asyncio.Task[None] | None = None
        # The symbols at the start of the run over all series, with their tickers, and those whose turn in it has not
        # come yet.
        self._known: dict[str, Ticker | None] = {}
        self._unread: set[str] = set()
        self._single: dict[Series, None] = {}
        self._singles: asyncio.Task[None] | None = None
        self._batches = asyncio.Semaphore(CONCURRENT_BATCHES)
        self.newest_price_ms = 0
        """Time of the newest stored ticker that the run over all series has found; 0: none, or its time is unknown."""
        self.backfilled = 0
        """Closed klines that were missing in memory and were found in the store."""

    def __contains__(self, series: object) -> bool:
        return series in self._single or getattr(series, "symbol", "") in self._unread

    @property
    def running(self) -> bool:
        """Whether all series are being read."""
        return self._all is not None and not self._all.done()

    @property
    def in_progress(self) -> Collection[Series]:
        """The single series that are being read, or wait for their turn."""
        return self._single

    @property
    def unread(self) -> Collection[str]:
        """The symbols whose turn has not come yet, of a run over all series."""
        return self._unread

    def start_all(self, on_done: Callable[[frozenset[str]], None]) -> None:
        """Start to read the state of every symbol.

        `on_done` is called with the symbols whose klines are still to be read: once what somebody watches has been
        read, and all tickers, and again with none at the end. The first run reads everything before. Not after
        `cancel`.
        """
        self.cancel()
        self._known = {symbol: self._market.ticker(symbol) for symbol in self._market.symbols()}
        self.newest_price_ms = 0
        self._unread = set(self._known)
        self._all = asyncio.create_task(self._retry(lambda: self._read_all(on_done), "all symbols"))

    def start_series(self, series: Series) -> bool:
        """Start to read one series with a gap. `False`: it is being read already."""
        if series in self:
            return False
        self._single[series] = None
        if self._singles is None or self._singles.done():
            self._singles = asyncio.create_task(self._retry(self._read_singles, "series with gaps"))
        return True

    def cancel(self) -> None:
        """Stop all reads. Call it on a disconnect: everything is read again after the reconnect."""
        for task in self._tasks():
            task.cancel()
        self._single.clear()
        self._all = self._singles = None

    async def aclose(self) -> None:
        """Stop all reads and wait until they have ended."""
        tasks = self._tasks()
        self.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for task in (self._all, self._singles) if task is not None]

    async def _retry(self, work: Callable[[], Awaitable[None]], what: str) -> None:
        backoff = Backoff(self._retry_s)
        while True:
            try:
                return await work()
            except StoreUnavailable as error:
                wait_s = backoff.next_wait_s()
                logger.warning("backfill of %s failed: %s; retry in %g s", what, error, wait_s)
                await self._sleep(wait_s)

    async def _read_all(self, on_done: Callable[[frozenset[str]], None]) -> None:
        started_s = self._clock_s()
        # Tickers last: on a slow connection the klines take a while, and no price may be old once the feed is live.
        if self._market.read:
            while watched := [symbol for symbol in self._market.watched() if symbol in self._unread]:
                await self._read_klines(watched)
            await self._read_tickers(sorted(self._known))
            logger.info("read what is watched in %.0f ms", (self._clock_s() - started_s) * 1000)
            on_done(frozenset(self._unread))
        symbols = await self._store.symbols()
        symbols.update(self._market.symbols())
        new = symbols - self._known.keys()
        self._unread |= new
        await self._read_klines(sorted(self._unread))
        await self._read_tickers(sorted(new if self._market.read else symbols))
        self._market.read = True
        for series in self._market.every_series():
            series.follow()
        on_done(frozenset())
        logger.info("read the state of %d symbols in %.0f ms", len(symbols), (self._clock_s() - started_s) * 1000)

    async def _read_klines(self, symbols: Sequence[str]) -> None:
        """Read the series of these symbols, as far as they may have klines that memory lacks."""
        failures: BaseExceptionGroup[StoreUnavailable] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for some in _batches(symbols, SERIES_AT_ONCE // len(self._intervals)):
                    group.create_task(self._read_batch(some))
        except* StoreUnavailable as found:
            failures = found
        if failures is not None:
            raise _first(failures)

    async def _read_batch(self, symbols: Sequence[str]) -> None:
        async with self._batches:
            names = [(symbol, interval) for symbol in symbols for interval in self._intervals]
            wanted = await self._to_read(names)
            await self._read(wanted)
            # A source that was corrected makes what is derived from it wrong.
            read = set(wanted)
            await self._read([name for name in names if name not in read and self._has_gap(name)])
            self._unread.difference_update(symbols)
            for series in filter(None, (self._market.peek(*name) for name in names)):
                # Found while the symbols were being read.
                if series.gap:
                    self.start_series(series)

    async def _to_read(self, names: Sequence[Name]) -> list[Name]:
        """Those of the series that must be read."""
        known = {name: series for name in names if (series := self._market.peek(*name)) and _was_read(series)}
        last_closed = dict(zip(known, await self._store.last_closed(list(known)), strict=True))
        now_ms = self._clock_ms()
        judged = dict.fromkeys(names, Reread.READ)
        for name, series in known.items():
            stated = last_closed.get((series.symbol, series.derived_from)) is not None
            judged[name] = judge(series, last_closed[name], now_ms, stated=stated)
        checked = [name for name, found in judged.items() if found is Reread.CHECK and self._may_be_stored(name)]
        stored = {name for name, has in zip(checked, await self._store.has_klines_of(checked), strict=True) if has}
        return [name for name, found in judged.items() if found is Reread.READ or name in stored]

    async def _read_tickers(self, symbols: Sequence[str]) -> None:
        for some in _batches(symbols, SERIES_AT_ONCE):
            for symbol, stored in zip(some, await self._store.tickers(some), strict=True):
                if stored is not None:
                    self._market.restore(stored)
                    self.newest_price_ms = max(self.newest_price_ms, stored.event_time_ms)
                known = self._market.ticker(symbol)
                if stored is not None and known is not None and _confirms(stored, known):
                    self._market.lapse(symbol, lapsed=False)
                elif not (stored and stored.event_time_ms) and known is self._known.get(symbol):
                    # The feed has sent none since.
                    self._market.lapse(symbol)
            await asyncio.sleep(0)

    async def _read_singles(self) -> None:
        """Read the series that have a gap, those of a moment together: their parts are read once."""
        # When a collector pauses, every series has a gap.
        while self._single:
            order = self._intervals.index
            some = sorted(list(self._single)[:SERIES_AT_ONCE], key=lambda one: (one.symbol, order(one.interval.name)))
            await self._read([(series.symbol, series.interval.name) for series in some])
            for series in some:
                self._single.pop(series, None)

    async def _read(self, names: Sequence[Name], *, from_known: bool = False) -> None:
        """Read series (of each symbol the shortest first) and merge what is stored into the market.

        `from_known`: of those without closed klines in memory read all since the oldest known one, not the newest few.
        """
        reads = [self._read_of(*name, from_known=from_known) for name in names]
        found = await self._aggregating_store.closed_klines_of(reads, SEED_KLINES)
        slice_end_s = self._clock_s() + SLICE_S
        lacking = []
        for read, stored in zip(reads, found, strict=True):
            if not self._merge(read, stored):
                lacking.append((read.symbol, read.interval))
            if self._clock_s() > slice_end_s:
                await asyncio.sleep(0)
                slice_end_s = self._clock_s() + SLICE_S
        if lacking:
            await self._read(lacking, from_known=True)

    def _read_of(self, symbol: str, interval: str, *, from_known: bool) -> SeriesRead:
        series = self._market.peek(symbol, interval)
        if series:
            series.begin_read()
        seeds = self._seeds[interval]
        if series and series.closed:
            # From the oldest that belongs in memory. Others belong before those that came ahead of the first read.
            start_ms = series.interval.back(series.closed.since_ms, 0 if series.was_read else seeds)
            return SeriesRead(symbol, interval, KLINES_MAX, start_ms)
        if series and from_known and (known_ms := _log_ends_ms(series)):
            return SeriesRead(symbol, interval, KLINES_MAX, series.interval.back(known_ms, seeds))
        return SeriesRead(symbol, interval, seeds)

    def _merge(self, read: SeriesRead, stored: StoredKlines) -> bool:
        """Merge what is stored into the market. `False`: it was too little, and must be read again."""
        symbol, interval = read.symbol, read.interval
        series = self._market.peek(symbol, interval)
        parts = stored.parts
        if parts is None and series and not stored.klines and (divisor := self._market.divisor(series)):
            # The feed has sent the shorter interval, but the collector has not stored it yet.
            parts = Parts(divisor, [])
        if series and read.start_ms is None and _leaves_hole(series, stored.klines):
            # Older klines are known, which the feed has brought, and there may be others between.
            return False
        if stored.klines or parts or series:
            before = series.closed.end if series else 0
            self._market.reseed(symbol, interval, stored.klines, self._clock_ms(), parts)
            if series and read.start_ms is not None:
                self.backfilled += series.closed.end - before
        return True

    def _may_be_stored(self, name: Name) -> bool:
        return self._aggregating_store.may_be_stored(name[1])

    def _has_gap(self, name: Name) -> bool:
        series = self._market.peek(*name)
        return series is not None and series.gap


def _was_read(series: Series) -> bool:
    return bool(series.closed or series.derived_from)


def _confirms(stored: Ticker, known: Ticker) -> bool:
    """Whether the stored ticker says that the known one is the newest."""
    return stored == known or stored == known._replace(event_time_ms=0)


def _log_ends_ms(series: Series) -> int:
    """Open time of the newest closed kline, or without one of the oldest that is known, which closes first; else 0."""
    kline = series.closed.last or series.forming
    return kline.open_time_ms if kline else 0


def _leaves_hole(series: Series, klines: Sequence[Kline]) -> bool:
    """Whether the first of `klines` does not continue what is known."""
    known_ms = _log_ends_ms(series)
    return bool(known_ms and klines) and klines[0].open_time_ms > series.interval.next_open(known_ms)


def _batches(symbols: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    size = max(1, size)
    for first in range(0, len(symbols), size):
        yield symbols[first : first + size]


def _first(failures: BaseExceptionGroup[StoreUnavailable]) -> BaseException:
    """The first of the errors that several tasks have failed with."""
    (error, *_) = failures.exceptions
    return error
