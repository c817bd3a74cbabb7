from __future__ import annotations

import pytest
from kline_gateway_client.errors import (
    Forbidden,
    GatewayError,
    InvalidSymbol,
    MissedBars,
    MissedKlines,
    RateLimited,
    Unavailable,
    error_of,
)

from gateway.model.errors import STREAM_CODES, ErrorCode
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
def test_code_selects_the_exception_and_is_kept(code: str, kind: type[GatewayError], temporary: bool) -> None:
    error = error_of(code, "text")
    assert (type(error), error.code, error.temporary, str(error)) == (kind, code, temporary, f"{code}: text")


def test_only_unavailable_channels_are_retried() -> None:
    passing = {code for code in STREAM_CODES if error_of(code, "").temporary}
    assert passing == {ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMIT}


def test_error_without_code_has_the_code_of_its_class() -> None:
    assert Unavailable("").code == "UNAVAILABLE"


def test_missed_klines_name_series_and_times() -> None:
    error = MissedKlines("BTCUSDT", "1m", T0, T0 + 3 * MINUTE_MS)
    assert (error.symbol, error.interval, error.after_ms, error.before_ms) == ("BTCUSDT", "1m", T0, T0 + 180_000)
    assert str(error) == f"MISSED_BARS: BTCUSDT 1m: klines that open between {T0} and {T0 + 180_000} are not available"


def test_former_name_of_missed_klines_still_works() -> None:
    assert MissedBars is MissedKlines
