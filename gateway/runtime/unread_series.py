"""Tells the feed state which series lack klines that are being read from the store, once that takes long.

Meanwhile the market shows the kline before those that are missing, and lets later ones wait. Only series that are being
read are looked at: mostly none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.delivery.staleness import Staleness, StaleReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.delivery.feed_state import FeedStateMachine
    from gateway.delivery.staleness import SeriesName
    from gateway.market.market import Market
    from gateway.market.series import Series
    from gateway.runtime.backfill import Backfill


class UnreadSeries:
    """A series is stale when it has been read for longer than `grace_s`: an ordinary read is over long before."""

    def __init__(self, market: Market, backfill: Backfill, feed_state: FeedStateMachine, grace_s: float) -> None:
        self._market = market
        self._backfill = backfill
        self._feed_state = feed_state
        self._grace_s = grace_s
        # Since when each of them has been waiting: on the monotonic clock, and in market time.
        self._since: dict[Series, tuple[float, int]] = {}

    def note(self, series: Iterable[Series], now_s: float, now_ms: int) -> None:
        """These lack klines, and are being read, or will be."""
        for one in series:
            self._since.setdefault(one, (now_s, now_ms))

    def look(self, now_s: float, now_ms: int) -> None:
        """Tell the feed state which series have been read for too long."""
        self.note(self._backfill.in_progress, now_s, now_ms)
        self._since = {series: since for series, since in self._since.items() if series in self._backfill}
        self._feed_state.set_series(
            {
                name: Staleness(StaleReason.BACKFILLING, since_ms)
                for series, (since_s, since_ms) in self._since.items()
                if now_s - since_s > self._grace_s
                for name in self._names(series)
            }
        )

    def _names(self, series: Series) -> Iterator[SeriesName]:
        """The series, and those that are derived from it."""
        interval = series.interval.name
        yield series.symbol, interval
        if series.has_dependents:
            for other in self._market.get_or_create(series.symbol).series.values():
                if other.derived_from == interval:
                    yield series.symbol, other.interval.name
