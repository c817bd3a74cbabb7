"""How many are inside, and how fast they come."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.access.bucket import SECOND_US
from gateway.access.door import Door, Refusal
from gateway.access.grants import Grant
from gateway.access.visitor import Allowances, Visitor
from gateway.config import LimitsConfig
from gateway.session.close_codes import Close


def door(max_connections: int = 100, **limits: Any) -> Door:
    return Door(LimitsConfig(**limits), max_connections)


def visitor(group: str = "203.0.113.7", subject: str = "", *, exempt: bool = False) -> Visitor:
    made = Visitor(group, Allowances(LimitsConfig(), 10), 0.0, exempt=exempt)
    if subject:
        made.show(Grant(subject), 0)
    return made


def reason(refusal: Refusal | None) -> str | None:
    return refusal and refusal.reason


class TestKnock:
    def test_handshakes_of_one_address_are_limited_and_others_do_not_notice(self) -> None:
        entrance = door(handshakes_per_ip_s=10, handshakes_per_ip_burst=3)
        assert [reason(entrance.knock("a", 0, exempt=False)) for _ in range(4)] == [None, None, None, "address_rate"]
        assert entrance.knock("b", 0, exempt=False) is None
        assert entrance.knock("a", 100_000, exempt=False) is None

    def test_handshakes_of_all_are_limited(self) -> None:
        entrance = door(handshakes_per_s=10, handshakes_burst=2)
        found = [entrance.knock(name, 0, exempt=False) for name in "abc"]
        assert found == [None, None, Refusal(503, "handshake_rate", "too many handshakes", 0.1)]

    def test_those_refused_for_their_address_take_nothing_from_the_others(self) -> None:
        entrance = door(handshakes_per_ip_burst=1, handshakes_burst=3)
        for _ in range(50):
            entrance.knock("a", 0, exempt=False)
        assert [entrance.knock(name, 0, exempt=False) for name in "bc"] == [None, None]

    def test_who_is_exempt_comes_as_fast_as_he_likes_while_there_is_room(self) -> None:
        entrance = door(1, handshakes_per_ip_burst=1)
        assert [entrance.knock("a", 0, exempt=True) for _ in range(9)] == [None] * 9
        entrance.enter(visitor())
        assert reason(entrance.knock("a", 0, exempt=True)) == "full"


class TestCuts:
    LIMITS: Any = {"handshakes_per_ip_s": 10, "handshakes_per_ip_burst": 20, "handshakes_per_cut": 15}

    def test_who_is_cut_for_a_flood_and_comes_back_each_second_is_soon_refused(self) -> None:
        entrance = door(**self.LIMITS)
        answers = []
        for second in range(20):
            refusal = entrance.knock("203.0.113.7", second * SECOND_US, exempt=False)
            answers.append(reason(refusal))
            if refusal is None:
                entrance.cut(visitor(), Close.RATE_LIMIT, second * SECOND_US)
            else:
                assert 0 < refusal.retry_after_s <= 1.5
        assert answers.count(None) == (20 + 19 * 10 + 15) // 16, "each visit costs 16, and the last one may owe 15"
        assert set(answers) == {None, "address_rate"}
        assert entrance.knock("203.0.113.8", 20 * SECOND_US, exempt=False) is None

    @pytest.mark.parametrize("why", [why for why in Close if why not in (Close.RATE_LIMIT, Close.POLICY)])
    def test_other_ends_cost_nothing(self, why: Close) -> None:
        entrance = door(**self.LIMITS)
        for _ in range(9):
            entrance.cut(visitor(), why, 0)
        assert [entrance.knock("203.0.113.7", 0, exempt=False) for _ in range(20)] == [None] * 20

    def test_nor_do_those_of_who_is_exempt(self) -> None:
        entrance = door(**self.LIMITS)
        for _ in range(9):
            entrance.cut(visitor(exempt=True), Close.POLICY, 0)
        assert [entrance.knock("203.0.113.7", 0, exempt=False) for _ in range(20)] == [None] * 20

    def test_many_that_are_cut_at_once_close_the_door_for_a_while_only(self) -> None:
        entrance = door(**self.LIMITS)
        for _ in range(1000):
            entrance.cut(visitor(), Close.POLICY, 0)
        assert reason(entrance.knock("203.0.113.7", 2 * SECOND_US, exempt=False)) == "address_rate"
        assert entrance.knock("203.0.113.7", 2_100_000, exempt=False) is None


class TestPlaces:
    def test_there_are_so_many_in_all_and_leaving_frees_one(self) -> None:
        entrance = door(2)
        first = visitor()
        assert [reason(entrance.enter(one)) for one in (first, visitor(), visitor())] == [None, None, "full"]
        entrance.leave(first)
        assert entrance.inside == 1
        assert entrance.enter(visitor()) is None

    def test_there_are_so_many_for_one_address(self) -> None:
        entrance = door(connections_per_ip=1)
        first = visitor("a")
        assert entrance.enter(first) is None
        assert reason(entrance.enter(visitor("a"))) == "address_connections"
        assert entrance.enter(visitor("b")) is None
        assert entrance.enter(visitor("a", exempt=True)) is None
        entrance.leave(first)
        assert entrance.enter(visitor("c")) is None

    def test_there_are_so_many_for_one_token_wherever_it_is_used(self) -> None:
        entrance = door(connections_per_token=1)
        first = visitor("a", "jwt:ann")
        assert entrance.enter(first) is None
        assert reason(entrance.enter(visitor("b", "jwt:ann"))) == "token_connections"
        assert entrance.enter(visitor("b", "jwt:bob")) is None
        entrance.leave(first)
        assert entrance.enter(visitor("b", "jwt:ann")) is None

    def test_a_token_shown_inside_counts_as_one_shown_at_the_door(self) -> None:
        entrance = door(connections_per_token=1)
        first, second = visitor(), visitor()
        for one in (first, second):
            assert entrance.enter(one) is None
        ann, bob = Grant("jwt:ann"), Grant("jwt:bob")
        assert entrance.show(first, ann, 0)
        assert entrance.show(first, ann, 0), "the same once more takes no second place"
        assert not entrance.show(second, ann, 0)
        assert second.grant is None
        assert entrance.show(first, bob, 0)
        assert entrance.show(second, ann, 0), "the place was given back"
        entrance.leave(first)
        entrance.leave(second)
        assert entrance.enter(visitor("a", "jwt:ann")) is None

    def test_nothing_is_kept_of_those_who_have_left(self) -> None:
        entrance = door()
        for number in range(50):
            one = visitor(f"address {number}", f"jwt:{number}")
            entrance.enter(one)
            entrance.leave(one)
        assert not entrance._by_group
        assert not entrance._by_subject

    def test_nobody_leaves_twice(self) -> None:
        entrance = door()
        one = visitor()
        entrance.enter(one)
        entrance.leave(one)
        with pytest.raises(AssertionError, match="left twice"):
            entrance.leave(one)
