"""What cryptofeed's own Redis backends wrote (recorded from release 2.4.1), and what of it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.feed.decode import (
    FeedError,
    closed_open_time,
    decode_kline,
    decode_stored_kline,
    decode_ticker,
    has_event_time,
)
from gateway.feed.formats.cryptofeed import CryptofeedPayload
from gateway.feed.formats.stream_entry import entry_of
from gateway.model.feed_error import Odd
from gateway.model.kline import Kline, KlineUpdate
from gateway.model.ticker import TickerDelta

RECORDED = json.loads((Path(__file__).parent / "cryptofeed.json").read_text())
SYMBOL = "BTC-USDT"
OPEN_MS, CLOSE_MS = 1_732_309_140_000, 1_732_309_199_999
ARRIVED_MS = 1_732_309_203_000
CANDLE = json.loads(RECORDED["sorted_sets"]["candles-BINANCE-BTC-USDT"][0][0])


def member(key: str, number: int) -> CryptofeedPayload:
    return CryptofeedPayload(RECORDED["sorted_sets"][f"{key}-BINANCE-BTC-USDT"][number][0].encode())


def entry(key: str, number: int) -> CryptofeedPayload:
    fields = RECORDED["streams"][f"{key}-BINANCE-BTC-USDT"][number]
    return CryptofeedPayload(entry_of({name.encode(): value.encode() for name, value in fields.items()}).payload)


def candle(**changes: Any) -> CryptofeedPayload:
    return CryptofeedPayload(json.dumps(CANDLE | changes).encode())


def kline_of(payload: bytes) -> Kline:
    update = decode_kline(payload, SYMBOL, "1m", ARRIVED_MS)
    assert isinstance(update, KlineUpdate)
    return update.kline


TEXT = Kline(
    *(OPEN_MS, CLOSE_MS, "98756.10", "98770.01", "98750.90", "98760.00", "12.345670"),
    trades=1532,
    closed=True,
    event_time_ms=1_732_309_200_011,
)
NUMBERS = TEXT._replace(open="98756.1", low="98750.9", close="98760", volume="12.34567")
"""Written as floats, as cryptofeed does unless told otherwise."""


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(member("candles_text", 0), TEXT, id="member"),
        pytest.param(member("candles", 0), NUMBERS, id="member-with-floats"),
        pytest.param(entry("candles_text_stream", 0), TEXT, id="entry"),
        pytest.param(entry("candles_stream", 0), NUMBERS._replace(close="98760.0"), id="entry-with-floats"),
    ],
)
def test_a_closed_candle_has_the_digits_that_were_written(payload: bytes, expected: Kline) -> None:
    assert kline_of(payload) == expected
    assert decode_stored_kline(payload, SYMBOL, "1m") == expected
    assert closed_open_time(payload, "1m") == OPEN_MS
    assert has_event_time(payload)


@pytest.mark.parametrize("payload", [member("candles", 1), entry("candles_stream", 1)])
def test_a_forming_candle_is_no_stored_kline(payload: bytes) -> None:
    kline = kline_of(payload)
    assert (kline.closed, kline.volume, kline.event_time_ms) == (False, "0.00001", 1_732_309_201_500)
    assert decode_stored_kline(payload, SYMBOL, "1m") is None
    assert closed_open_time(payload, "1m") is None


@pytest.mark.parametrize("payload", [member("candles", 2), entry("candles_stream", 2)])
def test_what_cryptofeed_does_not_know_is_absent(payload: bytes) -> None:
    assert kline_of(payload).trades == 0


@pytest.mark.parametrize("payload", [member("ticker", 0), entry("ticker_stream", 0)])
def test_a_ticker_completes_a_known_one(payload: bytes) -> None:
    update = decode_ticker(payload, SYMBOL, ARRIVED_MS)
    assert isinstance(update, TickerDelta)
    assert update.event_time_ms == 1_732_309_201_600
    assert (float(update.fields["bid"]), update.fields["ask"]) == (98760, "98760.01")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (candle(symbol="ETH-USDT"), "symbol_mismatch"),
        (candle(interval="5m"), "symbol_mismatch"),
        (candle(start=None), "missing_field"),
        (candle(start="soon"), "bad_time"),
        (candle(start=1_732_309_141), "misaligned_time"),
        (candle(close=None), "missing_field"),
        (candle(close=0), "not_positive"),
        (candle(closed="perhaps"), "not_a_boolean"),
        (CryptofeedPayload(b"{"), "bad_json"),
    ],
)
def test_what_cannot_be_used_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(FeedError) as error:
        decode_kline(payload, SYMBOL, "1m", ARRIVED_MS)
    assert error.value.reason == reason


@pytest.mark.parametrize("payload", [candle(start="soon"), CryptofeedPayload(b"{")])
def test_a_kline_without_a_time_is_not_remembered(payload: bytes) -> None:
    assert closed_open_time(payload, "1m") is None


def test_a_ticker_without_prices_is_refused() -> None:
    with pytest.raises(FeedError, match="missing_field"):
        decode_ticker(CryptofeedPayload(b'{"symbol":"BTC-USDT"}'), SYMBOL, ARRIVED_MS)


def test_without_a_time_of_its_own_arrival_dates_it() -> None:
    odd: list[Odd] = []
    decoded = decode_kline(candle(timestamp="late"), SYMBOL, "1m", ARRIVED_MS, lambda kind, _: odd.append(kind))
    assert isinstance(decoded, KlineUpdate)
    assert (decoded.kline.event_time_ms, odd) == (ARRIVED_MS, [Odd.BAD_TIME])
    assert kline_of(candle(timestamp=None)).event_time_ms == ARRIVED_MS
