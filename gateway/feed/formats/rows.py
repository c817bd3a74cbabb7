"""Klines as rows of numbers, which do not say whether they are closed: `[t, o, h, l, c, v]` of ccxt, and the twelve
elements of Binance's REST klines; and the tickers of both.

A payload is a row, or a list of rows as `fetchOHLCV` and `/api/v3/klines` return them. `RowSeries` makes single rows of
them and says which are closed: a closed one becomes `{"closed":true,"row":[…]}`. The close time follows from the
interval. Sources: the ccxt manual ("OHLCV Structure", "Ticker Structure"), Binance's REST documents ("Kline/Candlestick
Data", "24hr Ticker Price Change Statistics").
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.feed.decode import KLINE_FIELDS, TICKER_FIELDS, checked_fields, json_object, make_kline
from gateway.feed.formats.payload import Payload
from gateway.feed.formats.times import open_time_of
from gateway.model.feed_error import FeedError, Odd
from gateway.model.interval import INTERVALS
from gateway.model.kline import KlineUpdate
from gateway.model.ticker import TickerDelta, TickerUpdate
from gateway.model.timestamps import time_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.feed.decode import Rule
    from gateway.model.feed_error import OnOdd

CLOSED = b'{"closed":true,"row":'
"""Before a row that is closed; after it comes `}`."""


class RowPayload(Payload):
    """A single row, or a ticker object."""

    __slots__ = ()

    columns: ClassVar[str]
    """The contract's letter of each element of a row, a space for those that are not used. A row may be longer."""
    ticker_rules: ClassVar[Mapping[str, Rule]]
    event_time: ClassVar[str]
    """The field of a ticker that says when it was true."""

    def kline(self, symbol: str, interval: str, arrived_ms: int, on_odd: OnOdd) -> KlineUpdate:
        row, closed = _row(self)
        if len(row) < len(self.columns):
            raise FeedError("missing_field", f"{len(row)} elements, expected {len(self.columns)}")
        open_time_ms = open_time_of(row[0], interval)
        data = dict(zip(self.columns, row, strict=False))
        fields = checked_fields({**data, "x": closed}, KLINE_FIELDS, on_odd)
        close_time_ms = INTERVALS[interval].close_time(open_time_ms)
        return KlineUpdate(symbol, interval, make_kline(fields, open_time_ms, close_time_ms, arrived_ms, on_odd))

    def ticker(self, symbol: str, arrived_ms: int, on_odd: OnOdd) -> TickerUpdate | TickerDelta:
        data = json_object(bytes(self))
        if data.get("symbol", symbol) != symbol:
            raise FeedError("symbol_mismatch", f"{data['symbol']!r} on the channel of {symbol}")
        # Both write null for what an exchange does not say.
        known = {name: value for name, value in data.items() if value is not None}
        fields = checked_fields(known, self.ticker_rules, on_odd)
        # "E": when a stored ticker was written, as `key_reader` adds it.
        value = known.get(self.event_time, known.get("E", arrived_ms))
        event_time_ms = arrived_ms if value is arrived_ms else time_of(value)
        if event_time_ms is None:
            on_odd(Odd.BAD_TIME, f"{self.event_time}={value!r}")
            event_time_ms = arrived_ms
        if "last" in fields:
            return TickerUpdate(symbol, event_time_ms, fields)
        return TickerDelta(symbol, event_time_ms, fields)

    @property
    def has_event_time(self) -> bool:
        return self.find(f'"{self.event_time}"'.encode()) >= 0

    def closed_open_time(self, interval: str) -> int | None:
        try:
            row, closed = _row(self)
            return open_time_of(row[0], interval) if closed else None
        except (FeedError, IndexError):
            return None


class CcxtPayload(RowPayload):
    """`[t, o, h, l, c, v]`, and ccxt's unified ticker."""

    __slots__ = ()
    columns = "tohlcv"
    event_time = "timestamp"
    ticker_rules: ClassVar[Mapping[str, Rule]] = {
        "last": TICKER_FIELDS["c"],
        "open": TICKER_FIELDS["o"],
        "high": TICKER_FIELDS["h"],
        "low": TICKER_FIELDS["l"],
        "baseVolume": TICKER_FIELDS["v"],
        "quoteVolume": TICKER_FIELDS["q"],
        "change": TICKER_FIELDS["p"],
        "percentage": TICKER_FIELDS["P"],
        "vwap": TICKER_FIELDS["w"],
        "previousClose": TICKER_FIELDS["x"],
        "bid": TICKER_FIELDS["b"],
        "bidVolume": TICKER_FIELDS["B"],
        "ask": TICKER_FIELDS["a"],
        "askVolume": TICKER_FIELDS["A"],
    }


class ArrayPayload(RowPayload):
    """A row of `/api/v3/klines`, and the object of `/api/v3/ticker/24hr`."""

    __slots__ = ()
    columns = "tohlcv qnVQ "
    event_time = "closeTime"
    ticker_rules: ClassVar[Mapping[str, Rule]] = {
        "lastPrice": TICKER_FIELDS["c"],
        "openPrice": TICKER_FIELDS["o"],
        "highPrice": TICKER_FIELDS["h"],
        "lowPrice": TICKER_FIELDS["l"],
        "volume": TICKER_FIELDS["v"],
        "quoteVolume": TICKER_FIELDS["q"],
        "priceChange": TICKER_FIELDS["p"],
        "priceChangePercent": TICKER_FIELDS["P"],
        "count": TICKER_FIELDS["n"],
        "weightedAvgPrice": TICKER_FIELDS["w"],
        "prevClosePrice": TICKER_FIELDS["x"],
        "lastQty": TICKER_FIELDS["Q"],
        "bidPrice": TICKER_FIELDS["b"],
        "bidQty": TICKER_FIELDS["B"],
        "askPrice": TICKER_FIELDS["a"],
        "askQty": TICKER_FIELDS["A"],
        "openTime": TICKER_FIELDS["O"],
        "closeTime": TICKER_FIELDS["C"],
        "firstId": TICKER_FIELDS["F"],
        "lastId": TICKER_FIELDS["L"],
    }


def rows_of(payload: bytes) -> list[list[Any]]:
    """The rows of a payload that holds one or several, with the text of numbers that are no integers.

    Raises `FeedError`.
    """
    data = _json(payload)
    if not isinstance(data, list) or not data:
        raise FeedError("not_an_array")
    rows = data if isinstance(data[0], list) else [data]
    if not all(isinstance(row, list) and row for row in rows):
        raise FeedError("not_an_array")
    return rows


def _row(payload: bytes) -> tuple[list[Any], bool]:
    """The row of a payload that holds one, and whether it is closed. Raises `FeedError`."""
    closed = payload.startswith(CLOSED)
    rows = rows_of(payload[len(CLOSED) : -1] if closed else payload)
    if len(rows) > 1:
        raise FeedError("not_an_array", f"{len(rows)} rows")
    return rows[0], closed


def _json(payload: bytes) -> Any:
    try:
        # A binary float has lost the source's digits; the standard parser can keep the text.
        return json.loads(payload, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise FeedError("bad_json", str(error)) from error
