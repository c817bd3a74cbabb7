"""Rows and tickers of ccxt and of Binance's REST answers: what they become, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.feed.decode import FeedError, closed_open_time, decode_kline, decode_ticker, has_event_time
from gateway.feed.formats.rows import CLOSED, ArrayPayload, CcxtPayload, RowPayload, rows_of
from gateway.model.feed_error import Odd
from gateway.model.kline import Kline, KlineUpdate
from gateway.model.ticker import Ticker, TickerDelta, TickerUpdate
from tests.builders import T0

ARRIVED_MS = T0 + 30_000
CCXT = f"[{T0}, 97000.10, 97010, 96990.5, 97005.00, 1e-05]"
ARRAY = (
    f'[{T0},"97000.10","97010.00","96990.50","97005.00","12.50",{T0 + 59_999},"1212500.00",42,"6.25","606250.0","0"]'
)
KLINE = Kline(T0, T0 + 59_999, "97000.10", "97010", "96990.5", "97005.00", "0.00001", event_time_ms=ARRIVED_MS)
FULL = Kline(
    *(T0, T0 + 59_999, "97000.10", "97010.00", "96990.50", "97005.00", "12.50", "1212500.00", 42, "6.25", "606250.0"),
    event_time_ms=ARRIVED_MS,
)


def kline_of(payload: RowPayload) -> Kline:
    update = decode_kline(payload, "BTCUSDT", "1m", ARRIVED_MS)
    assert isinstance(update, KlineUpdate)
    return update.kline


def as_ticker(kind: type[RowPayload], **fields: Any) -> RowPayload:
    return kind(json.dumps(fields).encode())


@pytest.mark.parametrize(("kind", "row", "kline"), [(CcxtPayload, CCXT, KLINE), (ArrayPayload, ARRAY, FULL)])
def test_a_row_keeps_its_digits_and_is_forming_unless_it_is_marked(
    kind: type[RowPayload], row: str, kline: Kline
) -> None:
    assert kline_of(kind(row.encode())) == kline
    marked = kind(CLOSED + row.encode() + b"}")
    assert kline_of(marked) == kline._replace(closed=True)
    assert closed_open_time(marked, "1m") == T0
    assert closed_open_time(kind(row.encode()), "1m") is None
    assert not has_event_time(kind(row.encode()))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (CcxtPayload(f"[{T0},1,1,1,1]".encode()), "missing_field"),
        (ArrayPayload(CCXT.encode()), "missing_field"),
        (CcxtPayload(f"[{T0},1,1,1,0,1]".encode()), "not_positive"),
        (CcxtPayload(f"[{T0},1,1,1,null,1]".encode()), "not_a_number"),
        (CcxtPayload(f"[{T0},1,1,2,1,1]".encode()), "contradictory_kline"),
        (CcxtPayload(b'["then",1,1,1,1,1]'), "bad_time"),
        (CcxtPayload(f"[{T0 + 7},1,1,1,1,1]".encode()), "misaligned_time"),
        (CcxtPayload(f"[{CCXT},{CCXT}]".encode()), "not_an_array"),
        (CcxtPayload(b"[[]]"), "not_an_array"),
        (CcxtPayload(b"[]"), "not_an_array"),
        (CcxtPayload(b"{}"), "not_an_array"),
        (CcxtPayload(b"["), "bad_json"),
        (CcxtPayload(b"[" * 100_000), "bad_json"),
    ],
)
def test_what_cannot_be_used_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(FeedError) as error:
        decode_kline(payload, "BTCUSDT", "1m", ARRIVED_MS)
    assert error.value.reason == reason


@pytest.mark.parametrize("row", [b'["then",1]', b"oops"])
def test_a_closed_row_without_a_time_is_not_remembered(row: bytes) -> None:
    assert closed_open_time(CcxtPayload(CLOSED + row + b"}"), "1m") is None


def test_one_row_or_several() -> None:
    assert rows_of(b"[1, 2.50]") == [[1, "2.50"]]
    assert rows_of(b"[[1, 2.50], [3]]") == [[1, "2.50"], [3]]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            as_ticker(CcxtPayload, symbol="BTCUSDT", timestamp=T0, last=97000.5, baseVolume="12.0", vwap=None),
            Ticker("BTCUSDT", "97000.5", volume="12.0", event_time_ms=T0),
        ),
        (
            as_ticker(ArrayPayload, symbol="BTCUSDT", lastPrice="97000.50", count=7, closeTime=T0),
            Ticker("BTCUSDT", "97000.50", trades=7, close_time_ms=T0, event_time_ms=T0),
        ),
    ],
)
def test_a_ticker_is_decoded_with_its_own_time(payload: RowPayload, expected: Ticker) -> None:
    update = decode_ticker(payload, "BTCUSDT", ARRIVED_MS)
    assert isinstance(update, TickerUpdate)
    assert update.ticker() == expected
    assert has_event_time(payload)


def test_a_ticker_without_a_last_price_is_a_delta() -> None:
    update = decode_ticker(as_ticker(CcxtPayload, bid=1.5), "BTCUSDT", ARRIVED_MS)
    assert update == TickerDelta("BTCUSDT", ARRIVED_MS, {"bid": "1.5"})


def test_when_a_stored_ticker_was_written_dates_it_where_nothing_else_does() -> None:
    assert decode_ticker(as_ticker(CcxtPayload, E=T0, last=1), "BTCUSDT", ARRIVED_MS).event_time_ms == T0


def test_a_time_that_cannot_be_read_is_counted_and_the_arrival_counts() -> None:
    odd: list[Odd] = []
    payload = as_ticker(CcxtPayload, timestamp="noon", last=1)
    update = decode_ticker(payload, "BTCUSDT", ARRIVED_MS, lambda kind, _: odd.append(kind))
    assert (update.event_time_ms, odd) == (ARRIVED_MS, [Odd.BAD_TIME])


def test_a_ticker_of_another_symbol_is_refused() -> None:
    with pytest.raises(FeedError, match="symbol_mismatch"):
        decode_ticker(as_ticker(CcxtPayload, symbol="ETHUSDT", last=1), "BTCUSDT", ARRIVED_MS)
