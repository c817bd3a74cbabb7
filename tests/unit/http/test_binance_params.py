"""What is wrong with a request is told with Binance's codes, in Binance's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from starlette.requests import Request

from gateway.history.query import TIME_MAX_MS, QueryRules
from gateway.http.binance_params import Parameters, Refused
from gateway.model.interval import INTERVALS
from gateway.model.symbol import SymbolRule

if TYPE_CHECKING:
    from collections.abc import Callable

RULES = QueryRules(SymbolRule(), tuple(INTERVALS), 500)
KNOWN = ("symbol", "symbols", "interval", "limit", "startTime", "timeZone", "type")


def parameters(query: str = "", unit: str | None = None, rules: QueryRules = RULES, **given: str) -> Parameters:
    text = query or urlencode(given)
    headers = [] if unit is None else [(b"x-mbx-time-unit", unit.encode())]
    return Parameters(Request({"type": "http", "query_string": text.encode(), "headers": headers}), rules, KNOWN)


def refusal(of: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        of()
    return caught.value.code, caught.value.message


def test_a_parameter_given_twice_or_unknown_is_too_many() -> None:
    assert refusal(lambda: parameters("limit=1&limit=1")) == (-1101, "Duplicate values for a parameter detected.")
    assert refusal(lambda: parameters("limit=1&foo=1&bar=")) == (
        -1101,
        "Too many parameters; expected '1' and received '3'.",
    )


def test_missing_and_empty_are_different_errors() -> None:
    assert parameters().text("type") is None
    assert refusal(parameters().symbol) == (
        -1102,
        "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
    )
    assert refusal(parameters("symbol=").symbol) == (-1105, "Parameter 'symbol' was empty.")


@pytest.mark.parametrize("name", ["FOO-BAR", "A", "BTC_USDT", "BTC.D", "币安人生USDT", "X" * 50])
def test_a_symbol_that_the_gateway_does_not_admit_is_invalid(name: str) -> None:
    rules = QueryRules(SymbolRule("[A-Z]{3,20}"), tuple(INTERVALS), 500)
    assert refusal(parameters(rules=rules, symbol=name).symbol)[0] == -1121


@pytest.mark.parametrize("name", ["FOO-BAR", "A", "BTC_USDT", "BTC/USDT", "币安人生USDT", "X" * 50])
def test_a_symbol_that_the_gateway_admits_is_accepted(name: str) -> None:
    assert parameters(symbol=name).symbol() == name


@pytest.mark.parametrize("name", ["btcusdt", "BTC USDT", "BTC*", "\x00", "X" * 51])
def test_illegal_characters_are_answered_with_the_legal_range(name: str) -> None:
    assert refusal(parameters(symbol=name).symbol) == (
        -1100,
        "Illegal characters found in parameter 'symbol'; legal range is '^[\\w\\-._&&[^a-z]]{1,50}$'.",
    )


def test_one_symbol_a_list_or_neither_is_accepted() -> None:
    rules = QueryRules(SymbolRule("[A-Z]{3,20}"), tuple(INTERVALS), 500)
    assert parameters(symbol="BTCUSDT").symbols() == "BTCUSDT"
    assert parameters(symbols='["BTCUSDT","ETHUSDT"]').symbols() == ["BTCUSDT", "ETHUSDT"]
    assert parameters(symbols='["BTCUSDT"]').symbols() == ["BTCUSDT"]
    assert parameters().symbols() is None
    assert refusal(parameters(symbol="BTCUSDT", symbols='["BTCUSDT"]').symbols)[0] == -1128
    assert refusal(parameters(symbols='["BTCUSDT","BTCUSDT"]').symbols) == (
        -1151,
        "Symbol is present multiple times in the list.",
    )
    assert refusal(parameters(symbols='["BTCUSDT","F-O"]', rules=rules).symbols)[0] == -1121


@pytest.mark.parametrize("text", ["BTCUSDT", "[", "{}", "[]", "[1]", '"BTCUSDT"', '[["BTCUSDT"]]', '["btcusdt"]'])
def test_a_malformed_list_is_answered_with_its_grammar(text: str) -> None:
    code, message = refusal(parameters(symbols=text).symbols)
    assert code == -1100
    assert message.startswith(
        "Illegal characters found in parameter 'symbols'; legal range is '^\\[(\"[\\w\\-._&&[^a-z]]"
    )


def test_intervals_are_case_sensitive() -> None:
    assert parameters(interval="1m").interval() is INTERVALS["1m"]
    assert parameters(interval="1M").interval() is INTERVALS["1M"]
    assert refusal(parameters(interval="1H").interval) == (-1120, "Invalid interval.")
    assert refusal(parameters().interval)[0] == -1102


@pytest.mark.parametrize("text", ["-1", "1.0", "1e3", "x", "٣", "1" * 21, " 1"])
def test_an_integer_is_digits_only(text: str) -> None:
    assert refusal(lambda: parameters(startTime=text).time("startTime")) == (
        -1100,
        "Illegal characters found in parameter 'startTime'; legal range is '^[0-9]{1,20}$'.",
    )


def test_times_in_the_far_future_are_capped() -> None:
    assert parameters().time("startTime") is None
    assert parameters(startTime="0").time("startTime") == 0
    assert parameters(startTime="9" * 20).time("startTime") == TIME_MAX_MS


@pytest.mark.parametrize("unit", [None, "MILLISECOND", "MICROSECOND"])
def test_microseconds_are_recognised_by_their_magnitude(unit: str | None) -> None:
    at_ms = 1_732_310_040_000
    assert parameters(unit=unit, startTime=str(at_ms)).time("startTime") == at_ms
    assert parameters(unit=unit, startTime=f"{at_ms}999").time("startTime") == at_ms
    assert parameters(unit=unit, startTime=f"{at_ms}001").time("startTime", up=True) == at_ms + 1
    assert parameters(unit=unit, startTime=f"{at_ms}000").time("startTime", up=True) == at_ms


@pytest.mark.parametrize(
    ("unit", "micro"),
    [(None, False), ("MILLISECOND", False), ("millisecond", False), ("MICROSECOND", True), ("microsecond", True)],
)
def test_the_header_chooses_the_unit_of_times_in_the_answer(unit: str | None, micro: bool) -> None:
    assert parameters(unit=unit).micro is micro


@pytest.mark.parametrize("unit", ["", "SECOND", "Microsecond"])
def test_an_unknown_unit_of_times_is_refused(unit: str) -> None:
    assert refusal(lambda: parameters(unit=unit)) == (
        -1194,
        "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.",
    )


def test_a_limit_is_capped_and_not_zero() -> None:
    assert parameters().limit(500, 1000) == 500
    assert [parameters(limit=text).limit(500, 1000) for text in ("1", "1000", "5000")] == [1, 1000, 1000]
    assert refusal(lambda: parameters(limit="0").limit(500, 1000)) == (
        -1130,
        "Data sent for parameter 'limit' is not valid.",
    )


def test_a_choice_must_be_one_of_the_choices() -> None:
    assert parameters(type="A").choice("type", ("A", "B"), (-1, "no")) == "A"
    assert parameters().choice("type", ("A", "B"), (-1, "no")) is None
    assert refusal(lambda: parameters(type="C").choice("type", ("A", "B"), (-1, "no"))) == (-1, "no")


@pytest.mark.parametrize(
    ("zone", "interval"),
    [("0", "1M"), ("+00:00", "1d"), ("8", "1h"), ("-5", "1h"), (" 8", "4h"), ("05:45", "15m"), ("14:00", "1m")],
)
def test_a_time_zone_that_moves_no_kline_is_accepted(zone: str, interval: str) -> None:
    parameters(timeZone=zone).time_zone(INTERVALS[interval])
    parameters().time_zone(INTERVALS[interval])


@pytest.mark.parametrize(
    ("zone", "interval"),
    [
        ("8", "1d"),
        ("05:45", "1h"),
        ("1", "1M"),
        ("24", "1d"),
        ("14:15", "1m"),
        ("-12:01", "1m"),
        ("1:60", "1m"),
        ("UTC", "1m"),
        ("1:0", "1m"),
    ],
)
def test_a_time_zone_that_moves_klines_is_refused(zone: str, interval: str) -> None:
    assert refusal(lambda: parameters(timeZone=zone).time_zone(INTERVALS[interval])) == (
        -1130,
        "Data sent for parameter 'timeZone' is not valid.",
    )
