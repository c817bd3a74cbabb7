"""Builds forming klines of closed shorter ones, for sources that send a longer interval only once it has closed. Pure.

Such a source says nothing of a forming hour until it is over, but its minutes do. The built kline is final until its
last part's close time; newer prices move it as they move any other (`merge`). It counts until the source sends a kline
of the interval itself, forming or closed. Intervals that the source lacks are `aggregate`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.market.aggregate import combine
from gateway.model.interval import INTERVALS, MONTH_MAX_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.market.change import Change
    from gateway.market.series import Series
    from gateway.market.state import SymbolState
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

PARTS_MAX = 300
"""Parts of one interval that are kept in memory for a longer one; of an interval that needs more nothing is built."""


def parts_needed(interval: str, among: Iterable[str]) -> int:
    """How many of the newest closed klines of an interval can be part of a forming one of these intervals.

    Not counted are those that klines of an interval between the two stand for, and what is too many (`PARTS_MAX`).
    """
    part, spans = INTERVALS[interval], [INTERVALS[name] for name in among]
    counts = (_count(part, whole, spans) for whole in spans if whole.is_made_of(part))
    return max((count for count in counts if count <= PARTS_MAX), default=0)


def cover(series: Iterable[Iterable[Kline]], from_ms: int, until_ms: int) -> list[Kline]:
    """Closed klines that lie between two times, ascending, none twice: the longest of those that open first.

    `series`: the closed klines of each interval, in any order. What none of them has is passed over.
    """
    within = [
        kline
        for klines in series
        for kline in klines
        if kline.open_time_ms >= from_ms and kline.close_time_ms < until_ms
    ]
    within.sort(key=lambda kline: (kline.open_time_ms, -kline.close_time_ms))
    parts: list[Kline] = []
    for kline in within:
        if kline.open_time_ms >= from_ms:
            parts.append(kline)
            from_ms = kline.close_time_ms + 1
    return parts


class Building:
    """Builds the forming klines of the symbols of which klines have closed."""

    def __init__(self, intervals: Sequence[Interval], note: Callable[[Series, Change], None]) -> None:
        """`intervals`: those that are served. `note`: takes the series that have changed."""
        self._parts = {
            whole: parts
            for whole in sorted(intervals, key=lambda span: span.length_ms or MONTH_MAX_MS)
            if (parts := [part.name for part in intervals if whole.is_made_of(part)])
            and all(_count(INTERVALS[part], whole, intervals) <= PARTS_MAX for part in parts)
        }
        self._note = note
        self._due: dict[SymbolState, None] = {}

    def mark(self, state: SymbolState) -> None:
        """Klines of the symbol have closed, or were corrected."""
        self._due[state] = None

    def build_watched(self, now_ms: int) -> bool:
        """Build what is due of the symbols that somebody watches; returns whether that has changed any series."""
        watched = [state for state in self._due if state.watchers]
        return True in [self.build(state, now_ms) for state in watched]

    def build(self, state: SymbolState, now_ms: int) -> bool:
        """Build what is due of one symbol; returns whether that has changed any series."""
        if state not in self._due:
            return False
        del self._due[state]
        changed = False
        for whole, parts in self._parts.items():
            target = state.series[whole.name]
            logs = [state.series[name].closed for name in parts]
            newest_ms = max((log.last.close_time_ms for log in logs if log.last is not None), default=0)
            if not newest_ms or target.derived_from:
                continue
            open_time_ms = whole.open_time(newest_ms)
            if target.is_sent(open_time_ms):
                continue
            close_time_ms = whole.close_time(open_time_ms)
            found = cover(logs, open_time_ms, close_time_ms + 1)
            built = combine(found, open_time_ms, close_time_ms)
            # A closed part is final for all of its time, and says nothing of what comes after it.
            built = built._replace(event_time_ms=found[-1].close_time_ms, provisional=True)
            if change := target.apply_built(built, now_ms):
                changed = True
                self._note(target, change)
        return changed


def _count(part: Interval, whole: Interval, among: Iterable[Interval]) -> int:
    """How many parts there can be in a whole, beside those that klines of another of these intervals stand for."""
    between = [other for other in among if whole.is_made_of(other) and other.is_made_of(part)]
    return min(span.parts_max(part) for span in (*between, whole))
