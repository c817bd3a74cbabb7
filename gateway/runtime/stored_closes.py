"""Closed klines that come by way of the store, told to the feed state. Reads the market only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model.interval import DAY_MS, INTERVALS, MONTH_MAX_MS

if TYPE_CHECKING:
    from gateway.delivery.feed_state import FeedStateMachine
    from gateway.market.market import Market


REPLAY_MS = DAY_MS
"""Stored klines that are older, though a collector's keys expire after a day, are of a source that replays the past:
the time of day says nothing of when the next one is due."""


class StoredCloses:
    """What the store has shown of the source's closed klines."""

    def __init__(self, market: Market, feed_state: FeedStateMachine) -> None:
        self._market = market
        self._feed_state = feed_state

    def note_newer(self, now_s: float) -> None:
        """Closed klines that come by way of the store are as good as those that the feed sends."""
        for interval_s, known_ms in list(self._feed_state.times.closed_intervals.items()):
            if (newest_ms := self._newest_close_ms(interval_s)) > known_ms:
                self._feed_state.kline_closed(now_s, interval_s, newest_ms)

    def note_all(self, now_s: float, now_ms: int, *, has_prices: bool = False) -> int:
        """All has been read. Where klines are stored, more of them have to close, however long ago the last one did.

        Without fresh prices the source may be one that sends closed klines only: the store shows when the last came,
        and so whether one is overdue. `has_prices`: the feed has brought one. Returns the event time of the newest
        stored ticker, 0 where it is not known.
        """
        times = self._feed_state.times
        prices_ms = [ticker.event_time_ms for ticker in self._market.tickers() if not ticker.derived]
        newest_price_ms = max(prices_ms, default=0)
        times.prices_stored = times.prices_stored or bool(prices_ms)
        has_prices = has_prices or now_ms - newest_price_ms <= times.stale_after_s * 1000
        for interval_s in {length_s(series.interval.name) for series in self._market.every_series()}:
            newest_ms = self._newest_close_ms(interval_s)
            age_ms = now_ms - newest_ms
            if not newest_ms:
                continue
            if has_prices:
                self._feed_state.closes_stored(now_s, interval_s, newest_ms)
            elif 0 <= age_ms <= REPLAY_MS:
                self._feed_state.kline_closed(now_s - age_ms / 1000, interval_s, newest_ms)
        return newest_price_ms

    def _newest_close_ms(self, interval_s: float) -> int:
        """The newest close time of the source's series of an interval, 0 where there is none."""
        lasts = [
            series.closed.last
            for series in self._market.every_series()
            if series.in_source and length_s(series.interval.name) == interval_s
        ]
        return max((last.close_time_ms for last in lasts if last is not None), default=0)


def length_s(interval: str) -> float:
    """The length of an interval; of a month the longest."""
    return (INTERVALS[interval].length_ms or MONTH_MAX_MS) / 1000
