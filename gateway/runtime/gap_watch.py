"""Checks once a second for gaps, and starts a backfill for those that the store may fill.

Does not decide what is missing (`market/gaps.py`) and reads no klines itself (`backfill.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.history.store import StoreUnavailable
from gateway.market.gaps import GapTracker
from gateway.ops.logs import BurstLog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import MarketConfig
    from gateway.history.store import KlineStore
    from gateway.market.gaps import Gap
    from gateway.market.market import Market
    from gateway.market.series import Series
    from gateway.runtime.backfill import Backfill
    from gateway.runtime.gap_requests import GapRequests

logger = logging.getLogger(__name__)

PERIOD_S = 1.0

SLICE_SERIES = 500
"""Series checked before other tasks get their turn: under a millisecond."""

GAPS_PER_CHECK = 1000
"""Gaps that one check asks the store about; the others stay due for the next check."""

BACKFILLS_MAX = 32
"""Series that are backfilled at a time because of gaps; the others stay due."""


class GapWatch:
    """Keeps the `GapTracker` up to date. While the feed is stale it does nothing: `Backfill.start_all` follows."""

    def __init__(
        self,
        config: MarketConfig,
        store: KlineStore,
        market: Market,
        backfill: Backfill,
        is_live: Callable[[], bool],
        clock_ms: Callable[[], int],
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        requests: GapRequests | None = None,
    ) -> None:
        """`is_live`: whether the feed is live now. `requests`: to ask for what the store lacks."""
        self._requests = requests
        self.tracker = GapTracker(round(config.overdue_s * 1000), skip=config.quiet == "skip")
        self._store = store
        self._market = market
        self._backfill = backfill
        self._is_live = is_live
        self._clock_ms = clock_ms
        self._clock_s = clock_s
        self._sleep = sleep
        self._bursts = BurstLog()
        self._divisors_read: dict[Series, str] = {}

    async def run(self) -> None:
        """Check every `PERIOD_S` until cancelled."""
        live = False
        while True:
            await self._sleep(PERIOD_S)
            # Not in the first period after a reconnect: the source may not have shown yet how far it lags behind.
            was_live, live = live, self._is_live()
            if was_live and live:
                try:
                    await self.check()
                except StoreUnavailable:
                    # The gaps stay due, so the next check asks again.
                    continue

    async def check(self) -> None:
        """Update the gaps of every series, and handle those that are due. Raises `StoreUnavailable`."""
        now_ms = self._clock_ms()
        for number, series in enumerate(self._market.every_series(), 1):
            if series.symbol not in self._backfill.unread:
                self.tracker.update(series, now_ms)
                self._read_divisor(series)
            if number % SLICE_SERIES == 0:
                await asyncio.sleep(0)
        if due := self.tracker.due(now_ms)[:GAPS_PER_CHECK]:
            await self._handle(due, now_ms)
        if self._requests is not None:
            await self._requests.send()
        for line in self._bursts.due(self._clock_s()):
            logger.warning("%s", line)

    def _read_divisor(self, series: Series) -> None:
        """Backfill a series that can now be aggregated from another one, because the symbol or the interval is new."""
        divisor = self._market.divisor(series)
        if divisor is None or series.derived_from == divisor:
            return
        # Once only: the store may have the interval itself, so that nothing is aggregated.
        if self._divisors_read.get(series) != divisor and self._backfill.start_series(series):
            self._divisors_read[series] = divisor

    async def _handle(self, due: list[Gap], now_ms: int) -> None:
        # One read for all gaps says whether the collector has closed more than we have. It says nothing about a gap
        # between closed klines.
        last_closed = await self._store.last_closed([(gap.series.symbol, gap.series.interval.name) for gap in due])
        for gap, closed_ms in zip(due, last_closed, strict=True):
            # Collectors differ in whether a kline closes on its last millisecond or on the next one's first.
            newest_ms = None if closed_ms is None else gap.series.interval.open_time(closed_ms - 1)
            ahead = newest_ms is not None and newest_ms >= gap.from_ms
            if ahead:
                self.tracker.confirm(gap)
            if ahead or newest_ms is None or gap.inner:
                if len(self._backfill.in_progress) >= BACKFILLS_MAX:
                    continue
                self._backfill.start_series(gap.series)
            if gap.attempts and gap.confirmed:
                self._log(gap)
                if self._requests is not None:
                    self._requests.want(gap)
            self.tracker.record_attempt(gap, now_ms)

    def _log(self, gap: Gap) -> None:
        """An attempt did not fill the gap. One line a burst: `/v1/gaps` lists all gaps."""
        series = gap.series
        first, last = (datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in (gap.from_ms, gap.to_ms))
        message = f"gap in {series.symbol} {series.interval.name} from {first} to {last}, attempts={gap.attempts}"
        if line := self._bursts.add("gap", message, self._clock_s()):
            logger.warning("%s", line)
