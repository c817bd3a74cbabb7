"""Closed klines that are published and not stored yet, so that several are stored by one command. Pure.

With `every` of 1 a kline never stays here: it is stored in the step that publishes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.events import Correction, KlineEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Unstored:
    """By series. Of a kline that was corrected meanwhile only the newest values remain."""

    def __init__(self, every: int = 1, late_s: float = 0.0) -> None:
        """A series is due once `every` klines wait, or the first has waited for `late_s` seconds."""
        self._every = every
        self._late_s = late_s
        self._waiting: dict[tuple[str, str], dict[int, KlineEvent]] = {}
        # When the first kline of a series came.
        self._since_s: dict[tuple[str, str], float] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[KlineEvent]:
        """All of them, those of one series in the order in which they came."""
        return (event for events in self._waiting.values() for event in events.values())

    def add(self, events: Sequence[KlineEvent], now_s: float) -> None:
        """Add closed klines."""
        for event in events:
            series = event.symbol, event.interval
            waiting = self._waiting.setdefault(series, {})
            before = waiting.get(event.kline.open_time_ms)
            # Until it is stored for the first time it is no correction of what is stored.
            is_new = before is not None and not isinstance(before, Correction)
            waiting[event.kline.open_time_ms] = KlineEvent(*event) if is_new else event
            self._since_s.setdefault(series, now_s)

    def take(self, now_s: float, *, everything: bool = False) -> list[list[KlineEvent]]:
        """Take out the series that are due, or all: the klines of each, oldest first."""
        due = [
            series
            for series, events in self._waiting.items()
            if everything or len(events) >= self._every or now_s - self._since_s[series] >= self._late_s
        ]
        for series in due:
            del self._since_s[series]
        return [[event for _, event in sorted(self._waiting.pop(series).items())] for series in due]

    def give_back(self, taken: Sequence[Sequence[KlineEvent]], now_s: float) -> None:
        """Put back what was not stored, unless newer values have come."""
        for events in taken:
            series = events[0].symbol, events[0].interval
            waiting = self._waiting.setdefault(series, {})
            for event in events:
                waiting.setdefault(event.kline.open_time_ms, event)
            self._since_s.setdefault(series, now_s)

    def keep(self, wanted: Callable[[KlineEvent], bool]) -> None:
        """Drop those that are not `wanted`."""
        for series, events in list(self._waiting.items()):
            kept = {opened_ms: event for opened_ms, event in events.items() if wanted(event)}
            if kept:
                self._waiting[series] = kept
            else:
                del self._waiting[series], self._since_s[series]
