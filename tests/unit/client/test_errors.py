from __future__ import annotations

import pytest
from kline_gateway_client.errors import (
    Forbidden,
    GatewayError,
    InvalidSymbol,
    MissedBars,
    RateLimited,
    Unavailable,
    error_of,
)

from gateway.delivery.commands import ErrorCode
from tests.builders import MINUTE_MS, T0


@pytest.mark.parametrize(
    ("code", "kind", "temporary"),
    [
        ("INVALID_SYMBOL", InvalidSymbol, False),
        ("FORBIDDEN", Forbidden, False),
        ("RATE_LIMIT", RateLimited, True),
        ("UNAVAILABLE", Unavailable, True),
        ("REDIS_ERROR", Unavailable, True),
        ("SOMETHING_NEW", GatewayError, False),
    ],
)
def test_a_code_has_its_exception_and_keeps_its_name(code: str, kind: type[GatewayError], temporary: bool) -> None:
    error = error_of(code, "so it is")
    assert (type(error), error.code, error.temporary, str(error)) == (kind, code, temporary, f"{code}: so it is")


def test_what_is_out_of_reach_is_the_only_refusal_of_a_channel_that_passes() -> None:
    passing = {code for code in ErrorCode if error_of(code, "").temporary}
    assert passing == {ErrorCode.UNAVAILABLE} | ({"RATE_LIMIT"} & set(ErrorCode))


def test_an_error_of_its_own_has_the_code_of_its_class() -> None:
    assert Unavailable("").code == "UNAVAILABLE"


def test_missed_bars_say_which() -> None:
    error = MissedBars("BTCUSDT", "1m", T0, T0 + 3 * MINUTE_MS)
    assert (error.symbol, error.interval, error.after_ms, error.before_ms) == ("BTCUSDT", "1m", T0, T0 + 180_000)
    assert str(error) == f"MISSED_BARS: BTCUSDT 1m: bars that open between {T0} and {T0 + 180_000} are gone"
