from __future__ import annotations

from gateway.delivery.feed_state import FeedState, StaleReason
from gateway.delivery.member import Member
from tests.unit.delivery.stage import STYLE


def test_who_falls_behind_keeps_where_it_stood() -> None:
    member = Member(STYLE)
    state = FeedState(StaleReason.DISCONNECTED, 5)
    member.leave_sync(7, {1: 3}, state)
    assert (member.served_at_flush, member.log_offsets, member.feed_state) == (7, {1: 3}, state)


def test_nothing_is_kept_of_a_channel_that_was_forgotten() -> None:
    member = Member(STYLE)
    for n in (1, 2):
        member.log_offsets[n] = 5
        member.pending[n] = None
        member.to_resync.add(n)
    member.forget(1)
    assert (member.log_offsets, member.pending, member.to_resync) == ({2: 5}, {2: None}, {2})


def test_forgetting_what_was_never_known_changes_nothing() -> None:
    member = Member(STYLE)
    member.log_offsets[2] = 5
    member.forget(1)
    assert member.log_offsets == {2: 5}
