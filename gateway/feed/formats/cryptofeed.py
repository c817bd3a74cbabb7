"""What the Redis backends of cryptofeed write (https://github.com/bmoscon/cryptofeed, 2.4.1).

- `CandlesRedis`, `TickerRedis`: sorted sets `{key}-{exchange}-{symbol}`; the score is the event time in seconds, the
  member a JSON object.
- `CandlesStream`, `TickerStream`: streams of the same names, with the object's fields as fields of the entries
  (`stream_entry.py` makes an object of them).
- A candle: `exchange symbol start stop interval trades open close high low volume closed timestamp receipt_timestamp`.
  Times are seconds, with fractions. Prices are numbers, or texts with `numeric_type=str`, which keeps the exchange's
  digits; what cryptofeed does not know is the text `None`.
- A ticker: `exchange symbol bid ask timestamp receipt_timestamp`. It has no last price: it completes a ticker that is
  known already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.feed.decode import KLINE_FIELDS, TICKER_FIELDS, checked_fields, json_object, make_kline
from gateway.feed.formats.payload import Payload
from gateway.feed.formats.times import open_time_of
from gateway.model.feed_error import FeedError, Odd
from gateway.model.interval import INTERVALS
from gateway.model.kline import KlineUpdate
from gateway.model.ticker import TickerDelta
from gateway.model.timestamps import time_of

if TYPE_CHECKING:
    from gateway.feed.decode import Rule
    from gateway.model.feed_error import OnOdd

_CANDLE: dict[str, Rule] = {
    "open": KLINE_FIELDS["o"],
    "high": KLINE_FIELDS["h"],
    "low": KLINE_FIELDS["l"],
    "close": KLINE_FIELDS["c"],
    "volume": KLINE_FIELDS["v"],
    "trades": KLINE_FIELDS["n"],
    "closed": KLINE_FIELDS["x"],
}

_TICKER: dict[str, Rule] = {"bid": TICKER_FIELDS["b"], "ask": TICKER_FIELDS["a"]}

_UNKNOWN = (None, "None")


class CryptofeedPayload(Payload):
    """A candle or a ticker as JSON."""

    __slots__ = ()

    def kline(self, symbol: str, interval: str, arrived_ms: int, on_odd: OnOdd) -> KlineUpdate:
        data = _known_fields(self, symbol)
        if data.get("interval", interval) != interval:
            raise FeedError("symbol_mismatch", f"{data['interval']!r} on the channel of {symbol} {interval}")
        open_time_ms = open_time_of(data.get("start"), interval)
        event_time_ms = _event_time(data, arrived_ms, on_odd)
        fields = checked_fields(data, _CANDLE, on_odd)
        close_time_ms = INTERVALS[interval].close_time(open_time_ms)
        return KlineUpdate(symbol, interval, make_kline(fields, open_time_ms, close_time_ms, event_time_ms, on_odd))

    def ticker(self, symbol: str, arrived_ms: int, on_odd: OnOdd) -> TickerDelta:
        data = _known_fields(self, symbol)
        fields = checked_fields(data, _TICKER, on_odd)
        if not fields:
            raise FeedError("missing_field", "bid, ask")
        return TickerDelta(symbol, _event_time(data, arrived_ms, on_odd), fields)

    @property
    def has_event_time(self) -> bool:
        return self.find(b'"timestamp"') >= 0

    def closed_open_time(self, interval: str) -> int | None:
        try:
            data = json_object(bytes(self))
            return open_time_of(data.get("start"), interval) if data.get("closed") is True else None
        except FeedError:
            return None


def _known_fields(payload: bytes, symbol: str) -> dict[str, Any]:
    data = json_object(bytes(payload))
    if data.get("symbol", symbol) != symbol:
        raise FeedError("symbol_mismatch", f"{data['symbol']!r} on the channel of {symbol}")
    return {name: value for name, value in data.items() if value not in _UNKNOWN}


def _event_time(data: dict[str, Any], arrived_ms: int, on_odd: OnOdd) -> int:
    value = data.get("timestamp")
    if value is None:
        return arrived_ms
    if (found := time_of(value)) is None:
        on_odd(Odd.BAD_TIME, f"timestamp={value!r}")
        return arrived_ms
    return found
