"""Reading the store again after a gap, so that what was missed is delivered before anything newer.

Order matters: the subscription is there first, then the store is read, then newer live news wins by event time.
Failures are retried until they succeed or a new gap makes the work void.
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
    from collections.abc import Callable, Collection, Coroutine

    from gateway.history.aggregating_store import AggregatingStore
    from gateway.market.market import Market
    from gateway.market.series import Series

logger = logging.getLogger(__name__)

READS_AT_A_TIME = 8
SEED_KLINES = 2
"""Closed klines read of a series nothing is known of: enough to know where it stands."""

KLINES_MAX = 500
"""Most the collector stores."""


class Backfill:
    """One run over everything at a time; single series beside it, each at most once at a time."""

    def __init__(
        self,
        store: AggregatingStore,
        market: Market,
        intervals: tuple[str, ...],
        retry_s: tuple[float, ...],
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._clock_ms = clock_ms
        self._store = store
        self._market = market
        # Shortest first: what the others may be made of is known when their turn comes.
        self._intervals = sorted(intervals, key=list(INTERVALS).index)
        self._retry_s = retry_s
        self._all: asyncio.Task[None] | None = None
        self._single: dict[Series, asyncio.Task[None]] = {}
        self._gate = asyncio.Semaphore(READS_AT_A_TIME)
        self.repaired = 0
        """Closed klines that had been missed and were found in the store."""

    @property
    def running(self) -> bool:
        """Whether a run over everything is under way: until it ends, nobody's time is up."""
        return self._all is not None and not self._all.done()

    @property
    def being_read(self) -> Collection[Series]:
        """The series that are read one by one, or wait to be."""
        return self._single

    def everything(self, done: Callable[[], None]) -> None:
        """Start to read the state of every symbol; `done` is called once all of it is in."""
        self.cancel()
        self._all = asyncio.create_task(self._retried(self._everything, "everything"))
        self._all.add_done_callback(lambda task: None if task.cancelled() else done())

    def series(self, series: Series) -> bool:
        """Start to read one series that has skipped a closed kline; says whether it is new that it is read."""
        new = series not in self._single and not self.running
        if new:
            task = asyncio.create_task(self._retried(lambda: self._series(series), f"{series.symbol}"))
            self._single[series] = task
            task.add_done_callback(lambda _: self._single.pop(series, None))
        return new

    def cancel(self) -> None:
        """Stop what is under way: the link is gone, and its successor will ask anew."""
        for task in [*self._single.values(), *([self._all] if self._all else [])]:
            task.cancel()

    async def aclose(self) -> None:
        tasks = [*self._single.values(), *([self._all] if self._all else [])]
        self.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _retried(self, work: Callable[[], Coroutine[object, object, None]], what: str) -> None:
        backoff = Backoff(self._retry_s)
        while True:
            try:
                return await work()
            except StoreUnavailable as error:
                wait_s = backoff.next_wait_s()
                logger.warning("repair of %s: %s; next attempt in %g s", what, error, wait_s)
                await asyncio.sleep(wait_s)

    async def _everything(self) -> None:
        started_s = time.monotonic()
        symbols = await self._store.store.symbols()
        symbols.update(self._market.symbols())
        # Prices last: on a slow line the klines take a while, and no price may be old when it is called live again.
        for read in (self._klines, self._ticker):
            async with asyncio.TaskGroup() as group:
                for symbol in sorted(symbols):
                    group.create_task(read(symbol))
        self._market.read = True
        logger.info("read the state of %d symbols in %.0f ms", len(symbols), (time.monotonic() - started_s) * 1000)

    async def _klines(self, symbol: str) -> None:
        async with self._gate:
            for interval in self._intervals:
                await self._read(symbol, interval)

    async def _ticker(self, symbol: str) -> None:
        async with self._gate:
            ticker = await self._store.store.ticker(symbol)
            if ticker is not None:
                self._market.restore(ticker)
            else:
                self._market.lapse(symbol)

    async def _series(self, series: Series) -> None:
        # Where a collector pauses, all series are read: more at a time would only wait for a connection, and give up.
        async with self._gate:
            await self._read(series.symbol, series.interval.name)

    async def _read(self, symbol: str, interval: str) -> None:
        series = self._market.series(symbol, interval)
        oldest = next(iter(series.closed), None) if series else None
        if oldest is None:
            found = await self._store.closed_klines(symbol, interval, SEED_KLINES)
        else:
            # From the oldest in memory: the hole may lie before the newest.
            found = await self._store.closed_klines(symbol, interval, KLINES_MAX, start_ms=oldest.open_time_ms)
        parts = found.parts
        if parts is None and series and not found.klines and (divisor := self._market.divisor(series)):
            # It has been sent, but not stored yet.
            parts = Parts(divisor, [])
        if found.klines or parts or series:
            before = series.closed.end if series else 0
            self._market.reseed(symbol, interval, found.klines, self._clock_ms(), parts)
            if series and oldest is not None:
                self.repaired += series.closed.end - before
