"""Looks once a second for closed klines that should be there, and has the store read for those that are not.

Decides nothing about what is missing (`market/gaps.py`) and repairs nothing itself (`repair.py`).
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
    from collections.abc import Callable

    from gateway.config import MarketConfig
    from gateway.history.combined_store import CombinedStore
    from gateway.market.gaps import Gap
    from gateway.market.market import Market
    from gateway.market.series import Series
    from gateway.runtime.backfill import Backfill

logger = logging.getLogger(__name__)

PERIOD_S = 1.0

SERIES_AT_ONCE = 500
"""Series looked at before others get their turn: under a millisecond."""

GAPS_AT_ONCE = 1000
"""Gaps of which the store is asked at one look; the others stay due for the next."""

REPAIRS_MAX = 32
"""Series that are read again at a time because of the watch; the others stay due."""


class GapWatch:
    """`run` is the beat. Nothing is looked for while the feed is away: what is missed then is repaired as a whole."""

    def __init__(
        self,
        config: MarketConfig,
        store: CombinedStore,
        market: Market,
        backfill: Backfill,
        live: Callable[[], bool],
        clock_ms: Callable[[], int],
    ) -> None:
        self.gaps = GapTracker(round(config.overdue_s * 1000), skip=config.quiet == "skip")
        self._store = store
        self._market = market
        self._backfill = backfill
        self._live = live
        self._clock_ms = clock_ms
        self._bursts = BurstLog()
        self._asked: dict[Series, str] = {}

    async def run(self) -> None:
        live = False
        while True:
            await asyncio.sleep(PERIOD_S)
            # A link that has just come up has a moment to say what time it is there.
            before, live = live, self._live()
            if before and live:
                try:
                    await self.look()
                except StoreUnavailable:
                    # The feed or a later look will show what became of it.
                    continue

    async def look(self) -> None:
        """Look at every series, and in the store for what is due. Raises `StoreUnavailable`."""
        now_ms = self._clock_ms()
        for place, series in enumerate(self._market.every_series()):
            self.gaps.look(series, now_ms)
            self._derive(series)
            if place % SERIES_AT_ONCE == SERIES_AT_ONCE - 1:
                await asyncio.sleep(0)
        if due := self.gaps.due(now_ms)[:GAPS_AT_ONCE]:
            await self._look_for(due, now_ms)
        for line in self._bursts.due(time.monotonic()):
            logger.warning("%s", line)

    def _derive(self, series: Series) -> None:
        """Have the store read where a series can now be made of another: its symbol or that interval is new."""
        divisor = self._market.divisor(series)
        aggregation = series.aggregation
        if divisor is None or (aggregation is not None and aggregation.source.interval.name == divisor):
            return
        # The store may know better; it is asked once.
        if self._asked.get(series) != divisor and self._backfill.series(series):
            self._asked[series] = divisor

    async def _look_for(self, due: list[Gap], now_ms: int) -> None:
        # One read says of all of them whether the collector has closed more than we have. An inner gap it cannot tell.
        told = await self._store.last_closed([(gap.series.symbol, gap.series.interval.name) for gap in due])
        for gap, closed_ms in zip(due, told, strict=True):
            # Collectors differ in whether a kline closes on its last millisecond or on the next one's first.
            claimed_ms = None if closed_ms is None else gap.series.interval.open_time(closed_ms - 1)
            ahead = claimed_ms is not None and claimed_ms >= gap.from_ms
            if ahead:
                self.gaps.prove(gap)
            if ahead or claimed_ms is None or gap.inner:
                if len(self._backfill.being_read) >= REPAIRS_MAX:
                    continue
                self._backfill.series(gap.series)
            if gap.looks and gap.proven:
                self._report(gap)
            self.gaps.looked(gap, now_ms)

    def _report(self, gap: Gap) -> None:
        """A look did not help. One line a burst: where many are missing, `/v1/gaps` has them all."""
        series = gap.series
        first, last = (datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in (gap.from_ms, gap.to_ms))
        message = f"missing: {series.symbol} {series.interval.name} from {first} to {last}, look {gap.looks}"
        if line := self._bursts.add("missing", message, time.monotonic()):
            logger.warning("%s", line)
