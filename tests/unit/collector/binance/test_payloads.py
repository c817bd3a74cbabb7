"""Binance's payloads: what is read, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from collector.binance.payloads import Answer, closed_klines, event_of, listed, stream_names
from collector.events import KlineEvent, TickerEvent
from collector.exchange import ExchangeError, Listed
from gateway.feed.decode import FeedError
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline

OPENED = 1_700_000_040_000
MINUTE = INTERVALS["1m"]
BODY = {"t": OPENED, "T": OPENED + 59_999, "s": "ABUSDT", "i": "1m", "o": "1.10", "c": "2", "h": "3", "l": "1"}
KLINE = {"e": "kline", "E": OPENED + 5, "s": "ABUSDT", "k": BODY | {"v": "7", "x": False}}
TICKER = {"e": "24hrTicker", "E": OPENED + 5, "s": "ABUSDT", "c": "2.50", "o": "1"}
ROW = [OPENED, "1.10", "3", "1", "2", "7", OPENED + 59_999, "14", 5, "3", "6", "0"]


def event(data: object) -> object:
    return event_of(orjson.dumps({"stream": "any", "data": data}))


def test_the_names_of_streams_are_in_lower_case_symbol_by_symbol() -> None:
    assert stream_names(["ABUSDT", "CDUSDT"], ["1m"], "ticker") == [
        "abusdt@ticker", "abusdt@kline_1m", "cdusdt@ticker", "cdusdt@kline_1m",
    ]  # fmt: skip


def test_a_kline_is_read_digit_by_digit() -> None:
    read = event(KLINE)
    assert isinstance(read, KlineEvent)
    assert read[:2] == ("ABUSDT", "1m")
    assert (read.kline.open, read.kline.volume, read.kline.event_time_ms) == ("1.10", "7", OPENED + 5)


def test_a_ticker_is_read_with_or_without_an_envelope() -> None:
    read = event_of(orjson.dumps(TICKER))
    assert isinstance(read, TickerEvent)
    assert (read.ticker.symbol, read.ticker.last) == ("ABUSDT", "2.50")
    assert event(TICKER) == read


def test_answers_to_commands_say_which_and_what_was_wrong() -> None:
    assert event_of(b'{"result":null,"id":3}') == Answer(3, "")
    refused = event_of(b'{"error":{"code":2,"msg":"Invalid"},"id":4}')
    assert isinstance(refused, Answer)
    assert refused.command == 4
    assert "Invalid" in refused.error
    bare = event_of(b'{"code":2,"msg":"Invalid"}')
    assert isinstance(bare, Answer)
    assert (bare.command, "Invalid" in bare.error) == (0, True)


def test_other_events_are_told_by_name() -> None:
    assert event({"e": "serverShutdown", "E": OPENED}) == "serverShutdown"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (5, "not_an_object"),
        (KLINE | {"k": 5}, "missing_field"),
        (KLINE | {"s": 5}, "missing_field"),
        (KLINE | {"k": {"t": OPENED, "i": "1m", "c": "1"}}, "missing_field"),
        (TICKER | {"s": None}, "missing_field"),
        ({"e": "24hrTicker", "s": "ABUSDT", "o": "1"}, "missing_field"),
        (KLINE | {"k": BODY | {"t": OPENED + 1}}, "misaligned_time"),
    ],
)
def test_messages_that_cannot_be_used_say_why(data: object, reason: str) -> None:
    with pytest.raises(FeedError) as refused:
        event(data)
    assert refused.value.reason == reason


def test_a_kline_of_an_interval_that_nobody_knows_is_refused() -> None:
    with pytest.raises(FeedError) as refused:
        event(KLINE | {"k": BODY | {"i": "7m"}})
    assert refused.value.reason == "unknown_interval"


def test_a_message_that_is_no_json_is_refused() -> None:
    with pytest.raises(FeedError) as refused:
        event_of(b"<html>")
    assert refused.value.reason == "bad_json"


def test_rows_are_read_digit_by_digit_and_the_forming_one_is_left_out() -> None:
    forming = [OPENED + 60_000, *ROW[1:6], OPENED + 119_999, *ROW[7:]]
    assert closed_klines([ROW, forming], MINUTE, OPENED + 60_000) == [
        Kline(
            *(OPENED, OPENED + 59_999, "1.10", "3", "1", "2", "7", "14", 5, "3", "6"),
            closed=True,
            event_time_ms=OPENED + 60_000,
        )
    ]


def changed(place: int, value: object) -> list[Any]:
    return [*ROW[:place], value, *ROW[place + 1 :]]


@pytest.mark.parametrize(
    "row",
    [
        *(
            changed(place, value)
            for place in (1, 2, 3, 4, 5, 7, 9, 10)
            for value in (1.5, None, "NaN", "-1", "", "1e5")
        ),
        *(changed(0, value) for value in (OPENED + 1, "x", None)),
        *(changed(6, value) for value in (OPENED + 59_998, "x", None)),
        *(changed(8, value) for value in ("x", None)),
        *(changed(3, value) for value in ("0", "1.5", "0.00")),
        changed(2, "1.5"),
        [],
        5,
        {},
    ],
)
def test_a_row_with_odd_values_ends_the_answer(row: object) -> None:
    later_ms = OPENED + 600_000
    assert closed_klines([ROW, row], MINUTE, later_ms) == closed_klines([ROW], MINUTE, later_ms)
    with pytest.raises(ExchangeError, match="unexpected klines"):
        closed_klines([row, ROW], MINUTE, later_ms)


@pytest.mark.parametrize("answer", [None, 5, {"code": -1}])
def test_an_answer_without_rows_is_refused(answer: object) -> None:
    with pytest.raises(ExchangeError, match="unexpected klines"):
        closed_klines(answer, MINUTE, OPENED)


PAIR = {"symbol": "ABUSDT", "baseAsset": "AB", "quoteAsset": "USDT", "status": "TRADING", "contractType": "PERPETUAL"}


def test_pairs_are_listed_with_their_turnover() -> None:
    halted = PAIR | {"symbol": "CDUSDT", "baseAsset": "CD", "status": "BREAK"}
    tickers = [{"symbol": "ABUSDT", "quoteVolume": "12.5"}, {"symbol": "OTHER", "quoteVolume": "1"}]
    assert listed({"symbols": [PAIR, halted]}, tickers, perpetual_only=False) == [
        Listed("ABUSDT", "AB", "USDT", True, Decimal("12.5")),
        Listed("CDUSDT", "CD", "USDT", False, Decimal(0)),
    ]


def test_contracts_with_an_end_are_left_out_where_only_perpetual_ones_are_wanted() -> None:
    quarter = PAIR | {"symbol": "ABUSDT_261225", "contractType": "CURRENT_QUARTER"}
    found = listed({"symbols": [quarter, PAIR]}, [], perpetual_only=True)
    assert [pair.symbol for pair in found] == ["ABUSDT"]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-1", None, 5])
def test_an_odd_turnover_counts_as_none(text: object) -> None:
    tickers = [{"symbol": "ABUSDT", "quoteVolume": text}]
    assert listed({"symbols": [PAIR]}, tickers, perpetual_only=False)[0].quote_volume == 0


@pytest.mark.parametrize("odd", [PAIR | {"symbol": "a b"}, PAIR | {"symbol": 5}, {"symbol": "ABUSDT"}])
def test_an_odd_pair_is_left_out(odd: dict[str, object]) -> None:
    assert len(listed({"symbols": [odd, PAIR]}, [], perpetual_only=False)) == 1
    with pytest.raises(ExchangeError, match="no pairs"):
        listed({"symbols": [odd]}, [], perpetual_only=False)


@pytest.mark.parametrize(
    ("info", "tickers"), [(None, []), ({}, []), ({"symbols": [PAIR]}, None), ({"symbols": [PAIR]}, [{}])]
)
def test_a_listing_that_cannot_be_read_is_refused(info: object, tickers: object) -> None:
    with pytest.raises(ExchangeError, match="unexpected listing"):
        listed(info, tickers, perpetual_only=False)
