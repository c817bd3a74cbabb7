"""Which names are symbols."""

from __future__ import annotations

import pytest

from gateway.model.symbol import SymbolRule


@pytest.mark.parametrize("symbol", ["BTCUSDT", "1000SATSUSDT", "BTCEUR", "AB", "A" * 20])
def test_names_exchanges_list_are_admitted(symbol: str) -> None:
    assert SymbolRule().admits(symbol)


@pytest.mark.parametrize(
    "symbol",
    [
        pytest.param("", id="empty"),
        pytest.param("A", id="short"),
        pytest.param("A" * 21, id="long"),
        pytest.param("btcusdt", id="lower case"),
        pytest.param("BTC-USDT", id="separator"),
        pytest.param("BTC:USDT", id="key separator"),
        pytest.param("BTC*", id="pattern"),
        pytest.param("BTCUSDT\n", id="line break"),
        pytest.param("ＢＴＣ", id="full-width letters"),
        pytest.param("BTC١", id="digits of another script"),
    ],
)
def test_everything_else_is_not(symbol: str) -> None:
    assert not SymbolRule().admits(symbol)


def test_another_exchange_may_name_them_otherwise() -> None:
    rule = SymbolRule(r"[a-z]+_[a-z]+")
    assert rule.admits("btc_usdt")
    assert not rule.admits("BTCUSDT")
    assert rule.pattern == r"[a-z]+_[a-z]+"
