"""The JSON a collector writes, field by field."""

from __future__ import annotations

import json

from collector.encode import kline_event, kline_member, ticker_event, ticker_value
from gateway.feed.decode import decode_ticker
from gateway.model.kline import Kline
from gateway.model.ticker import Ticker, TickerUpdate

KLINE = Kline(
    open_time_ms=60_000, close_time_ms=119_999, open="1.10", high="1.30", low="1.00", close="1.20", volume="5.0",
    quote_volume="6.000", trades=7, taker_volume="2.0", taker_quote_volume="2.400", first_trade_id=3, last_trade_id=9,
    closed=True, event_time_ms=120_000,
)  # fmt: skip
TICKER = Ticker(
    "ABUSDT", "1.20", "1.00", "1.30", "0.90", "50.0", "60.000", "0.20", "20.000", 70, event_time_ms=120_001
)  # fmt: skip
FIELDS = {
    "t": 60_000, "T": 119_999, "s": "ABUSDT", "i": "1m", "o": "1.10", "c": "1.20", "h": "1.30", "l": "1.00",
    "v": "5.0", "n": 7, "x": True, "q": "6.000",
}  # fmt: skip
FIGURES = {
    "s": "ABUSDT", "c": "1.20", "o": "1.00", "h": "1.30", "l": "0.90", "v": "50.0", "q": "60.000", "p": "0.20",
    "P": "20.000", "n": 70,
}  # fmt: skip


def test_a_stored_kline_has_no_envelope() -> None:
    assert json.loads(kline_member("ABUSDT", "1m", KLINE)) == FIELDS


def test_a_forming_kline_is_marked_as_not_closed() -> None:
    assert json.loads(kline_member("ABUSDT", "1m", KLINE._replace(closed=False))) == {**FIELDS, "x": False}


def test_an_extended_kline_has_trade_ids_and_taker_volumes() -> None:
    more = {"f": 3, "L": 9, "V": "2.0", "Q": "2.400", "B": "0"}
    assert json.loads(kline_member("ABUSDT", "1m", KLINE, extended=True)) == FIELDS | more
    assert json.loads(kline_event("ABUSDT", "1m", KLINE, extended=True))["k"] == FIELDS | more


def test_a_published_kline_is_wrapped_with_its_event_time() -> None:
    event = json.loads(kline_event("ABUSDT", "1m", KLINE))
    assert event == {"e": "kline", "E": 120_000, "s": "ABUSDT", "k": FIELDS}


def test_a_stored_ticker_has_no_event_time_and_a_published_one_has() -> None:
    assert json.loads(ticker_value(TICKER)) == FIGURES
    assert json.loads(ticker_event(TICKER)) == {"e": "24hrTicker", "E": 120_001, **FIGURES}


def test_figures_that_the_exchange_does_not_tell_are_left_out() -> None:
    ticker = Ticker("ABUSDT", "1.20", change="-1", bid="1.19")
    assert json.loads(ticker_value(ticker, extended=True)) == {"s": "ABUSDT", "c": "1.20", "p": "-1", "b": "1.19"}


def test_an_extended_ticker_has_the_best_bid_and_ask() -> None:
    ticker = TICKER._replace(bid="1.19", bid_quantity="3.0", ask="1.20", ask_quantity="4.0")
    book = {"b": "1.19", "B": "3.0", "a": "1.20", "A": "4.0"}
    assert json.loads(ticker_value(ticker, extended=True)) == FIGURES | book
    assert json.loads(ticker_event(ticker, extended=True)) == {"e": "24hrTicker", "E": 120_001, **FIGURES, **book}


def test_what_the_exchange_does_not_say_of_a_ticker_is_left_out() -> None:
    assert json.loads(ticker_value(Ticker("ABUSDT", "1.20"), extended=True)) == {"s": "ABUSDT", "c": "1.20"}


def test_an_extended_ticker_loses_nothing_that_the_gateway_can_read() -> None:
    ticker = TICKER._replace(
        weighted_average="1.10", previous_close="0.99", last_quantity="2.0", bid="1.19", bid_quantity="3.0", ask="1.20",
        ask_quantity="4.0", open_time_ms=1_700_000_000_000, close_time_ms=1_700_086_399_999, first_trade_id=5,
        last_trade_id=74, event_time_ms=1_700_086_400_000,
    )  # fmt: skip
    update = decode_ticker(ticker_event(ticker, extended=True).encode(), "ABUSDT", 0)
    assert isinstance(update, TickerUpdate)
    assert update.ticker() == ticker


def test_a_kline_closed_by_the_clock_says_so() -> None:
    member = json.loads(kline_member("ABUSDT", "1m", KLINE._replace(provisional=True)))
    assert member == FIELDS | {"provisional": True}
