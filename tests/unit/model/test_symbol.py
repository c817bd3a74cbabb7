"""Which names are symbols."""

from __future__ import annotations

import pytest

from gateway.model.symbol import SymbolRule, unnameable_in


@pytest.mark.parametrize(
    "symbol",
    [
        *("BTCUSDT", "1000SATSUSDT", "BTCEUR", "S", "A" * 50),
        *("币安人生USDT", "BTC-USDT-SWAP", "BTC_USDT", "BTC/USDT", "BRK.B", "BTC-26DEC25-100000-C", "BTCUSDT_250328"),
    ],
)
def test_names_exchanges_list_are_admitted(symbol: str) -> None:
    assert SymbolRule().admits(symbol)


@pytest.mark.parametrize(
    "symbol",
    [
        pytest.param("", id="empty"),
        pytest.param("A" * 51, id="long"),
        pytest.param("btcusdt", id="lower case"),
        pytest.param("BTC USDT", id="space"),
        pytest.param("BTC:USDT", id="key separator"),
        pytest.param("BTC*", id="pattern"),
        pytest.param("BTCUSDT\n", id="line break"),
        pytest.param("BTC\u2028USDT", id="line separator"),
        pytest.param("BTC\u3000USDT", id="wide space"),
        pytest.param("BTC\ufffd", id="replacement character"),
        pytest.param("BTC\x85", id="control character"),
        pytest.param("BTC?USDT", id="URL character"),
        pytest.param("{BTC}", id="braces"),
    ],
)
def test_everything_else_is_not(symbol: str) -> None:
    assert not SymbolRule().admits(symbol)


def test_another_exchange_may_name_them_otherwise() -> None:
    rule = SymbolRule(r"[a-z]+_[a-z]+")
    assert rule.admits("btc_usdt")
    assert not rule.admits("BTCUSDT")
    assert rule.pattern == r"[a-z]+_[a-z]+"


@pytest.mark.parametrize(
    ("symbol", "dialects"),
    [
        ("BTCUSDT", []),
        ("币安人生USDT", []),
        ("BTC-USDT", []),
        ("BTC/USDT", ["URLs of Binance streams"]),
        ("kPEPE", ["Binance streams"]),
        ("BTC:USDT", ["native channels"]),
        ("a:b/c", ["native channels", "Binance streams", "URLs of Binance streams"]),
    ],
)
def test_the_dialects_that_cannot_name_a_symbol_are_known(symbol: str, dialects: list[str]) -> None:
    clauses = unnameable_in(symbol)
    assert len(clauses) == len(dialects)
    assert all(clause.startswith(dialect) for clause, dialect in zip(clauses, dialects, strict=True))
