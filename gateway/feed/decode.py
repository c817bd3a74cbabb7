"""Decodes the collector's payloads to complete, checked updates; a `FeedError` says why one is refused.

Everything is checked here, once: what passes is well-formed decimal text, times in ms, an open time that its interval
has, prices that do not contradict each other. Pure; nothing is tolerated in silence: where a message is used although
something about it is odd (`Odd`), the caller is told. Whether a time is plausible depends on what time it is:
`model/feed_time.py`.

Shapes (see "Redis contract"): tickers as `{s,c,o,h,l,v,q,p,P,n}`, as Binance `24hrMiniTicker` / `24hrTicker`
events, or as a delta of either; klines bare or wrapped as `{"e":"kline","E":…,"s":…,"k":{…}}`, whole or as a delta.
Payloads of other formats decode themselves (`formats/`), by way of the same functions and with the same checks.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from gateway.feed.formats.payload import Payload
from gateway.model.feed_error import FeedError as FeedError
from gateway.model.feed_error import Odd, ignore
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline, KlineDelta, KlineUpdate
from gateway.model.ticker import TickerDelta, TickerUpdate
from gateway.model.timestamps import TIME_MAX_MS, TIME_MIN_MS, time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.model.feed_error import OnOdd
    from gateway.model.ticker import Ticker


# JSON's number grammar (RFC 8259 section 6): the text goes out as a JSON number, so it must be one. Explicit digits,
# because \d would take those of other scripts; possessive, because it is tried on every field of every message.
DECIMAL = r"(?:0|[1-9][0-9]{0,30}+)(?:\.[0-9]{1,30}+)?+"
_plain = re.compile(DECIMAL).fullmatch
_plain_positive = re.compile(rf"(?![0.]*+\Z){DECIMAL}").fullmatch
_plain_signed = re.compile(rf"-?+{DECIMAL}").fullmatch
_number = re.compile(rf"-?+{DECIMAL}(?:[eE][+-]?[0-9]{{1,2}})?+").fullmatch

# A message with all of these is a whole kline; with some of them it is a delta.
_PRICES = frozenset(("open", "high", "low", "close"))


def decode_ticker(payload: bytes, symbol: str, arrived_ms: int, on_odd: OnOdd = ignore) -> TickerUpdate | TickerDelta:
    """Decode a ticker payload of `symbol`'s channel or key. `arrived_ms` stands in for a missing event time.

    Raises `FeedError`.
    """
    # The exact type first: asking an abstract class would cost each message 4 %.
    if type(payload) is not bytes and isinstance(payload, Payload):
        return payload.ticker(symbol, arrived_ms, on_odd)
    data = json_object(payload)
    if data.get("s", symbol) != symbol:
        raise FeedError("symbol_mismatch", f"{data['s']!r} on the channel of {symbol}")
    fields = checked_fields(data, TICKER_FIELDS, on_odd)
    if "last" in fields:
        return TickerUpdate(symbol, _event_time(data, arrived_ms, on_odd), fields)
    return TickerDelta(symbol, _event_time(data, arrived_ms, on_odd), fields)


def decode_kline(
    payload: bytes, symbol: str, interval: str, arrived_ms: int, on_odd: OnOdd = ignore
) -> KlineUpdate | KlineDelta:
    """Decode a kline payload of a series' channel. `arrived_ms` stands in for a missing event time.

    Raises `FeedError`.
    """
    if type(payload) is not bytes and isinstance(payload, Payload):
        return payload.kline(symbol, interval, arrived_ms, on_odd)
    data, fields, open_time_ms, close_time_ms = _kline_parts(payload, symbol, interval, on_odd)
    event_time_ms = _event_time(data, arrived_ms, on_odd)
    if fields.keys() >= _PRICES:
        return KlineUpdate(symbol, interval, make_kline(fields, open_time_ms, close_time_ms, event_time_ms, on_odd))
    return KlineDelta(symbol, interval, open_time_ms, close_time_ms, event_time_ms, fields)


def decode_stored_ticker(payload: bytes, symbol: str, written_ms: int, on_odd: OnOdd = ignore) -> Ticker:
    """Decode the value of a ticker key, which is always a whole ticker.

    `written_ms` is when the collector wrote it, 0 where that is not known. Raises `FeedError`.
    """
    update = decode_ticker(payload, symbol, written_ms, on_odd)
    if isinstance(update, TickerDelta):
        raise FeedError("missing_field", "c")
    return update.ticker()


def decode_stored_kline(payload: bytes, symbol: str, interval: str, on_odd: OnOdd = ignore) -> Kline | None:
    """Decode a member of a sorted set of closed klines; `None` where the member says that it is not closed.

    Its event time is 0 (unknown) where it carries none: what the live feed says of the same kline is newer. Raises
    `FeedError`.
    """
    if type(payload) is not bytes and isinstance(payload, Payload):
        kline = payload.kline(symbol, interval, 0, on_odd).kline
        return kline if kline.closed else None
    data, fields, open_time_ms, close_time_ms = _kline_parts(payload, symbol, interval, on_odd)
    event_time_ms = _event_time(data, 0, on_odd)
    if not fields.setdefault("closed", True):
        return None
    return make_kline(fields, open_time_ms, close_time_ms, event_time_ms, on_odd)


def has_event_time(payload: bytes) -> bool:
    """Whether a message that can be decoded carries an event time of its own."""
    return payload.has_event_time if type(payload) is not bytes and isinstance(payload, Payload) else b'"E"' in payload


def closed_open_time(payload: bytes, interval: str, *, stored: bool = False) -> int | None:
    """The open time of the closed kline that a refused payload is about; `None` where that cannot be told.

    `stored`: a member of a sorted set, which need not say that it is closed.
    """
    if type(payload) is not bytes and isinstance(payload, Payload):
        return payload.closed_open_time(interval)
    try:
        data = json_object(payload)
    except FeedError:
        return None
    body = data.get("k", data)
    if not isinstance(body, dict) or body.get("x", stored) is not True:
        return None
    open_time_ms = time_of(body.get("t"))
    return open_time_ms if open_time_ms and INTERVALS[interval].open_time(open_time_ms) == open_time_ms else None


def _kline_parts(payload: bytes, symbol: str, interval: str, on_odd: OnOdd) -> tuple[dict[str, Any], Any, int, int]:
    """The outermost object of a kline payload, the kline's checked fields, its open time and its close time."""
    data = json_object(payload)
    body = data.get("k", data)
    if not isinstance(body, dict):
        raise FeedError("not_an_object", "k")
    if data.get("s", symbol) != symbol or body.get("s", symbol) != symbol or body.get("i", interval) != interval:
        named = f"{data.get('s')!r} {body.get('s')!r} {body.get('i')!r}"
        raise FeedError("symbol_mismatch", f"{named} on the channel of {symbol} {interval}")
    if "t" not in body:
        raise FeedError("missing_field", "t")
    open_time_ms = body["t"]
    if type(open_time_ms) is not int or not TIME_MIN_MS <= open_time_ms < TIME_MAX_MS:
        open_time_ms = _time_of_unit("t", open_time_ms, on_odd)
    span = INTERVALS[interval]
    if span.open_time(open_time_ms) != open_time_ms:
        raise FeedError("misaligned_time", f"{open_time_ms} is no open time of {interval}")
    return data, checked_fields(body, KLINE_FIELDS, on_odd), open_time_ms, span.close_time(open_time_ms)


def make_kline(fields: Any, open_time_ms: int, close_time_ms: int, event_time_ms: int, on_odd: OnOdd) -> Kline:
    """The whole kline of these fields; `FeedError` where a price is missing or the prices contradict each other."""
    try:
        open_, high = Decimal(fields["open"]), Decimal(fields["high"])
        low, close = Decimal(fields["low"]), Decimal(fields["close"])
    except KeyError as error:
        raise FeedError("missing_field", error.args[0]) from error
    if not (low <= open_ <= high and low <= close <= high):
        if low > high:
            raise FeedError("contradictory_kline", f"o={open_} h={high} l={low} c={close}")
        # BitMEX opens a kline at the close of the one before, which may lie outside of what was traded in it.
        on_odd(Odd.WIDENED, f"o={open_} h={high} l={low} c={close}")
        ends = (fields["open"], fields["close"])
        fields["high"] = max(fields["high"], *ends, key=Decimal)
        fields["low"] = min(fields["low"], *ends, key=Decimal)
    return Kline(open_time_ms, close_time_ms, event_time_ms=event_time_ms, **fields)


def json_object(payload: bytes) -> dict[str, Any]:
    """The object that a payload holds, with the text of numbers that are no integers. Raises `FeedError`."""
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


def checked_fields(data: Mapping[str, Any], table: Mapping[str, Rule], on_odd: OnOdd) -> Any:
    """The fields that the table knows, checked, under the names that `Kline` and `Ticker` have. Others are ignored.

    Raises `FeedError` where a price or a flag cannot be read; `on_odd` is told of other fields that cannot.
    """
    fields: dict[str, Any] = {}
    for letter, value in data.items():
        if rule := table.get(letter):
            name, accepts, _ = rule
            # Nearly every field is plain text: a pattern costs less than a function of Python's around it.
            if accepts is not None and type(value) is str and accepts(value):
                fields[name] = value
            elif (checked := _checked(letter, value, rule, on_odd)) is not None:
                fields[name] = checked
    return fields


def _checked(letter: str, value: Any, rule: Rule, on_odd: OnOdd) -> Any:
    """The value of a field that is not plain text.

    `None` where it cannot be read (null, empty, not a number) and is optional: it counts as absent, because it must not
    cost the price. Raises `FeedError` where it is required.
    """
    _, _, check = rule
    try:
        return check(value)
    except FeedError as error:
        detail = f"{letter}={value!r}"
        if check in _REQUIRED:
            raise FeedError(error.reason, detail) from error
        on_odd(Odd.BAD_FIELD, detail)
        return None


def _event_time(data: Mapping[str, Any], arrived_ms: int, on_odd: OnOdd) -> int:
    value = data.get("E", arrived_ms)
    if type(value) is int and (TIME_MIN_MS <= value < TIME_MAX_MS or value is arrived_ms):
        return value
    try:
        return _time_of_unit("E", value, on_odd)
    except FeedError as error:
        on_odd(Odd.BAD_TIME, str(error))
        return arrived_ms


def _time_of_unit(letter: str, value: Any, on_odd: OnOdd) -> int:
    """A time that is not an integer of ms, in whatever unit it is. Raises `FeedError` where that cannot be told."""
    found = time_of(value)
    if found is None:
        raise FeedError("bad_time", f"{letter}={value!r}")
    on_odd(Odd.TIME_UNIT, f"{letter}={value!r}")
    return found


def _unsigned(value: Any) -> str:
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
    if type(text) is not str or not _number(text):
        raise FeedError("not_a_number")
    return format(Decimal(text), "f") if "e" in text or "E" in text else text


def _count(value: Any) -> int:
    if type(value) is not int:
        raise FeedError("not_a_count")
    return value


def _time(value: Any) -> int:
    if type(value) is int and TIME_MIN_MS <= value < TIME_MAX_MS:
        return value
    found = time_of(value)
    if found is None:
        raise FeedError("bad_time")
    return found


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise FeedError("not_a_boolean")
    return value


# What a message is about. Without it the message says nothing, so it must be readable.
_REQUIRED = frozenset((_price, _flag))

# Name of a field, what its text matches in nearly every message, and the check of everything else.
Rule = tuple[str, "Callable[[str], object] | None", "Callable[[Any], Any]"]

TICKER_FIELDS: dict[str, Rule] = {
    "c": ("last", _plain_positive, _price),
    "o": ("open", _plain, _unsigned),
    "h": ("high", _plain, _unsigned),
    "l": ("low", _plain, _unsigned),
    "v": ("volume", _plain, _unsigned),
    "q": ("quote_volume", _plain, _unsigned),
    "p": ("change", _plain_signed, _signed),
    "P": ("change_percent", _plain_signed, _signed),
    "n": ("trades", None, _count),
    "w": ("weighted_average", _plain, _unsigned),
    "x": ("previous_close", _plain, _unsigned),
    "Q": ("last_quantity", _plain, _unsigned),
    "b": ("bid", _plain, _unsigned),
    "B": ("bid_quantity", _plain, _unsigned),
    "a": ("ask", _plain, _unsigned),
    "A": ("ask_quantity", _plain, _unsigned),
    "O": ("open_time_ms", None, _time),
    "C": ("close_time_ms", None, _time),
    "F": ("first_trade_id", None, _count),
    "L": ("last_trade_id", None, _count),
}

KLINE_FIELDS: dict[str, Rule] = {
    "o": ("open", _plain_positive, _price),
    "h": ("high", _plain_positive, _price),
    "l": ("low", _plain_positive, _price),
    "c": ("close", _plain_positive, _price),
    "v": ("volume", _plain, _unsigned),
    "q": ("quote_volume", _plain, _unsigned),
    "n": ("trades", None, _count),
    "V": ("taker_volume", _plain, _unsigned),
    "Q": ("taker_quote_volume", _plain, _unsigned),
    "f": ("first_trade_id", None, _count),
    "L": ("last_trade_id", None, _count),
    "x": ("closed", None, _flag),
}
