"""How many connections there may be, and how many handshakes per second."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from gateway.access.admission import AdmissionControl, Refusal
from gateway.access.connection import ConnectionAccess, ConnectionLimits
from gateway.access.grants import Grant
from gateway.access.token_bucket import SECOND_US
from gateway.config import LimitsConfig
from gateway.delivery.close_codes import Close
from gateway.model.errors import ErrorCode


def control(max_connections: int = 100, **limits: Any) -> AdmissionControl:
    return AdmissionControl(LimitsConfig(**limits), max_connections)


def connection(group: str = "203.0.113.7", subject: str = "", *, exempt: bool = False) -> ConnectionAccess:
    made = ConnectionAccess(group, ConnectionLimits(LimitsConfig(), 10), 0.0, exempt=exempt)
    if subject:
        made.set_grant(Grant(subject), 0)
    return made


def reason(refusal: Refusal | None) -> str | None:
    return refusal and refusal.reason


def test_places_are_scarce_from_four_fifths_of_them_on() -> None:
    admission = control(10)
    for _ in range(7):
        admission.admit(connection())
    assert not admission.is_scarce()
    admission.admit(connection())
    assert admission.is_scarce()


def test_a_refusal_names_the_setting_that_decides() -> None:
    refusal = Refusal(ErrorCode.OVERLOADED, "full", "Too many connections.")
    assert refusal.explanation == "Too many connections. See stream.max_connections."
    assert Refusal(ErrorCode.FORBIDDEN, "origin", "no").explanation == "no"


class TestHandshakes:
    def test_handshakes_per_address_are_limited(self) -> None:
        admission = control(handshakes_per_ip_s=10, handshakes_per_ip_burst=3)
        assert [reason(admission.check_handshake("a", 0, exempt=False)) for _ in range(4)] == [
            None,
            None,
            None,
            "address_rate",
        ]
        assert admission.check_handshake("b", 0, exempt=False) is None
        assert admission.check_handshake("a", 100_000, exempt=False) is None

    def test_handshakes_in_all_are_limited(self) -> None:
        admission = control(handshakes_per_s=10, handshakes_burst=2)
        found = [admission.check_handshake(name, 0, exempt=False) for name in "abc"]
        assert found == [None, None, Refusal(ErrorCode.OVERLOADED, "handshake_rate", "Too many handshakes.", 0.1)]

    def test_handshakes_refused_for_their_address_do_not_use_up_the_common_limit(self) -> None:
        admission = control(handshakes_per_ip_burst=1, handshakes_burst=3)
        for _ in range(50):
            admission.check_handshake("a", 0, exempt=False)
        assert [admission.check_handshake(name, 0, exempt=False) for name in "bc"] == [None, None]

    def test_exempt_clients_have_no_rate_limit_but_the_connection_limit(self) -> None:
        admission = control(1, handshakes_per_ip_burst=1)
        assert [admission.check_handshake("a", 0, exempt=True) for _ in range(9)] == [None] * 9
        admission.admit(connection())
        assert reason(admission.check_handshake("a", 0, exempt=True)) == "full"


class TestPenalties:
    LIMITS: ClassVar[Any] = {"handshakes_per_ip_s": 10, "handshakes_per_ip_burst": 20, "handshakes_per_cut": 15}

    def test_an_address_that_reconnects_after_each_flood_is_soon_refused(self) -> None:
        admission = control(**self.LIMITS)
        answers = []
        for second in range(20):
            refusal = admission.check_handshake("203.0.113.7", second * SECOND_US, exempt=False)
            answers.append(reason(refusal))
            if refusal is None:
                admission.penalize(connection(), Close.RATE_LIMIT, second * SECOND_US)
            else:
                assert 0 < refusal.retry_after_s <= 1.5
        assert answers.count(None) == (20 + 19 * 10 + 15) // 16, (
            "each connection costs 16, and the last one may leave a debt of 15"
        )
        assert set(answers) == {None, "address_rate"}
        assert admission.check_handshake("203.0.113.8", 20 * SECOND_US, exempt=False) is None

    @pytest.mark.parametrize("why", [why for why in Close if why not in (Close.RATE_LIMIT, Close.POLICY)])
    def test_other_close_reasons_are_not_penalized(self, why: Close) -> None:
        admission = control(**self.LIMITS)
        for _ in range(9):
            admission.penalize(connection(), why, 0)
        assert [admission.check_handshake("203.0.113.7", 0, exempt=False) for _ in range(20)] == [None] * 20

    def test_exempt_clients_are_not_penalized(self) -> None:
        admission = control(**self.LIMITS)
        for _ in range(9):
            admission.penalize(connection(exempt=True), Close.POLICY, 0)
        assert [admission.check_handshake("203.0.113.7", 0, exempt=False) for _ in range(20)] == [None] * 20

    def test_the_debt_of_many_penalties_is_bounded(self) -> None:
        admission = control(**self.LIMITS)
        for _ in range(1000):
            admission.penalize(connection(), Close.POLICY, 0)
        assert reason(admission.check_handshake("203.0.113.7", 2 * SECOND_US, exempt=False)) == "address_rate"
        assert admission.check_handshake("203.0.113.7", 2_100_000, exempt=False) is None


class TestConnections:
    def test_connections_in_all_are_limited_until_one_is_released(self) -> None:
        admission = control(2)
        first = connection()
        assert [reason(admission.admit(one)) for one in (first, connection(), connection())] == [None, None, "full"]
        admission.release(first)
        assert admission.connections == 1
        assert admission.admit(connection()) is None

    def test_connections_per_address_are_limited(self) -> None:
        admission = control(connections_per_ip=1)
        first = connection("a")
        assert admission.admit(first) is None
        assert reason(admission.admit(connection("a"))) == "address_connections"
        assert admission.admit(connection("b")) is None
        assert admission.admit(connection("a", exempt=True)) is None
        admission.release(first)
        assert admission.admit(connection("c")) is None

    def test_connections_per_token_are_limited_across_addresses(self) -> None:
        admission = control(connections_per_token=1)
        first = connection("a", "jwt:ann")
        assert admission.admit(first) is None
        assert reason(admission.admit(connection("b", "jwt:ann"))) == "token_connections"
        assert admission.admit(connection("b", "jwt:bob")) is None
        admission.release(first)
        assert admission.admit(connection("b", "jwt:ann")) is None

    def test_a_token_presented_later_counts_like_one_in_the_handshake(self) -> None:
        admission = control(connections_per_token=1)
        first, second = connection(), connection()
        for one in (first, second):
            assert admission.admit(one) is None
        ann, bob = Grant("jwt:ann"), Grant("jwt:bob")
        assert admission.present_token(first, ann, 0)
        assert admission.present_token(first, ann, 0), "presenting it again does not count twice"
        assert not admission.present_token(second, ann, 0)
        assert second.grant is None
        assert admission.present_token(first, bob, 0)
        assert admission.present_token(second, ann, 0), "the other token freed its place"
        admission.release(first)
        admission.release(second)
        assert admission.admit(connection("a", "jwt:ann")) is None

    def test_released_connections_leave_no_counts_behind(self) -> None:
        admission = control()
        for number in range(50):
            one = connection(f"address {number}", f"jwt:{number}")
            admission.admit(one)
            admission.release(one)
        assert not admission._by_group
        assert not admission._by_subject

    def test_releasing_twice_is_a_bug(self) -> None:
        admission = control()
        one = connection()
        admission.admit(one)
        admission.release(one)
        with pytest.raises(AssertionError, match="released twice"):
            admission.release(one)
