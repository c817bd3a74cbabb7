"""Payloads of the collector -> updates, or a `FeedError` that says what is wrong.

Everything is checked here, once: what passes is well-formed decimal text, plausible times, an open time that its
interval has. Pure; connects to nothing, and is lenient about nothing in silence.

Shapes (see "Redis contract"): tickers as `{s,c,o,h,l,v,q,p,P,n}`, as Binance `24hrMiniTicker` / `24hrTicker`
events, or as a diff of either; klines bare or wrapped as `{"e":"kline","E":…,"s":…,"k":{…}}`, whole or as a diff.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline, KlineFields, KlineUpdate
from gateway.model.ticker import Ticker, TickerFields, TickerUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class FeedError(Exception):
    """The feed said something that cannot be used. `reason` is one of a few, so that it can label a counter."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


# JSON's number grammar (RFC 8259 section 6): the text goes out as a JSON number, so it must be one. Explicit digits,
# because \d would take those of other scripts; possessive, because it is tried on every field of every message.
_DECIMAL = r"(?:0|[1-9][0-9]{0,30}+)(?:\.[0-9]{1,30}+)?+"
_PLAIN = re.compile(_DECIMAL).fullmatch
_NUMBER = re.compile(rf"-?+{_DECIMAL}(?:[eE][+-]?[0-9]{{1,2}})?+").fullmatch

# A time in seconds or microseconds would silently make every bar wrong: only 2001..5138 in ms passes.
_TIME_MIN_MS = 10**12
_TIME_MAX_MS = 10**14


def decode_ticker(payload: bytes, symbol: str, arrived_ms: int) -> TickerUpdate:
    """A ticker payload of `symbol`'s channel or key. `arrived_ms` stands in for a missing event time."""
    data = _object(payload)
    if data.get("s", symbol) != symbol:
        raise FeedError("symbol_mismatch", f"{data['s']!r} on the channel of {symbol}")
    fields: TickerFields = _fields(data, _TICKER)
    return TickerUpdate(symbol, _event_time(data, arrived_ms), fields)


def decode_kline(payload: bytes, symbol: str, interval: str, arrived_ms: int) -> KlineUpdate:
    """A kline payload of a series' channel or sorted set. `arrived_ms` stands in for a missing event time."""
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
    fields: KlineFields = _fields(body, _KLINE)
    fields["close_time_ms"] = span.close_time(open_time_ms)
    return KlineUpdate(symbol, interval, open_time_ms, _event_time(data, arrived_ms), fields)


def complete_ticker(update: TickerUpdate) -> Ticker:
    """The update as a whole ticker; `FeedError` where it is a diff without the last price."""
    if "last" not in update.fields:
        raise FeedError("missing_field", "c")
    return Ticker(update.symbol, event_time_ms=update.event_time_ms, **update.fields)


def complete_kline(update: KlineUpdate) -> Kline:
    """The update as a whole kline; `FeedError` where it is a diff or contradicts itself."""
    fields = update.fields
    try:
        open_, high, low, close = (Decimal(fields[name]) for name in ("open", "high", "low", "close"))
    except KeyError as error:
        raise FeedError("missing_field", error.args[0]) from error
    if not low <= min(open_, close) <= max(open_, close) <= high:
        raise FeedError("contradictory_kline", f"o={open_} h={high} l={low} c={close}")
    return Kline(open_time_ms=update.open_time_ms, event_time_ms=update.event_time_ms, **fields)


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
    """The fields that the table knows, checked. What else a message carries is none of our business."""
    fields: dict[str, Any] = {}
    for letter, value in data.items():
        if rule := table.get(letter):
            name, checked = rule
            try:
                fields[name] = checked(value)
            except FeedError as error:
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


_TICKER: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "c": ("last", _unsigned),
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
    "o": ("open", _unsigned),
    "h": ("high", _unsigned),
    "l": ("low", _unsigned),
    "c": ("close", _unsigned),
    "v": ("volume", _unsigned),
    "q": ("quote_volume", _unsigned),
    "n": ("trades", _count),
    "V": ("taker_volume", _unsigned),
    "Q": ("taker_quote_volume", _unsigned),
    "f": ("first_trade_id", _count),
    "L": ("last_trade_id", _count),
    "x": ("closed", _flag),
}
