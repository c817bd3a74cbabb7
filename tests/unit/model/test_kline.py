"""The kline, its deltas, and which of two states of one kline is the newer one."""

from __future__ import annotations

import pytest

from gateway.model.kline import Kline, KlineDelta, KlineFields, KlineUpdate, rank
from tests.builders import T0, kline


def test_a_delta_is_laid_over_a_kline_by_field_name() -> None:
    before = Kline(60_000, 119_999, "1.0", "2.0", "0.5", "1.50")
    delta = KlineDelta("BTCUSDT", "1m", 60_000, 119_999, 119_000, {"close": "1.60", "closed": True})
    after = before._replace(**delta.fields)
    assert (after.close, after.closed) == ("1.60", True)
    assert after.open == "1.0"


def test_every_field_of_a_delta_is_a_field_of_the_kline() -> None:
    assert set(KlineFields.__annotations__) <= set(Kline._fields)


def test_digits_are_kept_as_written() -> None:
    assert Kline(0, 1, "97000.10", "97000.10", "97000.10", "97000.10").close == "97000.10"


def test_a_kline_starts_forming_empty_and_with_unknown_trade_ids() -> None:
    new = Kline(0, 1, "1", "1", "1", "1")
    assert (new.closed, new.provisional, new.volume, new.trades) == (False, False, "0", 0)
    assert (new.first_trade_id, new.last_trade_id) == (-1, -1)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        pytest.param(kline(event_time_ms=T0 + 9), kline(closed=True, event_time_ms=T0), id="closed"),
        pytest.param(kline(event_time_ms=T0, trades=9), kline(event_time_ms=T0 + 1), id="event-time"),
        pytest.param(kline(trades=1, volume="9"), kline(trades=2), id="trades"),
        pytest.param(kline(volume="9.5"), kline(volume="10"), id="volume-as-a-number"),
        pytest.param(kline(0, "100 110 90 105"), kline(0, "100 110 90 106"), id="anything-else"),
    ],
)
def test_rank_orders_the_states_of_a_kline(older: Kline, newer: Kline) -> None:
    assert rank(older) < rank(newer)


def test_an_update_opens_when_its_kline_does() -> None:
    assert KlineUpdate("BTCUSDT", "1m", Kline(60_000, 119_999, "1", "1", "1", "1")).open_time_ms == 60_000
