from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState
from gateway.delivery.throttle import DEFAULT, TIER_RATES
from gateway.delivery.tier import GROUPS_MAX, SPLIT_S, Tier
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import STYLE, SampleMarket

if TYPE_CHECKING:
    from gateway.delivery.group import Group


class Fixture:
    """A tier over the ticker of one symbol."""

    def __init__(self, number: int = DEFAULT) -> None:
        hub: Hub = Hub(SampleMarket().market)
        self.ticker = hub.ticker_channel("AAAUSDT")
        self.tier = Tier(number, hub.channels)
        self._hub = hub

    def join(self, count: int = 1) -> list[Session]:
        sessions = [Session(FakeSocket(), STYLE) for _ in range(count)]
        for session in sessions:
            self._hub.add(session)
            self._hub.subscribe(session, [self.ticker])
            self.tier.join(session)
        return sessions

    def split(self, cost_s: float) -> None:
        """Split the groups there are, whose flushes take so long."""
        for group in tuple(self.tier.groups):
            group.cost_s = cost_s
        self.tier.arrange_groups()

    def sizes(self) -> list[int]:
        return [group.size for group in self.tier.groups]


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


def enter_sync(session: Session, group: Group) -> None:
    group.enter_sync(session, FeedState(), 0)


def test_a_session_knows_the_group_that_it_has_joined(fixture: Fixture) -> None:
    (session,) = fixture.join()
    (group,) = fixture.tier.groups
    assert fixture.tier.group_of(session) is group
    assert group.catching_up == {session}
    assert group.tier == DEFAULT


class TestSplit:
    def test_makes_two_groups_of_one_whose_flushes_take_long(self, fixture: Fixture) -> None:
        sessions = fixture.join(5)
        fixture.split(2 * SPLIT_S)
        assert fixture.sizes() == [3, 2]
        assert set(fixture.tier.sessions()) == set(sessions)
        assert all(session in fixture.tier.group_of(session).catching_up for session in sessions)
        assert [group.cost_s for group in fixture.tier.groups] == [SPLIT_S] * 2, "half of it each"

    def test_mixes_the_order_in_which_sockets_are_written(self, fixture: Fixture) -> None:
        sessions = fixture.join(6)
        for session, order in zip(sessions, (5, 3, 1, 0, 2, 4), strict=True):
            session.order = order
        fixture.split(2 * SPLIT_S)
        orders = [sorted(session.order for session in group.sessions()) for group in fixture.tier.groups]
        assert orders == [[0, 2, 4], [1, 3, 5]]

    def test_takes_sessions_out_of_sync_that_move_and_no_others(self, fixture: Fixture) -> None:
        for session in fixture.join(4):
            enter_sync(session, fixture.tier.group_of(session))
        first, *_ = fixture.tier.groups
        fixture.split(2 * SPLIT_S)
        _, second = fixture.tier.groups
        assert (len(first.catching_up), len(second.catching_up)) == (0, 2)
        assert all(session.cohort is None for session in second.sessions())

    def test_leaves_a_group_alone_whose_flushes_are_short(self, fixture: Fixture) -> None:
        fixture.join(4)
        fixture.split(SPLIT_S * 0.9)
        assert fixture.sizes() == [4]

    def test_leaves_a_single_session_alone(self, fixture: Fixture) -> None:
        fixture.join(1)
        fixture.split(2 * SPLIT_S)
        assert fixture.sizes() == [1]

    def test_makes_no_more_groups_than_are_worth_it(self, fixture: Fixture) -> None:
        fixture.join(100)
        for _ in range(5):
            fixture.split(2 * SPLIT_S)
        assert len(fixture.tier.groups) == GROUPS_MAX

    def test_tells_the_new_group_what_the_other_one_was_told(self, fixture: Fixture) -> None:
        fixture.join(2)
        fixture.tier.groups[0].ticker_period = 4
        fixture.split(2 * SPLIT_S)
        assert [group.ticker_period for group in fixture.tier.groups] == [4, 4]


def test_a_session_joins_the_group_with_the_fewest(fixture: Fixture) -> None:
    first, *_ = fixture.join(4)
    fixture.split(2 * SPLIT_S)
    group = fixture.tier.group_of(first)
    fixture.tier.remove(first)
    (late,) = fixture.join()
    assert fixture.tier.group_of(late) is group
    assert fixture.sizes() == [2, 2]


def test_groups_without_sessions_are_dropped_but_for_one(fixture: Fixture) -> None:
    fixture.join(4)
    fixture.split(2 * SPLIT_S)
    emptied, stays = fixture.tier.groups
    for session in emptied.sessions():
        fixture.tier.remove(session)
    emptied.cost_s = stays.cost_s = 0.0
    fixture.tier.arrange_groups()
    assert fixture.tier.groups == [stays]
    for session in stays.sessions():
        fixture.tier.remove(session)
    fixture.tier.arrange_groups()
    assert fixture.tier.groups == [stays]


def test_what_was_counted_stays_counted_when_a_group_is_dropped(fixture: Fixture) -> None:
    fixture.join(4)
    fixture.split(2 * SPLIT_S)
    first, _ = fixture.tier.groups
    for session in first.sessions():
        enter_sync(session, first)
    for _ in range(3):
        first.mark_changed([fixture.ticker])
    for session in first.sessions():
        fixture.tier.remove(session)
    fixture.tier.arrange_groups()
    assert fixture.tier.conflated == 2


def test_a_tier_adds_up_its_groups(fixture: Fixture) -> None:
    sessions = fixture.join(4)
    fixture.split(2 * SPLIT_S)
    first, second = fixture.tier.groups
    for session in sessions[1:]:
        enter_sync(session, fixture.tier.group_of(session))
    assert set(fixture.tier.sessions()) == set(sessions)
    assert fixture.tier.catching_up() == sessions[:1]
    assert (fixture.tier.behind(), fixture.tier.cohorts()) == (1, 2)
    for group in (first, second):
        group.mark_changed([fixture.ticker])
        group.mark_changed([fixture.ticker])
    second.mark_changed([fixture.ticker])
    assert (first.conflated, second.conflated, fixture.tier.conflated) == (1, 2, 3)


@pytest.mark.parametrize("number", range(len(TIER_RATES)))
def test_a_tier_has_the_interval_of_its_rate(number: int) -> None:
    tier = Fixture(number).tier
    assert tier.number == number
    assert tier.interval_s == 1 / TIER_RATES[number]
