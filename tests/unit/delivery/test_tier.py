from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState
from gateway.delivery.throttle import DEFAULT, TIER_RATES
from gateway.delivery.tier import GROUP_SESSIONS, GROUPS_MAX, Tier
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
    assert session.group is group
    assert group.catching_up == {session}
    assert group.tier == DEFAULT


def test_groups_are_made_as_sessions_come_and_no_more_than_are_worth_it(fixture: Fixture) -> None:
    fixture.join(GROUP_SESSIONS)
    assert fixture.sizes() == [GROUP_SESSIONS]
    fixture.join()
    assert fixture.sizes() == [GROUP_SESSIONS, 1]
    fixture.join(GROUP_SESSIONS * (GROUPS_MAX + 1))
    assert len(fixture.tier.groups) == GROUPS_MAX
    assert max(fixture.sizes()) - min(fixture.sizes()) <= 1


def test_a_session_joins_the_group_with_the_fewest(fixture: Fixture) -> None:
    first, *_ = fixture.join(2 * GROUP_SESSIONS)
    first.group.remove(first)
    (late,) = fixture.join()
    assert late.group is first.group
    assert fixture.sizes() == [GROUP_SESSIONS] * 2


def test_groups_stay_when_their_sessions_leave(fixture: Fixture) -> None:
    sessions = fixture.join(GROUP_SESSIONS + 1)
    for session in sessions:
        session.group.remove(session)
    assert fixture.sizes() == [0, 0]
    assert fixture.tier.sessions() == []


def test_a_new_group_has_been_told_what_the_others_were(fixture: Fixture) -> None:
    fixture.tier.groups[0].ticker_period = 4
    fixture.join(GROUP_SESSIONS + 1)
    assert [group.ticker_period for group in fixture.tier.groups] == [4, 4]


def test_a_tier_adds_up_its_groups(fixture: Fixture) -> None:
    sessions = fixture.join(GROUP_SESSIONS + 2)
    first, second = fixture.tier.groups
    for session in sessions[1:]:
        enter_sync(session, session.group)
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
