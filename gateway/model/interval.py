"""Kline intervals and their arithmetic on UTC time, in ms since the epoch.

Rules (Binance spot, "Kline/Candlestick chart intervals"): names are case-sensitive (`1m` minute, `1M` month);
weeks open on Monday 00:00 UTC; months are calendar months; everything else counts from the epoch.
A kline closes on its last millisecond: close time = next open time - 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
MONTH_MAX_MS = 31 * DAY_MS

# 1970-01-01 was a Thursday, so the first Monday is day 4.
_FIRST_MONDAY_MS = 4 * DAY_MS


@dataclass(frozen=True, slots=True)
class Interval:
    """One kline length. `length_ms` is 0 for the calendar month, whose length varies."""

    name: str
    length_ms: int
    anchor_ms: int = 0

    def open_time(self, at_ms: int) -> int:
        """Open time of the kline whose window holds `at_ms`."""
        if self.length_ms:
            return at_ms - (at_ms - self.anchor_ms) % self.length_ms
        moment = datetime.fromtimestamp(at_ms // 1000, UTC)
        return _month_ms(moment.year, moment.month)

    def next_open(self, open_time_ms: int) -> int:
        """Open time of the kline after the one that opens at `open_time_ms`."""
        if self.length_ms:
            return open_time_ms + self.length_ms
        moment = datetime.fromtimestamp(open_time_ms // 1000, UTC)
        return _month_ms(moment.year + moment.month // 12, moment.month % 12 + 1)

    def previous_open(self, open_time_ms: int) -> int:
        """Open time of the kline before the one that opens at `open_time_ms`."""
        return self.open_time(open_time_ms - 1)

    def close_time(self, open_time_ms: int) -> int:
        """Last millisecond of the kline that opens at `open_time_ms`."""
        return self.next_open(open_time_ms) - 1

    def back(self, open_time_ms: int, count: int) -> int:
        """Open time of the kline `count` places before the one that opens at `open_time_ms`."""
        if self.length_ms:
            return open_time_ms - count * self.length_ms
        for _ in range(count):
            open_time_ms = self.previous_open(open_time_ms)
        return open_time_ms

    def is_made_of(self, part: Interval) -> bool:
        """Whether klines of `part`, laid end to end, fill each of these: none lies across an edge."""
        if not part.length_ms or part is self:
            return False
        # A month begins with a day, and so with whatever divides a day.
        length_ms = self.length_ms or DAY_MS
        return length_ms % part.length_ms == 0 and (self.anchor_ms - part.anchor_ms) % part.length_ms == 0

    def parts_max(self, part: Interval) -> int:
        """How many klines of `part` the longest of these has."""
        return (self.length_ms or MONTH_MAX_MS) // part.length_ms


def _month_ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000


INTERVALS: dict[str, Interval] = {
    interval.name: interval
    for interval in (
        Interval("1s", SECOND_MS),
        Interval("1m", MINUTE_MS),
        Interval("3m", 3 * MINUTE_MS),
        Interval("5m", 5 * MINUTE_MS),
        Interval("15m", 15 * MINUTE_MS),
        Interval("30m", 30 * MINUTE_MS),
        Interval("1h", HOUR_MS),
        Interval("2h", 2 * HOUR_MS),
        Interval("4h", 4 * HOUR_MS),
        Interval("6h", 6 * HOUR_MS),
        Interval("8h", 8 * HOUR_MS),
        Interval("12h", 12 * HOUR_MS),
        Interval("1d", DAY_MS),
        Interval("3d", 3 * DAY_MS),
        Interval("1w", WEEK_MS, _FIRST_MONDAY_MS),
        Interval("1M", 0),
    )
}
"""All of Binance's spot intervals by name, shortest first."""
