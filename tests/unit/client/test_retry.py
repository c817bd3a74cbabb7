from __future__ import annotations

import pytest
from kline_gateway_client.retry import ReconnectDelay, backoff_s, is_final

from gateway.delivery.close_codes import Close


@pytest.mark.parametrize(("failures", "most_s"), [(0, 0.5), (1, 1.0), (3, 4.0), (6, 30.0), (5000, 30.0)])
def test_backoff_is_random_up_to_a_bound_that_doubles(failures: int, most_s: float) -> None:
    assert [backoff_s(failures, jitter) for jitter in (0.0, 0.5)] == [0.0, most_s / 2]


@pytest.mark.parametrize("close", Close, ids=lambda close: close.name)
def test_final_close_codes_equal_the_gateway_s_table(close: Close) -> None:
    assert is_final(close.code) is not close.reconnect


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 4005, 4999])
def test_any_other_close_code_allows_reconnecting(code: int | None) -> None:
    assert not is_final(code)


class TestPatience:
    def test_waits_longer_with_each_failure(self) -> None:
        patience = ReconnectDelay()
        assert [patience.wait_s(0.0, None, 0.0, 0.5) for _ in range(4)] == [0.25, 0.5, 1.0, 2.0]

    def test_stable_connection_resets_the_failures(self) -> None:
        patience = ReconnectDelay()
        patience.wait_s(0.0, None, 0.0, 0.5)
        patience.wait_s(9.9, None, 0.0, 0.5)
        assert patience.wait_s(10.0, 1012, 0.0, 0.5) == 0.25
        assert patience.wait_s(0.0, 1012, 0.0, 0.5) == 0.5

    def test_waits_longer_when_the_gateway_is_overloaded(self) -> None:
        patience = ReconnectDelay()
        assert patience.wait_s(60.0, 1013, 0.0, 0.5) == 4.0
        assert patience.wait_s(0.0, 1013, 0.0, 0.5) == 8.0

    def test_waits_exactly_as_long_as_a_planned_end_said(self) -> None:
        patience = ReconnectDelay()
        assert patience.wait_s(60.0, 1012, 0.0, 0.5, 2.15) == 2.15
        assert patience.wait_s(0.0, None, 0.0, 0.5) == 0.5

    def test_waits_at_least_the_requested_time(self) -> None:
        assert ReconnectDelay().wait_s(0.0, None, 5.0, 0.5) == 5.25
