"""Reads missing klines from the store after a disconnect or a gap, so that they are delivered before anything newer.

The order matters: the subscription is active first, then the store is read; newer live updates win by event time.
A read that fails is retried until it succeeds or a new disconnect cancels it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gateway.history.store import StoreUnavailable
from gateway.market.aggregate import Parts
from gateway.model.interval import INTERVALS
from gateway.redis.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from gateway.history.aggregating_store import AggregatingStore
    from gateway.market.market import Market
    from gateway.market.series import Series

logger = logging.getLogger(__name__)

CONCURRENT_READS = 8

SEED_KLINES = 2
"""Closed klines read of a series without any in memory: enough to know which one is the newest."""

KLINES_MAX = 500
"""Closed klines read of other series: the most that the collector stores."""


class Backfill:
    """At most one run over all series at a time, and beside it single series, each at most once at a time."""

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
        self._retry_s = retry_s
        self._clock_ms = clock_ms
        self._clock_s = clock_s
        self._sleep = sleep
        self._all: asyncio.Task[None] | None = None
        self._single: dict[Series, asyncio.Task[None]] = {}
        self._reads = asyncio.Semaphore(CONCURRENT_READS)
        self.backfilled = 0
        """Closed klines that were missing in memory and were found in the store."""

    @property
    def running(self) -> bool:
        """Whether all series are being read: until that ends, no kline counts as overdue."""
        return self._all is not None and not self._all.done()

    @property
    def in_progress(self) -> Collection[Series]:
        """The single series that are being read, or wait for their turn."""
        return self._single

    def start_all(self, on_done: Callable[[], None]) -> None:
        """Start to read the state of every symbol; `on_done` is called after success, not after `cancel`."""
        self.cancel()
        self._all = asyncio.create_task(self._retry(self._read_all, "all symbols"))
        self._all.add_done_callback(lambda task: None if task.cancelled() else on_done())

    def start_series(self, series: Series) -> bool:
        """Start to read one series with a gap. `False`: it is being read already."""
        if series in self._single or self.running:
            return False
        name = f"{series.symbol} {series.interval.name}"
        task = asyncio.create_task(self._retry(lambda: self._read_series(series), name))
        self._single[series] = task
        task.add_done_callback(lambda _: self._single.pop(series, None))
        return True

    def cancel(self) -> None:
        """Stop all reads. Call it on a disconnect: everything is read again after the reconnect."""
        for task in self._tasks():
            task.cancel()

    async def aclose(self) -> None:
        """Stop all reads and wait until they have ended."""
        tasks = self._tasks()
        self.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*self._single.values(), *([self._all] if self._all else [])]

    async def _retry(self, work: Callable[[], Awaitable[None]], what: str) -> None:
        backoff = Backoff(self._retry_s)
        while True:
            try:
                return await work()
            except StoreUnavailable as error:
                wait_s = backoff.next_wait_s()
                logger.warning("backfill of %s failed: %s; retry in %g s", what, error, wait_s)
                await self._sleep(wait_s)

    async def _read_all(self) -> None:
        started_s = self._clock_s()
        symbols = await self._store.symbols()
        symbols.update(self._market.symbols())
        # Tickers last: on a slow connection the klines take a while, and no price may be old once the feed is live.
        for read in (self._read_klines, self._read_ticker):
            async with asyncio.TaskGroup() as group:
                for symbol in sorted(symbols):
                    group.create_task(read(symbol))
        self._market.read = True
        logger.info("read the state of %d symbols in %.0f ms", len(symbols), (self._clock_s() - started_s) * 1000)

    async def _read_klines(self, symbol: str) -> None:
        async with self._reads:
            for interval in self._intervals:
                await self._reseed(symbol, interval)

    async def _read_ticker(self, symbol: str) -> None:
        async with self._reads:
            ticker = await self._store.ticker(symbol)
            if ticker is not None:
                self._market.restore(ticker)
            else:
                self._market.lapse(symbol)

    async def _read_series(self, series: Series) -> None:
        # When a collector pauses, every series has a gap: more reads at a time would wait for a connection until
        # they time out.
        async with self._reads:
            await self._reseed(series.symbol, series.interval.name)

    async def _reseed(self, symbol: str, interval: str) -> None:
        """Merge what is stored of a series into the market."""
        series = self._market.series(symbol, interval)
        oldest = next(iter(series.closed), None) if series else None
        if oldest is None:
            stored = await self._aggregating_store.closed_klines(symbol, interval, SEED_KLINES)
        else:
            # From the oldest in memory, because the gap may lie before the newest.
            stored = await self._aggregating_store.closed_klines(
                symbol, interval, KLINES_MAX, start_ms=oldest.open_time_ms
            )
        parts = stored.parts
        if parts is None and series and not stored.klines and (divisor := self._market.divisor(series)):
            # The feed has sent the shorter interval, but the collector has not stored it yet.
            parts = Parts(divisor, [])
        if stored.klines or parts or series:
            before = series.closed.end if series else 0
            self._market.reseed(symbol, interval, stored.klines, self._clock_ms(), parts)
            if series and oldest is not None:
                self.backfilled += series.closed.end - before
