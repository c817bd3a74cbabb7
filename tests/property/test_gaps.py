"""However the source behaves and whatever its clock says, the attempts to find missing klines are bounded, and end."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.market.gaps import ATTEMPTS_MAX, GAPS_PER_SERIES_MAX, WAITS_MS, GapTracker
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, kline

OVERDUE_MS = 5000
LOG = 16

fates = st.sampled_from(("received", "received", "stored", "late", "lost", "silent", "slow"))
"""Of one kline. `stored`: only the store has it; `late`: it is received three klines later; `silent`: the source sends
nothing while it lasts, and never has it; `slow`: the source updates it by a clock that hardly moves."""


class World:
    """A series, a source so far behind, and a tracker; the store is read for due gaps four times a kline."""

    def __init__(self, behind_ms: int) -> None:
        self.series = Series("BTCUSDT", INTERVALS["1m"], LOG)
        self.tracker = GapTracker(OVERDUE_MS)
        self.behind_ms = behind_ms
        self.stored: set[int] = {0}
        self.asked: Counter[int] = Counter()
        self.asked_ms: dict[int, list[int]] = {}
        self.store_read()

    def at(self, minutes: float) -> int:
        """Our clock, so many minutes after `T0` by the source's clock."""
        return T0 + round(minutes * MINUTE_MS) + self.behind_ms

    def store_read(self) -> None:
        held = [kline(number, closed=True, event_time_ms=0) for number in sorted(self.stored)]
        first_ms = self.series.closed.first_open_time_ms
        self.series.reseed([bar for bar in held if bar.open_time_ms >= first_ms], T0)

    def receive(self, number: int, *, closed: bool) -> None:
        self.series.apply_kline(kline(number, closed=closed), T0)
        if self.series.gap:
            self.store_read()
        # No kline waits for the one before it.
        self.series.settle(T0, 0)

    def update(self, minutes: float) -> None:
        now_ms = self.at(minutes)
        self.tracker.update(self.series, now_ms)
        due = self.tracker.due(now_ms)
        for gap in due:
            for open_ms in range(gap.from_ms, gap.to_ms + 1, MINUTE_MS):
                self.asked[open_ms] += 1
                self.asked_ms.setdefault(open_ms, []).append(now_ms)
            self.tracker.record_attempt(gap, now_ms)
        if due:
            self.store_read()

    def live(self, bars: list[str]) -> None:
        for number, fate in enumerate(bars, 1):
            if fate != "silent":
                self.receive(number, closed=False)
            for quarter in range(1, 4):
                if fate == "slow":
                    update = kline(number)
                    self.series.apply_kline(update._replace(event_time_ms=update.event_time_ms + quarter), T0)
                self.update(number + quarter / 4)
            if fate == "received":
                self.receive(number, closed=True)
            if fate in ("received", "stored"):
                self.stored.add(number)
            if number > 3 and bars[number - 4] == "late":
                self.receive(number - 3, closed=True)
                self.stored.add(number - 3)
            self.update(number + 1)


@given(behind_ms=st.integers(0, 10**9), early=st.booleans(), bars=st.lists(fates, max_size=60))
def test_attempts_for_a_kline_are_limited_and_never_made_twice_at_once(
    behind_ms: int, early: bool, bars: list[str]
) -> None:
    world = World(behind_ms)
    if early:
        # Before any update has shown the source's time.
        world.update(1)
    world.live(bars)
    for minute in range(len(bars) + 2, len(bars) + 200):
        world.update(minute)
        assert len(world.tracker.gaps()) <= GAPS_PER_SERIES_MAX + 256
    assert max(world.asked.values(), default=0) <= ATTEMPTS_MAX
    for asked_ms in world.asked_ms.values():
        assert len(asked_ms) == len(set(asked_ms))
    assert world.tracker.due(world.at(len(bars) + 200) + sum(WAITS_MS)) == [], "in the end no gap is due"


@given(behind_ms=st.integers(0, 10**9), count=st.integers(0, 40))
def test_a_complete_source_has_no_gaps_however_far_behind_it_is(behind_ms: int, count: int) -> None:
    world = World(behind_ms)
    world.live(["received"] * count)
    assert (world.tracker.found, world.asked) == ({}, {})


@given(behind_ms=st.integers(0, 10**9), before=st.integers(1, 30), lost=st.integers(1, 5))
def test_klines_that_a_source_behind_leaves_out_are_listed(behind_ms: int, before: int, lost: int) -> None:
    world = World(behind_ms)
    world.live(["received"] * before + ["lost"] * lost + ["received"] * 3)
    (gap,) = world.tracker.gaps()
    assert (gap.from_ms, gap.to_ms) == (T0 + (before + 1) * MINUTE_MS, T0 + (before + lost) * MINUTE_MS)
