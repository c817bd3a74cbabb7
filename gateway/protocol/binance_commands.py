"""Binance's stream commands and stream names: text -> typed request, replies -> frames. Pure.

Source: "Live Subscribing/Unsubscribing to streams" of "WebSocket Streams for Binance". Replies and errors have the form
that the live server uses and clients parse (nested `error`, `id` null if unreadable), not the flat documented one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from gateway.delivery.channel import View
from gateway.model.interval import HOUR_MS, INTERVALS
from gateway.protocol.frame import TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.model.symbol import SymbolRule

RequestId = int | str | None

UNKNOWN_PROPERTY, EXPECTED_BOOLEAN, INVALID_REQUEST, INVALID_JSON = 0, 1, 2, 3
TOO_MANY_REQUESTS = -1003


class RequestError(Exception):
    """A request that is refused; the connection stays open."""

    def __init__(self, code: int, message: str, id: RequestId = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id


@dataclass(frozen=True, slots=True)
class Stream:
    """The parts of a stream's name. `name`: as the client spells it, except that mixed case becomes Binance's."""

    name: str
    view: View
    symbol: str = ""
    interval: str = ""

    @property
    def native_name(self) -> str:
        """The native channel of the same data, which tokens name."""
        kind = "kline" if self.interval else "ticker"
        return ":".join(filter(None, (kind, self.symbol or "*", self.interval)))


@dataclass(frozen=True, slots=True)
class Request:
    """A decoded request."""

    method: str
    id: RequestId
    params: list[Any]


class StreamNames:
    """Parses the names of streams that this gateway serves."""

    def __init__(self, symbols: SymbolRule, intervals: Collection[str]) -> None:
        self._symbols = symbols
        self._intervals = frozenset(intervals)

    def parse(self, name: str) -> Stream | None:
        """The stream of a name, `None` for a name that no stream of this gateway has."""
        symbol, _, kind = name.partition("@")
        if not kind.isascii() or symbol.upper().lower() != symbol.lower():
            # In upper case some other letters become ASCII: the long s (U+017F) becomes "S".
            return None
        if symbol.isascii() and (view := _ARRAYS.get(symbol.lower())):
            if kind.lower() in ("arr", "arr@1000ms", "arr@3000ms"):
                return Stream(f"{_shown(symbol, f'!{_KINDS[view]}')}@{_shown(kind, kind.lower())}", view)
        elif self._symbols.admits(symbol.upper()):
            shown = _shown(symbol, symbol.lower())
            if view := _VIEWS.get(kind.lower()):
                return Stream(f"{shown}@{_shown(kind, _KINDS[view])}", view, symbol.upper())
            prefix, _, suffix = kind.partition("_")
            interval = suffix.removesuffix("@+08:00")
            shifted = interval != suffix
            if prefix.lower() == "kline" and interval in self._intervals and not (shifted and _moves(interval)):
                return Stream(f"{shown}@{_shown(prefix, 'kline')}_{suffix}", View.STRICT, symbol.upper(), interval)
        return None


def decode(text: bytes) -> Request:
    """The request in a text message; raises `RequestError`."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestError(INVALID_JSON, f"Invalid JSON: {error}") from error
    if not isinstance(data, dict):
        raise RequestError(INVALID_REQUEST, "Invalid request: expected an object")
    id = data.get("id")
    if not _is_id(id):
        raise RequestError(INVALID_REQUEST, "Invalid request: request ID must be an integer, a string or null")
    method = data.get("method")
    if not isinstance(method, str):
        raise RequestError(INVALID_REQUEST, "Invalid request: missing field `method`", id)
    params = data.get("params", [])
    if not isinstance(params, list):
        raise RequestError(INVALID_REQUEST, "Invalid request: params must be a list", id)
    return Request(method, id, params)


def stream_names(params: list[Any]) -> list[str]:
    """The names in a request's parameters; raises `RequestError` if one is not text."""
    if not all(isinstance(name, str) for name in params):
        raise RequestError(INVALID_REQUEST, "Invalid request: a stream name must be a string")
    return params


def id_of(text: bytes) -> RequestId:
    """The id of a request that is not executed, so that its client can match the reply; `None` where it has none."""
    try:
        return decode(text).id
    except RequestError as error:
        return error.id


def result(id: RequestId, value: object) -> bytes:
    """The reply to a request that succeeded."""
    return frame(TEXT, orjson.dumps({"result": value, "id": id}))


def error_frame(error: RequestError) -> bytes:
    """The reply to a request that was refused."""
    return frame(TEXT, orjson.dumps({"error": {"code": error.code, "msg": error.message}, "id": error.id}))


def _is_id(id: object) -> bool:
    return id is None or (type(id) is int and -(1 << 63) <= id < 1 << 63) or (isinstance(id, str) and len(id) <= 36)


def _shown(given: str, usual: str) -> str:
    """A part of a name as it is echoed. Channels are kept by name: their number must not grow with mixed cases."""
    return given if given in (given.lower(), given.upper()) else usual


def _moves(interval: str) -> bool:
    """Whether klines aligned to UTC+8 differ from those aligned to UTC; only the latter are served."""
    length_ms = INTERVALS[interval].length_ms
    return length_ms == 0 or 8 * HOUR_MS % length_ms != 0


_KINDS = {View.MINI: "miniTicker", View.FULL: "ticker", View.BOOK: "bookTicker"}
_VIEWS = {kind.lower(): view for view, kind in _KINDS.items()}
_ARRAYS = {f"!{_KINDS[view].lower()}": view for view in (View.MINI, View.FULL)}
