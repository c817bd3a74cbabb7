"""How many are inside, and how fast they come."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.access.admission import AdmissionControl, Refusal
from gateway.access.connection import Allowances, ConnectionAccess
from gateway.access.grants import Grant
from gateway.access.token_bucket import SECOND_US
from gateway.config import LimitsConfig
from gateway.delivery.close_codes import Close


def door(max_connections: int = 100, **limits: Any) -> AdmissionControl:
    return AdmissionControl(LimitsConfig(**limits), max_connections)


def visitor(group: str = "203.0.113.7", subject: str = "", *, exempt: bool = False) -> ConnectionAccess:
    made = ConnectionAccess(group, Allowances(LimitsConfig(), 10), 0.0, exempt=exempt)
    if subject:
        made.show(Grant(subject), 0)
    return made


def reason(refusal: Refusal | None) -> str | None:
    return refusal and refusal.reason


class TestKnock:
    def test_handshakes_of_one_address_are_limited_and_others_do_not_notice(self) -> None:
        admission = door(handshakes_per_ip_s=10, handshakes_per_ip_burst=3)
        assert [reason(admission.knock("a", 0, exempt=False)) for _ in range(4)] == [None, None, None, "address_rate"]
        assert admission.knock("b", 0, exempt=False) is None
        assert admission.knock("a", 100_000, exempt=False) is None

    def test_handshakes_of_all_are_limited(self) -> None:
        admission = door(handshakes_per_s=10, handshakes_burst=2)
        found = [admission.knock(name, 0, exempt=False) for name in "abc"]
        assert found == [None, None, Refusal(503, "handshake_rate", "too many handshakes", 0.1)]

    def test_those_refused_for_their_address_take_nothing_from_the_others(self) -> None:
        admission = door(handshakes_per_ip_burst=1, handshakes_burst=3)
        for _ in range(50):
            admission.knock("a", 0, exempt=False)
        assert [admission.knock(name, 0, exempt=False) for name in "bc"] == [None, None]

    def test_who_is_exempt_comes_as_fast_as_he_likes_while_there_is_room(self) -> None:
        admission = door(1, handshakes_per_ip_burst=1)
        assert [admission.knock("a", 0, exempt=True) for _ in range(9)] == [None] * 9
        admission.enter(visitor())
        assert reason(admission.knock("a", 0, exempt=True)) == "full"


class TestCuts:
    LIMITS: Any = {"handshakes_per_ip_s": 10, "handshakes_per_ip_burst": 20, "handshakes_per_cut": 15}

    def test_who_is_cut_for_a_flood_and_comes_back_each_second_is_soon_refused(self) -> None:
        admission = door(**self.LIMITS)
        answers = []
        for second in range(20):
            refusal = admission.knock("203.0.113.7", second * SECOND_US, exempt=False)
            answers.append(reason(refusal))
            if refusal is None:
                admission.cut(visitor(), Close.RATE_LIMIT, second * SECOND_US)
            else:
                assert 0 < refusal.retry_after_s <= 1.5
        assert answers.count(None) == (20 + 19 * 10 + 15) // 16, "each visit costs 16, and the last one may owe 15"
        assert set(answers) == {None, "address_rate"}
        assert admission.knock("203.0.113.8", 20 * SECOND_US, exempt=False) is None

    @pytest.mark.parametrize("why", [why for why in Close if why not in (Close.RATE_LIMIT, Close.POLICY)])
    def test_other_ends_cost_nothing(self, why: Close) -> None:
        admission = door(**self.LIMITS)
        for _ in range(9):
            admission.cut(visitor(), why, 0)
        assert [admission.knock("203.0.113.7", 0, exempt=False) for _ in range(20)] == [None] * 20

    def test_nor_do_those_of_who_is_exempt(self) -> None:
        admission = door(**self.LIMITS)
        for _ in range(9):
            admission.cut(visitor(exempt=True), Close.POLICY, 0)
        assert [admission.knock("203.0.113.7", 0, exempt=False) for _ in range(20)] == [None] * 20

    def test_many_that_are_cut_at_once_close_the_door_for_a_while_only(self) -> None:
        admission = door(**self.LIMITS)
        for _ in range(1000):
            admission.cut(visitor(), Close.POLICY, 0)
        assert reason(admission.knock("203.0.113.7", 2 * SECOND_US, exempt=False)) == "address_rate"
        assert admission.knock("203.0.113.7", 2_100_000, exempt=False) is None


class TestPlaces:
    def test_there_are_so_many_in_all_and_leaving_frees_one(self) -> None:
        admission = door(2)
        first = visitor()
        assert [reason(admission.enter(one)) for one in (first, visitor(), visitor())] == [None, None, "full"]
        admission.leave(first)
        assert admission.inside == 1
        assert admission.enter(visitor()) is None

    def test_there_are_so_many_for_one_address(self) -> None:
        admission = door(connections_per_ip=1)
        first = visitor("a")
        assert admission.enter(first) is None
        assert reason(admission.enter(visitor("a"))) == "address_connections"
        assert admission.enter(visitor("b")) is None
        assert admission.enter(visitor("a", exempt=True)) is None
        admission.leave(first)
        assert admission.enter(visitor("c")) is None

    def test_there_are_so_many_for_one_token_wherever_it_is_used(self) -> None:
        admission = door(connections_per_token=1)
        first = visitor("a", "jwt:ann")
        assert admission.enter(first) is None
        assert reason(admission.enter(visitor("b", "jwt:ann"))) == "token_connections"
        assert admission.enter(visitor("b", "jwt:bob")) is None
        admission.leave(first)
        assert admission.enter(visitor("b", "jwt:ann")) is None

    def test_a_token_shown_inside_counts_as_one_shown_at_the_door(self) -> None:
        admission = door(connections_per_token=1)
        first, second = visitor(), visitor()
        for one in (first, second):
            assert admission.enter(one) is None
        ann, bob = Grant("jwt:ann"), Grant("jwt:bob")
        assert admission.show(first, ann, 0)
        assert admission.show(first, ann, 0), "the same once more takes no second place"
        assert not admission.show(second, ann, 0)
        assert second.grant is None
        assert admission.show(first, bob, 0)
        assert admission.show(second, ann, 0), "the place was given back"
        admission.leave(first)
        admission.leave(second)
        assert admission.enter(visitor("a", "jwt:ann")) is None

    def test_nothing_is_kept_of_those_who_have_left(self) -> None:
        admission = door()
        for number in range(50):
            one = visitor(f"address {number}", f"jwt:{number}")
            admission.enter(one)
            admission.leave(one)
        assert not admission._by_group
        assert not admission._by_subject

    def test_nobody_leaves_twice(self) -> None:
        admission = door()
        one = visitor()
        admission.enter(one)
        admission.leave(one)
        with pytest.raises(AssertionError, match="left twice"):
            admission.leave(one)
