"""Round trips: what the simulator writes in each format is decoded to the value that it wrote."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feed.decode import (
    FeedError,
    closed_open_time,
    decode_kline,
    decode_stored_kline,
    decode_ticker,
    has_event_time,
)
from gateway.feed.formats.detect import looks_like
from gateway.feed.formats.registry import FORMATS
from gateway.feed.formats.row_series import RowSeries, marked, stored_rows
from gateway.feed.formats.stream_entry import entry_of
from gateway.model.kline import Kline, KlineUpdate
from gateway.model.ticker import Ticker, TickerUpdate
from simulator.formats import array_row, array_ticker, ccxt_row, ccxt_ticker, cryptofeed_candle, cryptofeed_fields
from tests.builders import MINUTE_MS, T0

SYMBOL = "BTC-USDT"
ARRIVED_MS = T0 + 10 * MINUTE_MS

whole = st.one_of(st.just("0"), st.from_regex(r"\A[1-9][0-9]{0,17}\Z"))
decimals = st.builds(lambda a, b: f"{a}.{b}" if b else a, whole, st.from_regex(r"\A[0-9]{0,12}\Z"))
prices = decimals.filter(lambda text: bool(text.strip("0.")))


@st.composite
def klines(draw: st.DrawFn) -> Kline:
    low, open_, close, high = sorted((draw(prices) for _ in range(4)), key=Decimal)
    if draw(st.booleans()):
        open_, close = close, open_
    open_time_ms = T0 + draw(st.integers(0, 5)) * MINUTE_MS
    trades = draw(st.integers(0, 10**9))
    volumes = draw(decimals), draw(decimals), trades, draw(decimals), draw(decimals)
    event_time_ms = open_time_ms + draw(st.integers(0, MINUTE_MS))
    kline = Kline(open_time_ms, open_time_ms + MINUTE_MS - 1, open_, high, low, close, *volumes)
    return kline._replace(closed=draw(st.booleans()), event_time_ms=event_time_ms)


@st.composite
def tickers(draw: st.DrawFn) -> Ticker:
    names = ("open", "high", "low", "volume", "quote_volume", "change", "change_percent", "bid", "ask")
    trades = draw(st.integers(0, 10**9))
    ticker = Ticker(SYMBOL, draw(prices), trades=trades, event_time_ms=T0)
    figures: dict[str, Any] = {name: draw(decimals) for name in names}
    return ticker._replace(**figures)


def decoded(name: str, payload: str | bytes) -> Kline:
    written = payload.encode() if isinstance(payload, str) else payload
    update = decode_kline(FORMATS[name].payload(written), SYMBOL, "1m", ARRIVED_MS)
    assert isinstance(update, KlineUpdate)
    return update.kline


def of_cryptofeed(kline: Kline) -> Kline:
    return kline._replace(quote_volume="0", taker_volume="0", taker_quote_volume="0")


@given(klines())
def test_a_candle_of_cryptofeed_survives_as_member_and_as_entry(kline: Kline) -> None:
    member = cryptofeed_candle(SYMBOL, "1m", kline)
    assert decoded("cryptofeed", member) == of_cryptofeed(kline)
    stored = decode_stored_kline(FORMATS["cryptofeed"].payload(member.encode()), SYMBOL, "1m")
    assert stored == (of_cryptofeed(kline) if kline.closed else None)
    fields = cryptofeed_fields(SYMBOL, "1m", kline)
    entry = entry_of({name.encode(): value.encode() for name, value in fields.items()})
    assert (entry.symbol, entry.interval) == (SYMBOL, "1m")
    assert decoded("cryptofeed", entry.payload) == of_cryptofeed(kline)


@given(klines())
def test_rows_survive_but_for_what_they_do_not_have(kline: Kline) -> None:
    undated = kline._replace(event_time_ms=ARRIVED_MS)
    for name, row, expected in (
        ("ccxt", ccxt_row(kline), of_cryptofeed(undated)._replace(trades=0)),
        ("array", array_row(kline), undated),
    ):
        assert decoded(name, row) == expected._replace(closed=False)
        assert decoded(name, marked(row.encode())) == expected._replace(closed=True)


@given(st.lists(klines(), min_size=1), st.integers(1, 4))
def test_rows_in_lists_or_one_by_one_end_in_the_same_klines(some: list[Kline], size: int) -> None:
    some.sort(key=lambda kline: kline.open_time_ms)
    alone, together = RowSeries("1m"), RowSeries("1m")
    rows = [array_row(kline) for kline in some]
    one_by_one = [each for row in rows for each in alone.take(row.encode(), ARRIVED_MS)]
    lists = ["[" + ",".join(rows[first : first + size]) + "]" for first in range(0, len(rows), size)]
    in_lists = [each for text in lists for each in together.take(text.encode(), ARRIVED_MS)]

    def final(passed_on: list[bytes]) -> dict[int, Kline]:
        return {kline.open_time_ms: kline for kline in (decoded("array", row) for row in passed_on)}

    assert final(one_by_one) == final(in_lists)
    newest_ms = some[-1].open_time_ms
    assert {at_ms: kline.closed for at_ms, kline in final(in_lists).items()} == {
        kline.open_time_ms: kline.open_time_ms < newest_ms for kline in some
    }


@pytest.mark.parametrize(("name", "encode"), [("ccxt", ccxt_ticker), ("array", array_ticker)])
@given(ticker=tickers())
def test_a_ticker_survives(name: str, encode: object, ticker: Ticker) -> None:
    assert callable(encode)
    update = decode_ticker(FORMATS[name].payload(encode(ticker).encode()), SYMBOL, ARRIVED_MS)
    assert isinstance(update, TickerUpdate)
    known = ticker if name == "array" else ticker._replace(trades=-1)
    assert update.ticker() == known._replace(close_time_ms=T0 if name == "array" else 0)


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(T0))
names = st.sampled_from(
    ("symbol", "interval", "start", "open", "high", "low", "close", "volume", "closed", "timestamp", "last", "bid", "E")
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=13) | st.dictionaries(names, inner), max_leaves=30)
payloads = st.binary(max_size=60) | st.builds(lambda value: json.dumps(value).encode(), values)


@pytest.mark.parametrize("name", ["cryptofeed", "ccxt", "array"])
@given(payload=payloads, closed=st.booleans())
def test_whatever_is_written_is_used_or_refused(name: str, payload: bytes, closed: bool) -> None:
    """Nothing but `FeedError` comes out of it: a bad payload must not end the feed."""
    written = marked(payload) if closed else payload
    for each in (*RowSeries("1m").take(written, ARRIVED_MS), *stored_rows([written], "1m", ARRIVED_MS, ARRIVED_MS)):
        of_format = FORMATS[name].payload(each)
        closed_open_time(of_format, "1m")
        has_event_time(of_format)
        with suppress(FeedError):
            decode_kline(of_format, SYMBOL, "1m", ARRIVED_MS)
        with suppress(FeedError):
            decode_ticker(of_format, SYMBOL, ARRIVED_MS)
        with suppress(FeedError):
            decode_stored_kline(of_format, SYMBOL, "1m")
    looks_like(payload)


@given(st.dictionaries(st.binary(max_size=9), payloads))
def test_whatever_an_entry_holds_is_a_payload(fields: dict[bytes, bytes]) -> None:
    assert isinstance(entry_of(fields).payload, bytes)
