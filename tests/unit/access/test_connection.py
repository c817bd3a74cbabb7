"""Rate limits and deadlines of one connection."""

from __future__ import annotations

import math

import pytest

from gateway.access.connection import IDLE_CHECK_S, ConnectionAccess, ConnectionLimits, Verdict
from gateway.access.grants import Grant, grant_of
from gateway.access.token_bucket import SECOND_US
from gateway.config import LimitsConfig
from gateway.delivery.close_codes import Close

LIMITS = LimitsConfig(
    messages_per_s=10,
    messages_burst=5,
    channels_per_s=100,
    channels_burst=20,
    history_rows_per_s=1000,
    history_rows_burst=500,
    first_subscribe_s=30,
)
CONNECTION_LIMITS = ConnectionLimits(LIMITS, auth_within_s=10)


def connection(*, open: bool = True, exempt: bool = False, may_idle: bool = False) -> ConnectionAccess:
    return ConnectionAccess("203.0.113.7", CONNECTION_LIMITS, 1000.0, open=open, exempt=exempt, may_idle=may_idle)


def verdicts(one: ConnectionAccess, times: int, now_us: int = 0) -> list[Verdict]:
    return [one.take_message(now_us) for _ in range(times)]


class TestMessages:
    def test_a_burst_passes_then_as_many_are_refused_then_it_disconnects(self) -> None:
        assert verdicts(connection(), 11) == [Verdict.PASS] * 5 + [Verdict.REFUSE] * 5 + [Verdict.DISCONNECT]

    def test_a_client_that_waits_may_go_on(self) -> None:
        one = connection()
        verdicts(one, 7)
        assert verdicts(one, 3, SECOND_US) == [Verdict.PASS] * 3

    def test_a_client_within_its_rate_is_never_refused(self) -> None:
        one = connection()
        assert {one.take_message(number * SECOND_US // 10) for number in range(1000)} == {Verdict.PASS}

    def test_a_flood_disconnects_although_some_messages_pass(self) -> None:
        one = connection()
        found = [one.take_message(number * SECOND_US // 100) for number in range(200)]
        assert Verdict.DISCONNECT in found
        assert found.count(Verdict.PASS) < 30

    def test_a_token_may_set_its_own_rate(self) -> None:
        one = connection()
        one.set_grant(Grant("jwt:ann", messages_per_s=1000.0), 0)
        assert verdicts(one, 5) == [Verdict.PASS] * 5
        assert verdicts(one, 3, 3000) == [Verdict.PASS] * 3

    def test_another_token_keeps_the_level_of_the_bucket(self) -> None:
        one = connection()
        assert verdicts(one, 4) == [Verdict.PASS] * 4
        for rate in (1000.0, 0.001, None):
            one.set_grant(Grant("jwt:ann", messages_per_s=rate), 0)
        assert verdicts(one, 2) == [Verdict.PASS, Verdict.REFUSE]


class TestChannels:
    def test_channels_are_limited_however_few_messages_name_them(self) -> None:
        one = connection()
        assert [one.take_channels(20, 0), one.take_channels(1, 0)] == [Verdict.PASS, Verdict.REFUSE]
        assert one.take_channels(20, SECOND_US) is Verdict.PASS

    def test_subscription_churn_disconnects(self) -> None:
        one = connection()
        found = [one.take_channels(20, number * 10_000) for number in range(100)]
        assert found[-1] is Verdict.DISCONNECT


class TestHistoryRows:
    def test_a_start_passes_at_once_and_more_as_time_goes_by(self) -> None:
        one = connection()
        assert [one.take_rows(500, 0), one.take_rows(1, 0)] == [Verdict.PASS, Verdict.REFUSE]
        assert one.take_rows(500, SECOND_US) is Verdict.PASS

    def test_rows_and_channels_are_counted_apart(self) -> None:
        one = connection()
        assert one.take_rows(500, 0) is Verdict.PASS
        assert one.take_channels(20, 0) is Verdict.PASS


def test_an_exempt_connection_has_no_limits() -> None:
    one = connection(exempt=True)
    assert set(verdicts(one, 1000)) == {Verdict.PASS}
    assert one.take_channels(10**6, 0) is Verdict.PASS
    assert one.take_rows(10**9, 0) is Verdict.PASS
    assert one.close_reason(math.inf, 0) is None
    assert one.next_check_s(0, 0) == math.inf


class TestDeadlines:
    def test_a_connection_without_subscription_is_closed(self) -> None:
        one = connection()
        assert one.next_check_s(1000, 0) == 1030
        assert one.close_reason(1029.9, 0) is None
        assert one.close_reason(1030, 0) is Close.NO_SUBSCRIPTION
        one.subscribed = True
        assert one.close_reason(1030, 0) is None
        assert one.next_check_s(1030, 0) == math.inf

    def test_a_connection_that_may_be_idle_is_closed_only_while_places_are_scarce(self) -> None:
        one = connection(may_idle=True)
        assert one.next_check_s(1000, 0) == 1030
        assert one.next_check_s(1030, 0) == 1030 + IDLE_CHECK_S
        assert one.close_reason(1029.9, 0, scarce=True) is None
        assert one.close_reason(9999, 0, scarce=False) is None
        assert one.close_reason(9999, 0, scarce=True) is Close.NO_SUBSCRIPTION
        assert connection().close_reason(1030, 0, scarce=False) is Close.NO_SUBSCRIPTION

    def test_a_required_token_has_its_own_deadline(self) -> None:
        one = connection(open=False)
        assert one.next_check_s(1000, 0) == 1010
        assert one.close_reason(1010, 0) is Close.UNAUTHORIZED
        one.set_grant(Grant("jwt:ann"), 0)
        assert one.close_reason(1010, 0) is None
        assert [connection(open=False).authorized, one.authorized] == [False, True]

    def test_a_token_expires_by_the_wall_clock(self) -> None:
        one = connection()
        one.subscribed = True
        one.set_grant(Grant("jwt:ann", expires_s=5060.0), 0)
        assert one.next_check_s(1000, 5000) == 1060
        assert one.close_reason(10**9, 5059.9) is None
        assert one.close_reason(0, 5060) is Close.TOKEN_EXPIRED

    def test_the_token_of_an_exempt_connection_expires_too(self) -> None:
        one = connection(exempt=True)
        one.set_grant(Grant("jwt:ann", expires_s=5060.0), 0)
        assert one.close_reason(0, 5060) is Close.TOKEN_EXPIRED


@pytest.mark.parametrize(("channel", "allowed"), [("ticker:BTCUSDT", True), ("kline:BTCUSDT:1m", False)])
def test_the_token_decides_which_channels_are_allowed(channel: str, allowed: bool) -> None:
    one = connection()
    assert one.allows(channel)
    one.set_grant(grant_of({"sub": "ann", "exp": 1, "channels": ["ticker:*"]}), 0)
    assert one.allows(channel) is allowed
