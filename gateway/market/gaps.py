"""Which closed klines are missing, and when to read the store for them again. Pure: no store, no clock.

A kline is missing when a later one has closed, or when it has not come `overdue_ms` after its close time. "After" is
measured by the source's own time: a source that is hours behind our clock is not overdue. Each run of missing klines of
a series is a gap. It is open, and the store is read for it at growing intervals, until it is repaired or given up. A
symbol that no longer trades is one gap that grows, and costs nothing once it is given up. However a gap moves, shrinks
or is split, the store is read for each of its klines at most `ATTEMPTS_MAX` times.
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
"""Between two attempts; after the last one the gap is given up."""

ATTEMPTS_MAX = 2 * (len(WAITS_MS) + 1)
"""Reads of the store for any one kline: while the source is silent, and again once it has sent later klines."""

GAPS_PER_SERIES_MAX = 16
ENDED_MAX = 256
"""Repaired gaps that are kept, so that they can be listed."""


class GapState(StrEnum):
    """The values are those of `/v1/gaps`."""

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
    """When it was found, by our clock."""
    state: GapState = GapState.OPEN
    attempts: int = 0
    """Reads of the store for it since it was opened."""
    next_attempt_ms: int = 0
    inner: bool = False
    """Whether later klines have closed: the source has continued without these."""
    confirmed: bool = True
    """Whether klines are really missing. With `skip` it may be that nothing was traded."""


@dataclass(slots=True)
class _SeriesGaps:
    """One series at its last update. `holes`: between the closed klines in memory; `overdue`: after them."""

    end: int = -1
    holes: list[tuple[int, int]] = field(default_factory=list)
    overdue: tuple[int, int] | None = None
    gaps: list[Gap] = field(default_factory=list)
    withdrawn: list[Gap] = field(default_factory=list)
    """Gaps that were overdue by our clock, and are not by the source's own time."""
    source_ms: int = 0
    """The source's own time by its newest update of the series; 0 before the first."""
    lag_ms: int = 0
    """How far that was behind our clock when it arrived."""


class GapTracker:
    """Call `update` for every series regularly. `due` returns the gaps to read the store for; report each with
    `record_attempt`."""

    def __init__(self, overdue_ms: int, *, skip: bool = False) -> None:
        """`skip`: an interval without trades has no kline, so a gap needs to be confirmed by the source."""
        self._overdue_ms = overdue_ms
        self._skip = skip
        self._series_gaps: dict[Series, _SeriesGaps] = {}
        self._open: dict[Gap, None] = {}
        self._ended: deque[Gap] = deque(maxlen=ENDED_MAX)
        # The newest source time of all series, for those that have none of their own.
        self._source_ms = self._lag_ms = 0
        self.found: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()
        self.given_up: Counter[str] = Counter()
        """Gaps since the start, by interval."""

    @property
    def open(self) -> int:
        """The number of confirmed open gaps."""
        return sum(gap.confirmed for gap in self._open)

    def update(self, series: Series, now_ms: int) -> None:
        """Bring the gaps of a series up to date."""
        last = series.closed.last
        if last is None or series.derived_from:
            # An aggregated series has the gaps of its source.
            return
        state = self._series_gaps.get(series)
        if state is None:
            state = self._series_gaps[series] = _SeriesGaps()
        changed = state.end != series.closed.end
        if changed:
            state.end = series.closed.end
            state.holes = [hole for hole in _holes(series) if not self._skip or _confirmed(hole, state.gaps)]
        overdue = self._overdue(series.interval, last, now_ms - self._lag(series, last, state, now_ms))
        moved, state.overdue = overdue != state.overdue, overdue
        if moved or (changed and (state.holes or state.gaps or state.withdrawn)):
            self._compare(series, state, [*state.holes, *([overdue] if overdue else [])], now_ms)

    def due(self, now_ms: int) -> list[Gap]:
        """Open gaps for which the store should be read now."""
        # A wait longer than any of the schedule means that the clock was set back.
        return [gap for gap in self._open if not 0 < gap.next_attempt_ms - now_ms <= WAITS_MS[-1]]

    def record_attempt(self, gap: Gap, now_ms: int) -> None:
        """The store was read for this gap, or is known not to have its klines."""
        if gap.attempts == len(WAITS_MS):
            self._end(gap, GapState.GIVEN_UP)
        else:
            gap.next_attempt_ms = now_ms + WAITS_MS[gap.attempts]
            gap.attempts += 1

    def confirm(self, gap: Gap) -> None:
        """The source states that it has closed klines of this gap."""
        if not gap.confirmed:
            gap.confirmed = True
            self.found[gap.series.interval.name] += 1

    def gaps(self) -> list[Gap]:
        """Gaps that are not repaired, then repaired ones, the latest first."""
        lasting = [gap for state in self._series_gaps.values() for gap in state.gaps if gap.confirmed]
        return [*lasting, *reversed(self._ended)]

    def latest(self, count: int) -> list[Gap]:
        """The newest `count` gaps: open ones first, then repaired ones."""
        ongoing = (gap for gap in reversed(self._open) if gap.confirmed)
        return list(islice(chain(ongoing, reversed(self._ended)), count))

    def _lag(self, series: Series, last: Kline, state: _SeriesGaps, now_ms: int) -> int:
        """How far the source is behind our clock, by its updates of this series."""
        latest = series.source_kline
        source_ms = 0
        if (
            latest is not None
            and latest.open_time_ms > last.open_time_ms
            and latest.event_time_ms <= latest.close_time_ms
        ):
            source_ms = latest.event_time_ms
        elif last.event_time_ms:
            # From the feed, not from the store. An event time after the close may only be the time of sending.
            source_ms = last.close_time_ms
        if source_ms > state.source_ms:
            state.source_ms, state.lag_ms = source_ms, max(0, now_ms - source_ms)
            if source_ms > self._source_ms:
                self._source_ms, self._lag_ms = source_ms, state.lag_ms
        return state.lag_ms if state.source_ms else self._lag_ms

    def _overdue(self, interval: Interval, last: Kline, now_ms: int) -> tuple[int, int] | None:
        """Open times of what should have closed after the newest closed kline."""
        late_ms = now_ms - self._overdue_ms
        if late_ms <= last.close_time_ms + interval.length_ms:
            return None
        first_ms, last_ms = interval.next_open(last.open_time_ms), interval.previous_open(interval.open_time(late_ms))
        return (first_ms, last_ms) if first_ms <= last_ms else None

    def _compare(self, series: Series, state: _SeriesGaps, missing: list[tuple[int, int]], now_ms: int) -> None:
        """Match the known gaps of a series with what is missing now."""
        # What lies before the klines in memory cannot be checked any more, so it stays as it is.
        kept = [gap for gap in state.gaps if gap.to_ms < series.closed.first_open_time_ms]
        known = state.gaps[len(kept) :] + state.withdrawn
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
                gap = self._split(was)
            if was is not None and last_ms < to_ms < was.to_ms:
                rest.append(replace(was, from_ms=series.interval.next_open(to_ms)))
            gap.from_ms, gap.to_ms = from_ms, to_ms
            inner = (from_ms, to_ms) in state.holes
            if inner and not gap.inner:
                # The source delivers again, and may fill in what it missed.
                self._open_again(gap, now_ms)
            gap.inner = inner
            kept.append(gap)
        early, state.withdrawn = state.withdrawn, rest
        for gap in known:
            if gap.to_ms > last_ms:
                gap.from_ms = max(gap.from_ms, series.interval.next_open(last_ms))
                state.withdrawn.append(gap)
                self._open.pop(gap, None)
            elif gap not in early:
                self._end(gap, GapState.REPAIRED)
        for gap in kept[:-GAPS_PER_SERIES_MAX]:
            self._end(gap, GapState.GIVEN_UP)
        state.gaps = kept[-GAPS_PER_SERIES_MAX:]

    def _begin(self, series: Series, from_ms: int, now_ms: int) -> Gap:
        gap = Gap(series, from_ms, from_ms, now_ms, confirmed=False)
        self._open_again(gap, now_ms)
        if not self._skip:
            self.confirm(gap)
        return gap

    def _split(self, whole: Gap) -> Gap:
        """Another part of a gap that was filled in the middle: the attempts for the whole count for each part."""
        part = replace(whole)
        # Only a confirmed gap is matched with holes.
        self.found[part.series.interval.name] += 1
        if part.state is GapState.OPEN:
            self._open[part] = None
        else:
            self.given_up[part.series.interval.name] += 1
        return part

    def _open_again(self, gap: Gap, now_ms: int) -> None:
        gap.state = GapState.OPEN
        gap.attempts = 0
        gap.next_attempt_ms = now_ms
        self._open[gap] = None

    def _end(self, gap: Gap, state: GapState) -> None:
        self._open.pop(gap, None)
        if gap.confirmed and gap.state is not state:
            counts = self.repaired if state is GapState.REPAIRED else self.given_up
            counts[gap.series.interval.name] += 1
        gap.state = state
        if gap.confirmed and state is GapState.REPAIRED:
            self._ended.append(gap)


def _confirmed(hole: tuple[int, int], gaps: list[Gap]) -> bool:
    return any(gap.confirmed and gap.from_ms <= hole[1] and hole[0] <= gap.to_ms for gap in gaps)


def _holes(series: Series) -> list[tuple[int, int]]:
    """First and last open time of each run that is missing between closed klines in memory."""
    interval, holes = series.interval, []
    next_ms = series.closed.first_open_time_ms
    for kline in series.closed:
        if kline.open_time_ms > next_ms:
            holes.append((next_ms, interval.previous_open(kline.open_time_ms)))
        next_ms = interval.next_open(kline.open_time_ms)
    return holes
