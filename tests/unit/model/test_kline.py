"""The kline and its news: fields of an update are fields of the value."""

from __future__ import annotations

from gateway.model.kline import Kline, KlineFields, KlineUpdate


def test_an_update_folds_into_the_kline_by_field_name() -> None:
    bar = Kline(60_000, 119_999, "1.0", "2.0", "0.5", "1.50")
    update = KlineUpdate("BTCUSDT", "1m", 60_000, 119_000, {"close": "1.60", "closed": True})
    folded = bar._replace(**update.fields)
    assert (folded.close, folded.closed) == ("1.60", True)
    assert folded.open == "1.0"


def test_everything_an_update_may_carry_is_a_field_of_the_kline() -> None:
    assert set(KlineFields.__annotations__) <= set(Kline._fields)


def test_digits_are_kept_as_written() -> None:
    assert Kline(0, 1, "97000.10", "97000.10", "97000.10", "97000.10").close == "97000.10"


def test_a_bar_starts_open_empty_and_with_unknown_trade_ids() -> None:
    bar = Kline(0, 1, "1", "1", "1", "1")
    assert (bar.closed, bar.provisional, bar.volume, bar.trades) == (False, False, "0", 0)
    assert (bar.first_trade_id, bar.last_trade_id) == (-1, -1)
