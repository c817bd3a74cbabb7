"""Decodes the collector's payloads to complete, checked updates; a `FeedError` says why one is refused.

Everything is checked here, once: what passes is well-formed decimal text, plausible times, an open time that its
interval has, prices that do not contradict each other. Pure; nothing is tolerated in silence.

Shapes (see "Redis contract"): tickers as `{s,c,o,h,l,v,q,p,P,n}`, as Binance `24hrMiniTicker` / `24hrTicker`
events, or as a delta of either; klines bare or wrapped as `{"e":"kline","E":…,"s":…,"k":{…}}`, whole or as a delta.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline, KlineDelta, KlineUpdate
from gateway.model.ticker import TickerDelta, TickerUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.model.ticker import Ticker


class FeedError(Exception):
    """A payload cannot be used. `reason` is one of a closed set, so that it can label a counter."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


# JSON's number grammar (RFC 8259 section 6): the text goes out as a JSON number, so it must be one. Explicit digits,
# because \d would take those of other scripts; possessive, because it is tried on every field of every message.
_DECIMAL = r"(?:0|[1-9][0-9]{0,30}+)(?:\.[0-9]{1,30}+)?+"
_PLAIN = re.compile(_DECIMAL).fullmatch
_NUMBER = re.compile(rf"-?+{_DECIMAL}(?:[eE][+-]?[0-9]{{1,2}})?+").fullmatch

# A time in seconds or microseconds would silently make every kline wrong: only 2001..5138 in ms passes.
_TIME_MIN_MS = 10**12
_TIME_MAX_MS = 10**14


# A message with all of these is a whole kline; with some of them it is a delta.
_PRICES = frozenset(("open", "high", "low", "close"))


def decode_ticker(payload: bytes, symbol: str, arrived_ms: int) -> TickerUpdate | TickerDelta:
    """Decode a ticker payload of `symbol`'s channel or key. `arrived_ms` stands in for a missing event time.

    Raises `FeedError`.
    """
    data = _object(payload)
    if data.get("s", symbol) != symbol:
        raise FeedError("symbol_mismatch", f"{data['s']!r} on the channel of {symbol}")
    fields = _fields(data, _TICKER)
    if "last" in fields:
        return TickerUpdate(symbol, _event_time(data, arrived_ms), fields)
    return TickerDelta(symbol, _event_time(data, arrived_ms), fields)


def decode_kline(payload: bytes, symbol: str, interval: str, arrived_ms: int) -> KlineUpdate | KlineDelta:
    """Decode a kline payload of a series' channel. `arrived_ms` stands in for a missing event time.

    Raises `FeedError`.
    """
    data, fields, open_time_ms, close_time_ms = _kline_parts(payload, symbol, interval)
    event_time_ms = _event_time(data, arrived_ms)
    if fields.keys() >= _PRICES:
        return KlineUpdate(symbol, interval, _kline(fields, open_time_ms, close_time_ms, event_time_ms))
    return KlineDelta(symbol, interval, open_time_ms, close_time_ms, event_time_ms, fields)


def decode_stored_ticker(payload: bytes, symbol: str, written_ms: int) -> Ticker:
    """Decode the value of a ticker key, which is always a whole ticker.

    `written_ms` is when the collector wrote it, 0 where that is not known. Raises `FeedError`.
    """
    update = decode_ticker(payload, symbol, written_ms)
    if isinstance(update, TickerDelta):
        raise FeedError("missing_field", "c")
    return update.ticker()


def decode_stored_kline(payload: bytes, symbol: str, interval: str) -> Kline | None:
    """Decode a member of a sorted set of closed klines; `None` where the member says that it is not closed.

    Its event time is 0 (unknown) where it carries none: what the live feed says of the same kline is newer. Raises
    `FeedError`.
    """
    data, fields, open_time_ms, close_time_ms = _kline_parts(payload, symbol, interval)
    event_time_ms = _event_time(data, 0)
    if not fields.setdefault("closed", True):
        return None
    return _kline(fields, open_time_ms, close_time_ms, event_time_ms)


def has_event_time(payload: bytes) -> bool:
    """Whether a message that can be decoded carries an event time of its own."""
    return b'"E"' in payload


def _kline_parts(payload: bytes, symbol: str, interval: str) -> tuple[dict[str, Any], Any, int, int]:
    """The outermost object of a kline payload, the kline's checked fields, its open time and its close time."""
    data = _object(payload)
    body = data.get("k", data)
    if not isinstance(body, dict):
        raise FeedError("not_an_object", "k")
    for part, letter, expected in ((data, "s", symbol), (body, "s", symbol), (body, "i", interval)):
        if part.get(letter, expected) != expected:
            raise FeedError("symbol_mismatch", f"{part[letter]!r} on the channel of {symbol} {interval}")
    if "t" not in body:
        raise FeedError("missing_field", "t")
    open_time_ms = _time(body["t"])
    span = INTERVALS[interval]
    if span.open_time(open_time_ms) != open_time_ms:
        raise FeedError("misaligned_time", f"{open_time_ms} is no open time of {interval}")
    return data, _fields(body, _KLINE), open_time_ms, span.close_time(open_time_ms)


def _kline(fields: Any, open_time_ms: int, close_time_ms: int, event_time_ms: int) -> Kline:
    """The whole kline of these fields; `FeedError` where a price is missing or the prices contradict each other."""
    try:
        open_, high, low, close = (Decimal(fields[name]) for name in ("open", "high", "low", "close"))
    except KeyError as error:
        raise FeedError("missing_field", error.args[0]) from error
    if low > high:
        raise FeedError("contradictory_kline", f"o={open_} h={high} l={low} c={close}")
    # BitMEX opens a kline at the close of the one before, which may lie outside of what was traded in it.
    if (lowest := min(open_, close)) < low:
        fields["low"] = fields["open" if open_ == lowest else "close"]
    if (highest := max(open_, close)) > high:
        fields["high"] = fields["open" if open_ == highest else "close"]
    return Kline(open_time_ms, close_time_ms, event_time_ms=event_time_ms, **fields)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        data = orjson.loads(payload)
        if isinstance(data, dict) and _has_float(data):
            # A binary float has lost the source's digits; the standard parser can keep the text.
            data = json.loads(payload, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise FeedError("bad_json", str(error)) from error
    if not isinstance(data, dict):
        raise FeedError("not_an_object")
    return data


def _has_float(data: dict[str, Any]) -> bool:
    body = data.get("k", data)
    return isinstance(body, dict) and float in map(type, body.values())


def _fields(data: Mapping[str, Any], table: Mapping[str, tuple[str, Callable[[Any], Any]]]) -> Any:
    """The fields that the table knows, checked. Others are ignored.

    An optional field that cannot be read (null, empty, not a number) counts as absent: it must not cost the price.
    """
    fields: dict[str, Any] = {}
    for letter, value in data.items():
        if rule := table.get(letter):
            name, checked = rule
            try:
                fields[name] = checked(value)
            except FeedError as error:
                if checked in _REQUIRED:
                    raise FeedError(error.reason, f"{letter}={value!r}") from error
    return fields


def _event_time(data: Mapping[str, Any], arrived_ms: int) -> int:
    return _time(data["E"]) if "E" in data else arrived_ms


def _unsigned(value: Any) -> str:
    if type(value) is str and _PLAIN(value):
        return value
    text = _signed(value)
    if text[0] == "-":
        raise FeedError("negative")
    return text


def _price(value: Any) -> str:
    """A traded price, which is above 0: exchanges send 0 while they are in maintenance."""
    text = _unsigned(value)
    if not text.strip("0."):
        raise FeedError("not_positive")
    return text


def _signed(value: Any) -> str:
    text = str(value) if type(value) is int else value
    if type(text) is not str or not _NUMBER(text):
        raise FeedError("not_a_number")
    return format(Decimal(text), "f") if "e" in text or "E" in text else text


def _count(value: Any) -> int:
    if type(value) is not int:
        raise FeedError("not_a_count")
    return value


def _time(value: Any) -> int:
    if type(value) is not int or not _TIME_MIN_MS <= value < _TIME_MAX_MS:
        raise FeedError("bad_time", repr(value))
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise FeedError("not_a_boolean")
    return value


# What a message is about. Without it the message says nothing, so it must be readable.
_REQUIRED = frozenset((_price, _flag))

_TICKER: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "c": ("last", _price),
    "o": ("open", _unsigned),
    "h": ("high", _unsigned),
    "l": ("low", _unsigned),
    "v": ("volume", _unsigned),
    "q": ("quote_volume", _unsigned),
    "p": ("change", _signed),
    "P": ("change_percent", _signed),
    "n": ("trades", _count),
    "w": ("weighted_average", _unsigned),
    "x": ("previous_close", _unsigned),
    "Q": ("last_quantity", _unsigned),
    "b": ("bid", _unsigned),
    "B": ("bid_quantity", _unsigned),
    "a": ("ask", _unsigned),
    "A": ("ask_quantity", _unsigned),
    "O": ("open_time_ms", _time),
    "C": ("close_time_ms", _time),
    "F": ("first_trade_id", _count),
    "L": ("last_trade_id", _count),
}

_KLINE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "o": ("open", _price),
    "h": ("high", _price),
    "l": ("low", _price),
    "c": ("close", _price),
    "v": ("volume", _unsigned),
    "q": ("quote_volume", _unsigned),
    "n": ("trades", _count),
    "V": ("taker_volume", _unsigned),
    "Q": ("taker_quote_volume", _unsigned),
    "f": ("first_trade_id", _count),
    "L": ("last_trade_id", _count),
    "x": ("closed", _flag),
}
