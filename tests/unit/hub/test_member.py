from __future__ import annotations

from gateway.hub.dialect import FeedState
from gateway.hub.member import Member
from tests.unit.hub.stage import STYLE


def test_who_falls_behind_keeps_where_it_stood() -> None:
    member = Member(STYLE)
    state = FeedState("redis", 5)
    member.fall_behind(7, {1: 3}, state)
    assert (member.served_tick, member.places, member.told) == (7, {1: 3}, state)


def test_nothing_is_kept_of_a_channel_that_was_forgotten() -> None:
    member = Member(STYLE)
    for n in (1, 2):
        member.places[n] = 5
        member.owed[n] = None
        member.torn.add(n)
    member.forget(1)
    assert (member.places, member.owed, member.torn) == ({2: 5}, {2: None}, {2})


def test_forgetting_what_was_never_known_changes_nothing() -> None:
    member = Member(STYLE)
    member.places[2] = 5
    member.forget(1)
    assert member.places == {2: 5}
