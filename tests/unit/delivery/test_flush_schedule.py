"""Which group is flushed when, and with what, on a clock that is moved by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from gateway.delivery.channel import Lane
from gateway.delivery.flush_schedule import (
    ALL_LANES,
    CLOSED_BURST_S,
    CLOSED_SHARE,
    FAST_MIN_S,
    VISIT_S,
    Due,
    FlushSchedule,
)
from gateway.delivery.hub import Hub
from gateway.delivery.load_remedies import Periods
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState, StaleReason
from gateway.delivery.throttle import DEFAULT, FAST, TIER_RATES
from gateway.delivery.tier import SPLIT_S
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import LOG, STYLE, SampleMarket

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from gateway.delivery.group import Group

START_S = 1000.0
SHORTEST_S, LONGEST_S = 0.005, 0.06
SHARE, FAST_SHARE = 0.5, 0.2
ALL, NONE = Periods(1, 1), frozenset[Lane]()
TWICE = TIER_RATES.index(2.0)


class Run:
    """A schedule over the tiers of a hub, whose sessions have the ticker and the klines of one symbol and take
    everything at once. All has been still for a minute."""

    def __init__(self) -> None:
        self.samples = SampleMarket()
        self.hub: Hub = Hub(self.samples.market, LOG)
        self.hub.set_feed_state(FeedState())
        self.samples.closes(0)
        self.schedule = FlushSchedule(self.hub.tiers, SHORTEST_S, LONGEST_S, SHARE, FAST_SHARE)
        self.now_s = START_S - 60
        self.periods = ALL
        self.cost_s = 0.0
        self._prices = 0
        self._closes = 0

    def connect(self, *tiers: int) -> list[Group]:
        """A client in each of these tiers, each with a group of its own; returns these, in sync with what there is."""
        sessions = [Session(FakeSocket(), STYLE) for _ in tiers]
        for session, tier in zip(sessions, tiers, strict=True):
            self.hub.add(session)
            self.hub.move(session, tier)
            self.hub.subscribe(session, [self.hub.ticker_channel("AAAUSDT"), self.hub.kline_channel("AAAUSDT", "1m")])
        self._split()
        for _ in range(100):
            self.now_s += 0.1
            self.flush()
        assert not any(tier.catching_up() for tier in self.hub.tiers)
        self.now_s = START_S
        return [self.hub.group_of(session) for session in sessions]

    def _split(self) -> None:
        while any(group.size > 1 for group in self.hub.groups()):
            for group in self.hub.groups():
                group.note_cost(10 * SPLIT_S)
            for tier in self.hub.tiers:
                tier.arrange_groups()
        for group in self.hub.groups():
            group.cost_s = 0.0

    def price(self) -> None:
        self._prices += 1
        self.samples.price(str(self._prices))

    def closes(self) -> None:
        self._closes += 1
        self.samples.closes(self._closes)

    def flush(self) -> list[Due]:
        """What is flushed now, in this order, as `Flusher` does it; a flush takes `cost_s`."""
        self.schedule.published(self.now_s)
        self.hub.publish(self.samples.market.take_changes())
        if self.hub.has_closed:
            self.schedule.note_closed(self.now_s)
        flushed = []
        while due := self.schedule.take(self.now_s, self.hub.flush_number, self.hub.feed_state, self.periods):
            started_s = self.now_s
            self._serve(due)
            self.now_s += self.cost_s
            self.schedule.flushed(due, started_s, self.cost_s)
            if due.held_lanes is not ALL_LANES:
                due.group.note_cost(self.cost_s)
            flushed.append(due)
        return flushed

    def _serve(self, due: Due) -> None:
        group, held_lanes = due
        if held_lanes is not ALL_LANES:
            group.visited_s, group.feed_state, group.ticker_period = (
                self.now_s,
                self.hub.feed_state,
                self.periods.ticker,
            )
        self.hub.begin(group, held_lanes, self.now_s)
        group.note_served(len(group.members))
        for session in list(group.catching_up):
            session.take(self.hub.published, 10_000, 0, group.held_lanes)
            if session.is_caught_up(self.hub.published):
                self.hub.enter_sync(session)

    def flush_at(self, at_s: float) -> list[tuple[Group, AbstractSet[Lane]]]:
        """The same at another time, in seconds since the start."""
        self.now_s = START_S + at_s
        return [(due.group, due.held_lanes) for due in self.flush()]

    def wake_s(self, *, closed: bool = False) -> float:
        """When a change wakes the flusher, in seconds since the start."""
        return self.schedule.wake_s(self.now_s, closed=closed) - START_S

    def next_s(self) -> float:
        """When the next group is due, in seconds since the start."""
        return self.schedule.next_s(self.now_s, self.hub.feed_state, self.periods) - START_S

    def times_s(self, group: Group, seconds: float) -> list[float]:
        """When a group is flushed within so many seconds in which something changes every millisecond."""
        times_s = []
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.price()
            at_s = self.now_s
            if group in [due.group for due in self.flush()]:
                times_s.append(at_s)
            self.now_s = max(self.now_s, at_s + 0.001)
        return times_s


@pytest.fixture
def run() -> Run:
    return Run()


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=1e-6)


class TestInterval:
    def test_an_update_after_a_pause_leaves_at_once(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.price()
        assert run.wake_s() == 0
        assert run.flush_at(0) == [(group, NONE)]

    def test_the_next_update_leaves_no_sooner_than_the_shortest_interval_later(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.price()
        run.flush_at(0)
        run.price()
        assert run.wake_s() == near(SHORTEST_S)
        assert run.flush_at(SHORTEST_S - 0.001) == []
        assert run.next_s() == near(SHORTEST_S)
        assert run.flush_at(SHORTEST_S) == [(group, NONE)]

    def test_flushes_take_their_share_of_the_core_at_most(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.cost_s = 0.01
        run.price()
        run.flush_at(0)
        run.price()
        assert run.wake_s() == near(0.01 / SHARE)
        assert run.flush_at(0.019) == []
        assert run.next_s() == near(0.01 / SHARE)
        assert run.flush_at(0.02) == [(group, NONE)]

    def test_however_much_a_flush_costs_the_next_one_comes_after_the_longest_interval(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.price()
        (due,) = run.flush()
        run.schedule.flushed(due, run.now_s, 10.0)
        run.price()
        assert run.wake_s() == near(LONGEST_S)
        assert run.flush_at(LONGEST_S) == [(group, NONE)]

    @pytest.mark.parametrize("groups", [1, 2, 3])
    def test_follows_from_what_the_flushes_of_all_groups_take(self, run: Run, groups: int) -> None:
        first, *_ = run.connect(*[DEFAULT] * groups)
        run.cost_s = 0.005
        times_s = run.times_s(first, 3)
        interval_s = SHORTEST_S + groups * 0.005 / SHARE
        assert run.schedule.interval_s == near(interval_s)
        assert (times_s[-1] - times_s[-11]) / 10 == pytest.approx(interval_s, abs=0.003)

    def test_of_the_default_tier_does_not_follow_from_what_the_fast_one_takes(self, run: Run) -> None:
        fast, _ = run.connect(FAST, DEFAULT)
        for _ in range(20):
            fast.note_cost(0.01)
        run.price()
        run.flush_at(0)
        assert run.schedule.interval_s == near(SHORTEST_S)

    def test_is_never_longer_than_the_longest(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        group.cost_s = 10.0
        run.price()
        run.flush_at(0)
        assert run.schedule.interval_s == LONGEST_S

    def test_a_flush_that_is_due_within_the_exactness_of_timers_is_begun(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.price()
        run.flush_at(0)
        run.price()
        assert run.flush_at(SHORTEST_S - 0.0004) == [(group, NONE)]

    def test_while_the_process_is_busy_it_is_the_longest(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.price()
        run.flush_at(0)
        run.schedule.busy = True
        run.price()
        assert run.wake_s() == near(LONGEST_S)
        assert run.flush_at(LONGEST_S - 0.001) == []
        assert run.flush_at(LONGEST_S) == [(group, NONE)]

    def test_without_sessions_nothing_is_due_and_nothing_wakes(self, run: Run) -> None:
        run.price()
        assert run.flush() == []
        assert run.wake_s() == run.next_s() == math.inf


def give(run: Run, got: float, rest: float, *, others_wait: bool = False) -> None:
    """For so long that the share has come to what is left."""
    for _ in range(40):
        run.schedule.give(got, rest, others_wait=others_wait)


class TestShare:
    """By the part of the core that the process gets, and what all other work takes of it."""

    @pytest.mark.parametrize(
        ("got", "rest", "share"),
        [
            pytest.param(1.0, 0.0, SHARE, id="no more than is configured"),
            pytest.param(1.0, 0.35, SHARE, id="as long as that is left"),
            pytest.param(1.0, 0.6, 0.25, id="what is left"),
            pytest.param(0.6, 0.3, 0.21, id="of what the process gets"),
            pytest.param(1.0, 0.8, 0.1, id="some, however busy the process is"),
            pytest.param(0.5, 0.9, 0.05, id="some of what the process gets"),
        ],
    )
    def test_is_what_is_left(self, run: Run, got: float, rest: float, share: float) -> None:
        run.connect(DEFAULT)
        give(run, got, rest)
        run.price()
        (due,) = run.flush()
        run.schedule.flushed(due, run.now_s, 0.0029)
        assert run.wake_s() == near(max(SHORTEST_S, 0.0029 / share))

    def test_comes_back_when_other_work_is_done(self, run: Run) -> None:
        run.connect(DEFAULT)
        give(run, 1.0, 0.8)
        give(run, 1.0, 0.1)
        run.price()
        (due,) = run.flush()
        run.schedule.flushed(due, run.now_s, 0.01)
        assert run.wake_s() == near(0.01 / SHARE)

    def test_is_no_more_than_what_is_needed_while_others_wait(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        group.cost_s = 0.012
        run.price()
        (due,) = run.flush()
        run.schedule.flushed(due, run.now_s, 0.012)
        assert run.schedule.needed_share == near(group.cost_s / LONGEST_S)
        give(run, 1.0, 0.1, others_wait=True)
        assert run.schedule.interval_s == near(LONGEST_S)

    def test_changes_little_by_little(self, run: Run) -> None:
        run.connect(DEFAULT)
        run.schedule.give(1.0, 0.8, others_wait=False)
        run.price()
        (due,) = run.flush()
        run.schedule.flushed(due, run.now_s, 0.0049)
        assert run.wake_s() == near(0.0049 / (0.7 * SHARE + 0.3 * 0.1))


class TestGroups:
    def test_take_turns(self, run: Run) -> None:
        groups = run.connect(DEFAULT, DEFAULT, DEFAULT)
        run.cost_s = 0.004
        served = []
        for number in range(9):
            run.price()
            served += [group for group, _ in run.flush_at(number * 0.008)]
        assert len(set(groups)) == 3
        assert sorted(map(groups.index, served[:3])) == [0, 1, 2]
        assert served == served[:3] * 3

    def test_are_flushed_together_if_that_costs_next_to_nothing(self, run: Run) -> None:
        groups = run.connect(DEFAULT, DEFAULT)
        run.price()
        assert {group for group, _ in run.flush_at(0)} == set(groups)

    def test_are_flushed_once_a_flush(self, run: Run) -> None:
        groups = run.connect(DEFAULT, DEFAULT, FAST)
        run.price()
        run.hub.set_feed_state(FeedState(StaleReason.DISCONNECTED, 7))
        assert len(run.flush_at(0)) == len(groups)

    def test_get_the_longest_interval_each_however_much_they_cost(self, run: Run) -> None:
        groups = run.connect(DEFAULT, DEFAULT, DEFAULT)
        run.price()
        run.flush()
        for number in range(1, 7):
            run.price()
            at_s = number * LONGEST_S / 3
            served = run.flush_at(at_s)
            for due_group, _ in served:
                run.schedule.flushed(Due(due_group, NONE), run.now_s, 10.0)
        assert {run.now_s - group.flushed_s < LONGEST_S for group in groups} == {True}

    def test_without_changes_are_left_out(self, run: Run) -> None:
        idle, busy = run.connect(DEFAULT, DEFAULT)
        for session in idle.sessions():
            run.hub.unsubscribe(session, run.hub.channels)
        run.flush_at(0.5)
        run.price()
        assert run.flush_at(0.6) == [(busy, NONE)]

    def test_without_sessions_are_left_out(self, run: Run) -> None:
        left, stays = run.connect(DEFAULT, DEFAULT)
        for session in left.sessions():
            run.hub.remove(session)
        run.price()
        assert run.flush_at(0) == [(stays, NONE)]


class TestSlowTiers:
    @pytest.mark.parametrize("rate", TIER_RATES[DEFAULT + 1 :])
    def test_keep_their_rate(self, run: Run, rate: float) -> None:
        slow, _ = run.connect(TIER_RATES.index(rate), DEFAULT)
        times_s = run.times_s(slow, 3)
        assert 3 * rate - 8 <= len(times_s) <= 3 * rate + 1
        assert min(after_s - before_s for before_s, after_s in pairwise(times_s)) >= 1 / rate - 0.001

    def test_are_not_flushed_more_often_because_the_process_is_busy(self, run: Run) -> None:
        quick, slow = run.connect(TIER_RATES.index(60.0), TWICE)
        run.schedule.busy = True
        times_s = run.times_s(quick, 1)
        assert min(after_s - before_s for before_s, after_s in pairwise(times_s)) >= LONGEST_S - 0.001
        run.now_s += 1
        assert 2 <= len(run.times_s(slow, 1)) <= 3

    def test_are_due_again_when_their_interval_has_passed(self, run: Run) -> None:
        (slow,) = run.connect(TWICE)
        run.price()
        run.flush_at(0)
        run.price()
        assert run.flush_at(0.1) == []
        assert run.next_s() == near(0.5)
        assert run.flush_at(0.5) == [(slow, NONE)]


class TestFast:
    def test_does_not_wait_for_what_other_flushes_have_taken(self, run: Run) -> None:
        fast, usual = run.connect(FAST, DEFAULT)
        run.price()
        run.flush_at(0)
        run.schedule.flushed(Due(usual, NONE), run.now_s, 0.02)
        run.price()
        run.now_s = START_S + 0.003
        assert run.wake_s() == near(0.003)
        assert run.flush_at(0.003) == [(fast, NONE)]
        assert run.flush_at(0.04) == [(usual, NONE)]

    def test_goes_first(self, run: Run) -> None:
        usual, fast = run.connect(DEFAULT, FAST)
        run.price()
        assert run.flush_at(0) == [(fast, NONE), (usual, NONE)]

    def test_has_a_share_of_its_own(self, run: Run) -> None:
        fast, usual = run.connect(FAST, DEFAULT)
        run.price()
        run.flush_at(0)
        run.schedule.flushed(Due(fast, NONE), run.now_s, 0.004)
        run.price()
        assert run.flush_at(0.01) == [(usual, NONE)], "what the fast tier takes slows nobody else"
        assert run.next_s() == near(0.004 / FAST_SHARE)
        assert run.flush_at(0.02) == [(fast, NONE)]

    def test_is_flushed_a_millisecond_apart_at_most(self, run: Run) -> None:
        (fast,) = run.connect(FAST)
        run.price()
        run.flush_at(0)
        run.price()
        assert run.wake_s() == near(FAST_MIN_S)
        assert run.flush_at(FAST_MIN_S / 4) == []
        assert run.flush_at(FAST_MIN_S) == [(fast, NONE)]

    def test_waits_no_longer_than_the_longest_interval(self, run: Run) -> None:
        (fast,) = run.connect(FAST)
        run.price()
        run.flush_at(0)
        run.schedule.flushed(Due(fast, NONE), run.now_s, 10.0)
        run.price()
        assert run.wake_s() == near(LONGEST_S)
        assert run.flush_at(LONGEST_S) == [(fast, NONE)]

    def test_is_as_fast_while_the_process_is_busy(self, run: Run) -> None:
        (fast,) = run.connect(FAST)
        run.schedule.busy = True
        assert len(run.times_s(fast, 0.1)) >= 90

    def test_says_which_part_of_its_share_it_has_used(self, run: Run) -> None:
        fast, usual = run.connect(FAST, DEFAULT)
        run.schedule.take_fast_use(1.0)
        for group in (fast, usual, fast):
            run.schedule.flushed(Due(group, NONE), run.now_s, 0.05)
        assert run.schedule.take_fast_use(2.0) == near(0.05 / FAST_SHARE)
        assert run.schedule.take_fast_use(2.0) == 0

    def test_has_groups_that_take_turns(self, run: Run) -> None:
        first, second = run.connect(FAST, FAST)
        run.cost_s = 0.002
        served = [len(run.times_s(group, 0.5)) for group in (first, second)]
        assert min(served) >= 20


class TestClosedKlines:
    def test_leave_at_once_with_nothing_else_while_everything_else_waits(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.price()
        run.flush_at(0)
        run.schedule.flushed(Due(group, NONE), run.now_s, 0.02)
        run.price()
        run.closes()
        run.now_s = START_S + 0.003
        assert run.wake_s(closed=True) == near(0.004)
        assert run.wake_s() == near(0.04)
        assert run.flush_at(0.003) == [], "others may close in the same moment"
        ((flushed, held_lanes),) = run.flush_at(0.004)
        assert flushed is group
        assert held_lanes is ALL_LANES
        assert [fragment[:3] for fragment in group.fragment_tables[STYLE] if fragment] == [b" c1"]
        assert run.flush_at(0.04) == [(group, NONE)]
        assert group.fragment_tables[STYLE][0].startswith(b" t0:")

    def test_leave_with_everything_else_if_nothing_waits(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.closes()
        assert run.flush_at(0) == [(group, NONE)]

    def test_go_to_every_group_that_is_not_flushed_anyway(self, run: Run) -> None:
        groups = run.connect(DEFAULT, DEFAULT, FAST)
        run.cost_s = 0.01
        run.price()
        run.flush_at(0)
        run.price()
        run.closes()
        flushed = run.flush_at(0.021) + run.flush_at(0.05)
        assert {group for group, _ in flushed} == set(groups)
        assert sum(held_lanes is ALL_LANES for _, held_lanes in flushed) >= 1

    def test_do_not_go_to_groups_in_which_nothing_has_changed(self, run: Run) -> None:
        idle, busy = run.connect(DEFAULT, DEFAULT)
        for session in idle.sessions():
            run.hub.unsubscribe(session, run.hub.channels)
        run.flush_at(0.5)
        run.schedule.flushed(Due(busy, NONE), run.now_s, 0.02)
        run.closes()
        assert run.flush_at(0.503) == []
        assert run.flush_at(0.504) == [(busy, ALL_LANES)]

    def test_wait_in_slow_tiers_for_their_flush(self, run: Run) -> None:
        (slow,) = run.connect(TWICE)
        run.price()
        run.flush_at(0)
        run.closes()
        assert run.flush_at(0.1) == []
        assert run.flush_at(0.5) == [(slow, NONE)]

    def test_have_a_share_of_their_own(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.schedule.busy = True
        run.price()
        run.flush_at(0)
        run.cost_s = CLOSED_BURST_S + 0.005
        run.closes()
        run.flush_at(0.01)
        assert run.flush_at(0.011) == [(group, ALL_LANES)]
        after_s = 0.011 + 0.005 / CLOSED_SHARE
        run.closes()
        run.now_s = START_S + 0.02
        assert run.wake_s(closed=True) == near(after_s)
        assert run.flush_at(0.025) == [], "it has taken more than comes in a burst"
        assert run.next_s() == near(after_s)
        assert run.flush_at(after_s) == [(group, ALL_LANES)]

    def test_put_off_neither_the_next_flush_nor_a_visit(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.schedule.busy = True
        run.price()
        run.flush_at(0)
        run.closes()
        run.cost_s = 0.01
        run.flush_at(0.03)
        assert run.flush_at(0.031) == [(group, ALL_LANES)]
        assert group.flushed_s == group.visited_s == START_S
        run.price()
        assert run.wake_s() == near(LONGEST_S)

    def test_that_only_slow_tiers_want_are_soon_forgotten(self, run: Run) -> None:
        run.connect(TWICE)
        run.price()
        run.flush_at(0)
        run.closes()
        run.flush_at(0.01)
        run.flush_at(0.011)
        assert run.next_s() == near(0.5)


class TestHeldLanes:
    """While the process is busy, by the periods of its lanes; an interval is the longest then."""

    @pytest.fixture
    def group(self, run: Run) -> Group:
        (group,) = run.connect(DEFAULT)
        run.schedule.busy = True
        return group

    def held(self, run: Run, flushes: int) -> list[AbstractSet[Lane]]:
        held = []
        for _ in range(flushes):
            run.price()
            ((_, lanes),) = run.flush_at(run.now_s - START_S + LONGEST_S)
            held.append(lanes)
        return held

    @pytest.mark.usefixtures("group")
    def test_are_none_while_every_flush_has_tickers(self, run: Run) -> None:
        assert self.held(run, 3) == [set()] * 3

    @pytest.mark.usefixtures("group")
    def test_are_tickers_at_all_flushes_but_one_in_their_period(self, run: Run) -> None:
        run.periods = Periods(4, 1)
        assert self.held(run, 9) == [set(), *[{Lane.TICKER}] * 3] * 2 + [set()]

    @pytest.mark.usefixtures("group")
    def test_are_forming_klines_less_often(self, run: Run) -> None:
        run.periods = Periods(4, 2)
        both = {Lane.TICKER, Lane.KLINE}
        assert self.held(run, 5) == [set(), both, {Lane.TICKER}, both, set()]

    def test_are_let_go_as_soon_as_the_load_is_normal(self, run: Run, group: Group) -> None:
        run.periods = Periods(4, 2)
        self.held(run, 2)
        run.periods = ALL
        assert self.held(run, 1) == [set()]
        assert group.lanes_s == {}

    def test_are_never_those_of_the_fast_tier(self, run: Run) -> None:
        run.connect(FAST)
        run.periods = Periods(8, 4)
        assert self.held(run, 5) == [set()] * 5


class TestVisits:
    @pytest.mark.parametrize("tier", [FAST, DEFAULT, TWICE])
    def test_every_group_is_due_once_a_second_though_nothing_changes(self, run: Run, tier: int) -> None:
        (group,) = run.connect(tier)
        run.price()
        run.flush_at(0)
        assert run.next_s() == near(VISIT_S)
        assert run.flush_at(VISIT_S - 0.01) == []
        assert run.flush_at(VISIT_S) == [(group, NONE)]

    def test_an_idle_gateway_flushes_nothing_in_between(self, run: Run) -> None:
        run.connect(FAST, DEFAULT, TWICE)
        flushed = 0
        for number in range(1000):
            flushed += len(run.flush_at(number / 100))
        assert flushed == 30

    @pytest.mark.parametrize("tier", [FAST, DEFAULT])
    def test_a_new_feed_state_is_told_at_once(self, run: Run, tier: int) -> None:
        (group,) = run.connect(tier)
        run.price()
        run.flush_at(0)
        run.hub.set_feed_state(FeedState(StaleReason.DISCONNECTED, 7))
        run.now_s = START_S + 0.1
        assert run.next_s() == near(0.1)
        assert run.flush_at(0.1) == [(group, NONE)]
        assert run.flush_at(0.2) == []

    def test_the_load_is_told_at_once(self, run: Run) -> None:
        (group,) = run.connect(DEFAULT)
        run.price()
        run.flush_at(0)
        run.periods = Periods(2, 1)
        assert run.flush_at(0.1) == [(group, NONE)]
        assert run.flush_at(0.2) == []

    @pytest.mark.parametrize(("tier", "interval_s"), [(DEFAULT, LONGEST_S), (TWICE, 0.5)])
    def test_who_is_catching_up_is_served_an_interval_later_though_nothing_changes(
        self, run: Run, tier: int, interval_s: float
    ) -> None:
        (group,) = run.connect(tier)
        run.price()
        run.flush_at(0)
        for session in group.sessions():
            run.hub.leave_sync(session)
        assert run.next_s() == near(interval_s)
        assert run.flush_at(interval_s) == [(group, NONE)]
