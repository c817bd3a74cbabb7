from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from kline_gateway_client.values import Kline, Status, Ticker

from tests.builders import T0


def test_open_time_is_a_datetime_in_utc() -> None:
    one = Decimal(1)
    kline = Kline("BTCUSDT", "1m", T0, T0 + 59_999, one, one, one, one, one, one, 1, True)
    assert kline.open_time == datetime(2024, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("open_", "change"),
    [("80", "25.000"), ("300", "-66.667"), ("0", None), (None, None)],
    ids=["up", "down", "a price of nothing", "not known"],
)
def test_change_percent_is_since_24_hours_ago(open_: str | None, change: str | None) -> None:
    ticker = Ticker("BTCUSDT", Decimal(100), None if open_ is None else Decimal(open_))
    assert ticker.change_percent == (None if change is None else Decimal(change))


def test_age_is_the_time_since_the_event() -> None:
    one = Decimal(1)
    kline = Kline("BTCUSDT", "1m", T0, T0 + 59_999, one, one, one, one, one, one, 1, False, event_time_ms=T0 + 5)
    ticker = Ticker("BTCUSDT", one, event_time_ms=T0 + 5)
    assert kline.age_ms(T0 + 12) == ticker.age_ms(T0 + 12) == 7
    assert kline._replace(event_time_ms=None).age_ms(T0) is None
    assert Ticker("BTCUSDT", one).age_ms(T0) is None


def test_only_state_live_is_live() -> None:
    assert Status("live").live
    assert not Status("stale", "redis").live
