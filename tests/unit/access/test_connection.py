"""One connection's allowances and times."""

from __future__ import annotations

import math

import pytest

from gateway.access.connection import Allowances, ConnectionAccess, Verdict
from gateway.access.grants import Grant, grant_of
from gateway.access.token_bucket import SECOND_US
from gateway.config import LimitsConfig
from gateway.delivery.close_codes import Close

LIMITS = LimitsConfig(messages_per_s=10, messages_burst=5, channels_per_s=100, channels_burst=20, first_subscribe_s=30)
ALLOWANCES = Allowances(LIMITS, auth_within_s=10)


def visitor(*, open: bool = True, exempt: bool = False) -> ConnectionAccess:
    return ConnectionAccess("203.0.113.7", ALLOWANCES, 1000.0, open=open, exempt=exempt)


def verdicts(someone: ConnectionAccess, times: int, now_us: int = 0) -> list[Verdict]:
    return [someone.said(now_us) for _ in range(times)]


class TestMessages:
    def test_a_burst_passes_then_as_many_are_answered_with_an_error_then_it_is_over(self) -> None:
        assert verdicts(visitor(), 11) == [Verdict.PASS] * 5 + [Verdict.WAIT] * 5 + [Verdict.CUT]

    def test_who_waits_goes_on(self) -> None:
        someone = visitor()
        verdicts(someone, 7)
        assert verdicts(someone, 3, SECOND_US) == [Verdict.PASS] * 3

    def test_who_keeps_to_the_rate_is_never_refused(self) -> None:
        someone = visitor()
        assert {someone.said(number * SECOND_US // 10) for number in range(1000)} == {Verdict.PASS}

    def test_a_flood_is_cut_although_some_of_it_passes(self) -> None:
        someone = visitor()
        heard = [someone.said(number * SECOND_US // 100) for number in range(200)]
        assert Verdict.CUT in heard
        assert heard.count(Verdict.PASS) < 30

    def test_a_token_may_bring_a_rate_of_its_own(self) -> None:
        someone = visitor()
        someone.show(Grant("jwt:ann", messages_per_s=1000.0), 0)
        assert verdicts(someone, 5) == [Verdict.PASS] * 5
        assert verdicts(someone, 3, 3000) == [Verdict.PASS] * 3

    def test_another_token_does_not_fill_the_bucket_nor_empty_it(self) -> None:
        someone = visitor()
        assert verdicts(someone, 4) == [Verdict.PASS] * 4
        for rate in (1000.0, 0.001, None):
            someone.show(Grant("jwt:ann", messages_per_s=rate), 0)
        assert verdicts(someone, 2) == [Verdict.PASS, Verdict.WAIT]


class TestChannels:
    def test_many_channels_in_few_messages_count_too(self) -> None:
        someone = visitor()
        assert [someone.listed(20, 0), someone.listed(1, 0)] == [Verdict.PASS, Verdict.WAIT]
        assert someone.listed(20, SECOND_US) is Verdict.PASS

    def test_churn_is_cut(self) -> None:
        someone = visitor()
        heard = [someone.listed(20, number * 10_000) for number in range(100)]
        assert heard[-1] is Verdict.CUT


def test_nothing_is_counted_for_who_is_exempt() -> None:
    someone = visitor(exempt=True)
    assert set(verdicts(someone, 1000)) == {Verdict.PASS}
    assert someone.listed(10**6, 0) is Verdict.PASS
    assert someone.overdue(math.inf, 0) is None
    assert someone.next_check_s(0, 0) == math.inf


class TestTimes:
    def test_who_subscribes_to_nothing_has_to_go(self) -> None:
        someone = visitor()
        assert someone.next_check_s(1000, 0) == 1030
        assert someone.overdue(1029.9, 0) is None
        assert someone.overdue(1030, 0) is Close.NO_SUBSCRIPTION
        someone.subscribed = True
        assert someone.overdue(1030, 0) is None
        assert someone.next_check_s(1030, 0) == math.inf

    def test_who_needs_a_token_has_less_time(self) -> None:
        someone = visitor(open=False)
        assert someone.next_check_s(1000, 0) == 1010
        assert someone.overdue(1010, 0) is Close.UNAUTHORIZED
        someone.show(Grant("jwt:ann"), 0)
        assert someone.overdue(1010, 0) is None
        assert [visitor(open=False).admitted, someone.admitted] == [False, True]

    def test_a_token_ends_by_the_wall_clock(self) -> None:
        someone = visitor()
        someone.subscribed = True
        someone.show(Grant("jwt:ann", expires_s=5060.0), 0)
        assert someone.next_check_s(1000, 5000) == 1060
        assert someone.overdue(10**9, 5059.9) is None
        assert someone.overdue(0, 5060) is Close.TOKEN_EXPIRED

    def test_a_token_holds_for_those_too_who_are_exempt(self) -> None:
        someone = visitor(exempt=True)
        someone.show(Grant("jwt:ann", expires_s=5060.0), 0)
        assert someone.overdue(0, 5060) is Close.TOKEN_EXPIRED


@pytest.mark.parametrize(("channel", "allowed"), [("ticker:BTCUSDT", True), ("kline:BTCUSDT:1m", False)])
def test_channels_are_those_of_its_token(channel: str, allowed: bool) -> None:
    someone = visitor()
    assert someone.allows(channel)
    someone.show(grant_of({"sub": "ann", "exp": 1, "channels": ["ticker:*"]}), 0)
    assert someone.allows(channel) is allowed
