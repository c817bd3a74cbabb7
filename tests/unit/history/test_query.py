"""Each wrong value is refused with the name of its field and a code."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.history.query import TIME_MAX_MS, KlinesQuery, QueryError, QueryRules
from gateway.model.errors import ErrorCode
from gateway.model.interval import INTERVALS
from gateway.model.symbol import SymbolRule

RULES = QueryRules(SymbolRule(), ("1m", "1h"), 500)


def refused(*values: Any, **more: Any) -> QueryError:
    error = RULES.klines(*values, **more)
    assert isinstance(error, QueryError)
    return error


def test_missing_values_take_their_defaults() -> None:
    assert RULES.klines("BTCUSDT", "1m") == KlinesQuery("BTCUSDT", INTERVALS["1m"], 500, None, None)


def test_given_values_are_kept() -> None:
    assert RULES.klines("1000SATSUSDT", "1h", 1, 0, TIME_MAX_MS) == KlinesQuery(
        "1000SATSUSDT", INTERVALS["1h"], 1, 0, TIME_MAX_MS
    )


def test_start_and_end_may_be_equal() -> None:
    assert isinstance(RULES.klines("BTCUSDT", "1m", 500, 60_000, 60_000), KlinesQuery)


@pytest.mark.parametrize("symbol", ["btcusdt", "BTC:USDT", "BTC USDT", "", "BTCUSDT\n"])
def test_an_ill_formed_symbol_is_invalid(symbol: str) -> None:
    error = refused(symbol, "1m")
    assert (error.code, error.details) == (ErrorCode.INVALID_SYMBOL, {"symbol": symbol})


def test_a_very_long_symbol_is_cut_in_the_error() -> None:
    assert refused("A" * 9000, "1m").details == {"symbol": "A" * 50}


@pytest.mark.parametrize("interval", ["5m", "1M", "", "60"])
def test_an_unknown_interval_is_invalid_and_the_error_lists_the_known_ones(interval: str) -> None:
    error = refused("BTCUSDT", interval)
    assert (error.code, error.details) == (ErrorCode.INVALID_INTERVAL, {"intervals": ("1m", "1h")})


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ((None, "1m"), "symbol"),
        ((7, "1m"), "symbol"),
        (("BTCUSDT", None), "interval"),
        (("BTCUSDT", ["1m"]), "interval"),
        (("BTCUSDT", "1m", 0), "limit"),
        (("BTCUSDT", "1m", 501), "limit"),
        (("BTCUSDT", "1m", "10"), "limit"),
        (("BTCUSDT", "1m", 1.0), "limit"),
        (("BTCUSDT", "1m", True), "limit"),
        (("BTCUSDT", "1m", 1, -1), "startTime"),
        (("BTCUSDT", "1m", 1, "x"), "startTime"),
        (("BTCUSDT", "1m", 1, None, TIME_MAX_MS + 1), "endTime"),
        (("BTCUSDT", "1m", 1, 2, 1), "endTime"),
    ],
    ids=str,
)
def test_a_value_out_of_bounds_or_of_the_wrong_type_is_refused_by_name(values: tuple[Any, ...], field: str) -> None:
    error = refused(*values)
    assert (error.code, error.details["field"]) == (ErrorCode.BAD_REQUEST, field)
    assert error.message.startswith(f"{field}: ")


def test_the_error_has_the_name_that_the_dialect_uses() -> None:
    assert refused("BTCUSDT", None, interval_name="timeframe").details["field"] == "timeframe"


def test_a_request_that_names_no_limit_gets_less_than_it_may_ask_for() -> None:
    deep = QueryRules(SymbolRule(), ("1m",), 5000, 500)
    asked, unasked = deep.klines("BTCUSDT", "1m", 5000), deep.klines("BTCUSDT", "1m")
    assert isinstance(asked, KlinesQuery)
    assert isinstance(unasked, KlinesQuery)
    assert (asked.limit, unasked.limit) == (5000, 500)


def test_a_dialect_may_serve_less_than_others() -> None:
    deep = QueryRules(SymbolRule(), ("1m",), 5000, 500)
    assert deep.up_to(5000) is deep
    for most, default in ((1000, 500), (100, 100)):
        less = deep.up_to(most)
        assert (less.limit_max, less.limit_default, less.intervals) == (most, default, ("1m",))
        assert less.symbols is deep.symbols
