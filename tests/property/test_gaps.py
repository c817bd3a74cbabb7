"""However the source behaves and whatever its clock says, the look for missing klines is bounded, and ends."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.market.gaps import GAPS_PER_SERIES_MAX, LOOKS_MAX, WAITS_MS, GapTracker
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, kline

OVERDUE_MS = 5000
LOG = 16

fates = st.sampled_from(("heard", "heard", "stored", "late", "lost", "silent", "slow"))
"""Of one bar. `stored`: only the store has it; `late`: it is heard three bars later; `silent`: the source says nothing
while it lasts and has never had it; `slow`: it speaks of it until the next one, by a clock that hardly moves."""


class Watched:
    """A series, a source so far behind, and a watch that asks the store for what is due, once a quarter of a bar."""

    def __init__(self, behind_ms: int) -> None:
        self.series = Series("BTCUSDT", INTERVALS["1m"], LOG)
        self.watch = GapTracker(OVERDUE_MS)
        self.behind_ms = behind_ms
        self.stored: set[int] = {0}
        self.asked: Counter[int] = Counter()
        self.asked_ms: dict[int, list[int]] = {}
        self.store_read()

    def at(self, minutes: float) -> int:
        """Our clock, when the source's says that."""
        return T0 + round(minutes * MINUTE_MS) + self.behind_ms

    def store_read(self) -> None:
        held = [kline(number, closed=True, event_time_ms=0) for number in sorted(self.stored)]
        first_ms = self.series.closed.first_open_time_ms
        self.series.reseed([bar for bar in held if bar.open_time_ms >= first_ms], T0)

    def hear(self, number: int, *, closed: bool) -> None:
        self.series.fold_kline(kline(number, closed=closed), T0)
        if self.series.gap:
            self.store_read()
        # No bar waits longer for the one before it.
        self.series.settle(T0, 0)

    def look(self, minutes: float) -> None:
        now_ms = self.at(minutes)
        self.watch.look(self.series, now_ms)
        due = self.watch.due(now_ms)
        for gap in due:
            for open_ms in range(gap.from_ms, gap.to_ms + 1, MINUTE_MS):
                self.asked[open_ms] += 1
                self.asked_ms.setdefault(open_ms, []).append(now_ms)
            self.watch.looked(gap, now_ms)
        if due:
            self.store_read()

    def live(self, bars: list[str]) -> None:
        for number, fate in enumerate(bars, 1):
            if fate != "silent":
                self.hear(number, closed=False)
            for quarter in range(1, 4):
                if fate == "slow":
                    told = kline(number)
                    self.series.fold_kline(told._replace(event_time_ms=told.event_time_ms + quarter), T0)
                self.look(number + quarter / 4)
            if fate == "heard":
                self.hear(number, closed=True)
            if fate in ("heard", "stored"):
                self.stored.add(number)
            if number > 3 and bars[number - 4] == "late":
                self.hear(number - 3, closed=True)
                self.stored.add(number - 3)
            self.look(number + 1)


@given(behind_ms=st.integers(0, 10**9), early=st.booleans(), bars=st.lists(fates, max_size=60))
def test_no_kline_is_looked_for_more_often_than_allowed_and_never_twice_at_once(
    behind_ms: int, early: bool, bars: list[str]
) -> None:
    world = Watched(behind_ms)
    if early:
        # Before the source has said what time it is there.
        world.look(1)
    world.live(bars)
    for minute in range(len(bars) + 2, len(bars) + 200):
        world.look(minute)
        assert len(world.watch.gaps()) <= GAPS_PER_SERIES_MAX + 256
    assert max(world.asked.values(), default=0) <= LOOKS_MAX
    for asked_ms in world.asked_ms.values():
        assert len(asked_ms) == len(set(asked_ms))
    assert world.watch.due(world.at(len(bars) + 200) + sum(WAITS_MS)) == [], "in the end all are left alone"


@given(behind_ms=st.integers(0, 10**9), count=st.integers(0, 40))
def test_a_source_that_leaves_nothing_out_owes_nothing_however_far_behind_it_is(behind_ms: int, count: int) -> None:
    world = Watched(behind_ms)
    world.live(["heard"] * count)
    assert (world.watch.found, world.asked) == ({}, {})


@given(behind_ms=st.integers(0, 10**9), before=st.integers(1, 30), lost=st.integers(1, 5))
def test_what_such_a_source_leaves_out_is_told_of(behind_ms: int, before: int, lost: int) -> None:
    world = Watched(behind_ms)
    world.live(["heard"] * before + ["lost"] * lost + ["heard"] * 3)
    (gap,) = world.watch.gaps()
    assert (gap.from_ms, gap.to_ms) == (T0 + (before + 1) * MINUTE_MS, T0 + (before + lost) * MINUTE_MS)
