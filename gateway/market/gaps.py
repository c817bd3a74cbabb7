"""Which closed klines should be there and are not, and when to look for them again. Pure: no store, no clock.

A kline is missing when a later one has closed, or when it has not come so long after its close time, by the time that
the feed itself goes by: one that is hours behind owes nothing yet. Each run of missing klines of a series is a gap:
open, and looked for in the store at growing intervals, until it is repaired or given up. A symbol that has gone silent
is one gap that grows; it costs nothing once it is given up. However a gap moves, shrinks or falls apart, none of its
klines is looked for more than `LOOKS_MAX` times.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.market.series import Series
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

WAITS_MS = (5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000)
"""Between two looks at the store; after the last one the gap is given up."""

LOOKS_MAX = 2 * (len(WAITS_MS) + 1)
"""Looks at the store for any one kline: those while the source is silent, and those once it has gone on without it."""

GAPS_PER_SERIES_MAX = 16
ENDED_MAX = 256
"""Gaps that are over, kept to be told of."""


class GapState(StrEnum):
    OPEN = "open"
    REPAIRED = "repaired"
    GIVEN_UP = "given_up"


@dataclass(slots=True, eq=False)
class Gap:
    """Missing klines of one series, by open time, both ends included."""

    series: Series
    from_ms: int
    to_ms: int
    since_ms: int
    """When it was noticed."""
    state: GapState = GapState.OPEN
    looks: int = 0
    next_look_ms: int = 0
    inner: bool = False
    """Whether later klines have closed: then the source has gone on without these."""
    proven: bool = True
    """Whether it is certain that these were not just quiet times."""


@dataclass(slots=True)
class _Watched:
    """One series as it was at the last look. `holes`: between the closed klines in memory; `tail`: after them."""

    end: int = -1
    holes: list[tuple[int, int]] = field(default_factory=list)
    tail: tuple[int, int] | None = None
    gaps: list[Gap] = field(default_factory=list)
    withdrawn: list[Gap] = field(default_factory=list)
    """Taken for overdue, until the source's own time said that it is not."""
    told_ms: int = 0
    """The source's own time by its newest word on the series; 0 before the first."""
    behind_ms: int = 0
    """How far that was behind our clock when it came."""


class GapTracker:
    """`look` at every series now and then; `due` says what to look for in the store, `looked` that it was done."""

    def __init__(self, overdue_ms: int, *, skip: bool = False) -> None:
        """`skip`: what nobody sent was quiet, unless the source says that it has closed it."""
        self._overdue_ms = overdue_ms
        self._skip = skip
        self._watched: dict[Series, _Watched] = {}
        self._open: dict[Gap, None] = {}
        self._ended: deque[Gap] = deque(maxlen=ENDED_MAX)
        # The newest time that any series has told, for those that have not told one of their own.
        self._told_ms = self._behind_ms = 0
        self.found: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()
        self.given_up: Counter[str] = Counter()
        """Gaps since the start, by interval."""

    @property
    def open(self) -> int:
        return sum(gap.proven for gap in self._open)

    def look(self, series: Series, now_ms: int) -> None:
        """See what of a series is missing now."""
        last = series.closed.last
        if last is None or series.aggregation is not None:
            # What is made of others lacks what they lack.
            return
        watched = self._watched.get(series)
        if watched is None:
            watched = self._watched[series] = _Watched()
        changed = watched.end != series.closed.end
        if changed:
            watched.end = series.closed.end
            watched.holes = [hole for hole in _holes(series) if not self._skip or _proven(hole, watched.gaps)]
        tail = self._tail(series.interval, last, now_ms - self._behind(series, last, watched, now_ms))
        moved, watched.tail = tail != watched.tail, tail
        if moved or (changed and (watched.holes or watched.gaps or watched.withdrawn)):
            self._compare(series, watched, [*watched.holes, *([tail] if tail else [])], now_ms)

    def due(self, now_ms: int) -> list[Gap]:
        """Open gaps that it is time to look for."""
        # A clock that was set back must not keep us waiting.
        return [gap for gap in self._open if not 0 < gap.next_look_ms - now_ms <= WAITS_MS[-1]]

    def looked(self, gap: Gap, now_ms: int) -> None:
        """The store was read for this gap, or could be seen not to have it."""
        if gap.looks == len(WAITS_MS):
            self._end(gap, GapState.GIVEN_UP)
        else:
            gap.next_look_ms = now_ms + WAITS_MS[gap.looks]
            gap.looks += 1

    def prove(self, gap: Gap) -> None:
        """The source says that it has closed these klines."""
        if not gap.proven:
            gap.proven = True
            self.found[gap.series.interval.name] += 1

    def gaps(self) -> list[Gap]:
        """Those that are not repaired, then those that were, the latest first."""
        lasting = [gap for watched in self._watched.values() for gap in watched.gaps if gap.proven]
        return [*lasting, *reversed(self._ended)]

    def latest(self, count: int) -> list[Gap]:
        """The newest of those that are looked for, then of those that were repaired."""
        ongoing = (gap for gap in reversed(self._open) if gap.proven)
        return list(islice(chain(ongoing, reversed(self._ended)), count))

    def _behind(self, series: Series, last: Kline, watched: _Watched, now_ms: int) -> int:
        """How far the source is behind our clock, as far as its words on this series show it."""
        word = series.word
        told_ms = 0
        if word is not None and word.open_time_ms > last.open_time_ms and word.event_time_ms <= word.close_time_ms:
            told_ms = word.event_time_ms
        elif last.event_time_ms:
            # Heard, not read from the store. An event time after the close may be nothing but when it came.
            told_ms = last.close_time_ms
        if told_ms > watched.told_ms:
            watched.told_ms, watched.behind_ms = told_ms, max(0, now_ms - told_ms)
            if told_ms > self._told_ms:
                self._told_ms, self._behind_ms = told_ms, watched.behind_ms
        return watched.behind_ms if watched.told_ms else self._behind_ms

    def _tail(self, span: Interval, last: Kline, now_ms: int) -> tuple[int, int] | None:
        """What should have closed by now after the newest closed kline."""
        late_ms = now_ms - self._overdue_ms
        if late_ms <= last.close_time_ms + span.length_ms:
            return None
        first_ms, last_ms = span.next_open(last.open_time_ms), span.previous_open(span.open_time(late_ms))
        return (first_ms, last_ms) if first_ms <= last_ms else None

    def _compare(self, series: Series, watched: _Watched, missing: list[tuple[int, int]], now_ms: int) -> None:
        """Bring the known gaps of a series up to what is missing."""
        # What has left the memory cannot be seen any more, so it stays as it is.
        kept = [gap for gap in watched.gaps if gap.to_ms < series.closed.first_open_time_ms]
        known = watched.gaps[len(kept) :] + watched.withdrawn
        before = [(gap, replace(gap)) for gap in known]
        assert series.closed.last is not None
        last_ms = series.closed.last.open_time_ms
        rest: list[Gap] = []
        for from_ms, to_ms in missing:
            gap, was = next(
                ((gap, was) for gap, was in before if was.from_ms <= to_ms and from_ms <= was.to_ms), (None, None)
            )
            if gap is None or was is None:
                gap = self._begin(series, from_ms, now_ms)
            elif gap in known:
                known.remove(gap)
                if gap.state is GapState.OPEN:
                    self._open[gap] = None
            else:
                gap = self._part(was)
            if was is not None and last_ms < to_ms < was.to_ms:
                rest.append(replace(was, from_ms=series.interval.next_open(to_ms)))
            gap.from_ms, gap.to_ms = from_ms, to_ms
            inner = (from_ms, to_ms) in watched.holes
            if inner and not gap.inner:
                # The source speaks again: it may fill in what it missed.
                self._look_again(gap, now_ms)
            gap.inner = inner
            kept.append(gap)
        early, watched.withdrawn = watched.withdrawn, rest
        for gap in known:
            if gap.to_ms > last_ms:
                gap.from_ms = max(gap.from_ms, series.interval.next_open(last_ms))
                watched.withdrawn.append(gap)
                self._open.pop(gap, None)
            elif gap not in early:
                self._end(gap, GapState.REPAIRED)
        for gap in kept[:-GAPS_PER_SERIES_MAX]:
            self._end(gap, GapState.GIVEN_UP)
        watched.gaps = kept[-GAPS_PER_SERIES_MAX:]

    def _begin(self, series: Series, from_ms: int, now_ms: int) -> Gap:
        gap = Gap(series, from_ms, from_ms, now_ms, proven=False)
        self._look_again(gap, now_ms)
        if not self._skip:
            self.prove(gap)
        return gap

    def _part(self, whole: Gap) -> Gap:
        """Another part of a gap that has fallen apart: what was done for the whole was done for each."""
        part = replace(whole)
        # Only a gap that is proven is seen as holes.
        self.found[part.series.interval.name] += 1
        if part.state is GapState.OPEN:
            self._open[part] = None
        else:
            self.given_up[part.series.interval.name] += 1
        return part

    def _look_again(self, gap: Gap, now_ms: int) -> None:
        gap.state = GapState.OPEN
        gap.looks = 0
        gap.next_look_ms = now_ms
        self._open[gap] = None

    def _end(self, gap: Gap, state: GapState) -> None:
        self._open.pop(gap, None)
        if gap.proven and gap.state is not state:
            counts = self.repaired if state is GapState.REPAIRED else self.given_up
            counts[gap.series.interval.name] += 1
        gap.state = state
        if gap.proven and state is GapState.REPAIRED:
            self._ended.append(gap)


def _proven(hole: tuple[int, int], gaps: list[Gap]) -> bool:
    return any(gap.proven and gap.from_ms <= hole[1] and hole[0] <= gap.to_ms for gap in gaps)


def _holes(series: Series) -> list[tuple[int, int]]:
    """Open times of what is missing between closed klines in memory."""
    span, holes = series.interval, []
    wanted_ms = series.closed.first_open_time_ms
    for kline in series.closed:
        if kline.open_time_ms > wanted_ms:
            holes.append((wanted_ms, span.previous_open(kline.open_time_ms)))
        wanted_ms = span.next_open(kline.open_time_ms)
    return holes
