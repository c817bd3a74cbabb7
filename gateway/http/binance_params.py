"""Validates query parameters of Binance's REST dialect, with the codes and messages of "Error codes for Binance"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from gateway.history.query import TIME_MAX_MS, QueryError
from gateway.model.errors import ErrorCode
from gateway.protocol.binance_rest import CODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from gateway.history.query import QueryRules
    from gateway.model.interval import Interval

TIME_UNIT = b"x-mbx-time-unit"
"""The header that says whether times are in milliseconds or microseconds."""

INVALID_SYMBOL = (CODES[ErrorCode.INVALID_SYMBOL], "Invalid symbol.")

# Word for word Binance's, in the notation of Java: word characters but for lower-case letters.
_SYMBOL_RANGE = r"^[\w\-._&&[^a-z]]{1,50}$"
_SYMBOLS_RANGE = r'^\[("[\w\-._&&[^a-z]]{1,50}"(,"[\w\-._&&[^a-z]]{1,50}"){0,}){0,1}\]$'
_NUMBER_RANGE = "^[0-9]{1,20}$"
_symbol_legal = re.compile(r"(?:[^\Wa-z]|[.-]){1,50}").fullmatch
_number_legal = re.compile("[0-9]{1,20}").fullmatch
_UNITS = {"MILLISECOND": False, "millisecond": False, "MICROSECOND": True, "microsecond": True}
_time_zone = re.compile(r"([+-]?)([0-9]{1,2})(?::([0-9]{2}))?").fullmatch

_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000


class Refused(Exception):
    """The request is invalid; `code` and `message` are Binance's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Parameters:
    """The parameters of one request. Every method raises `Refused` for an invalid value."""

    def __init__(self, request: Request, rules: QueryRules, known: Sequence[str]) -> None:
        """`known`: the parameters of the endpoint."""
        items = request.query_params.multi_items()
        self._given = dict(items)
        self._rules = rules
        unit = request.headers.get(TIME_UNIT.decode(), "MILLISECOND")
        if unit not in _UNITS:
            raise Refused(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
        self.micro = _UNITS[unit]
        """Whether the answer's times are in microseconds: the header `X-MBX-TIME-UNIT`."""
        if len(items) > len(self._given):
            raise Refused(-1101, "Duplicate values for a parameter detected.")
        if unknown := len(self._given.keys() - set(known)):
            raise Refused(
                -1101,
                f"Too many parameters; expected '{len(self._given) - unknown}' and received '{len(self._given)}'.",
            )

    def text(self, name: str) -> str | None:
        """A value as text, None if it is missing."""
        value = self._given.get(name)
        if value == "":
            raise Refused(-1105, f"Parameter '{name}' was empty.")
        return value

    def required(self, name: str) -> str:
        """A value that must not be missing."""
        value = self.text(name)
        if value is None:
            raise Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def choice(self, name: str, choices: Sequence[str], otherwise: tuple[int, str]) -> str | None:
        """One of `choices`, None if it is missing. `otherwise`: code and message for any other value."""
        value = self.text(name)
        if value is not None and value not in choices:
            raise Refused(*otherwise)
        return value

    def symbol(self) -> str:
        """The mandatory `symbol`."""
        return self._symbol(self.required("symbol"), "symbol", _SYMBOL_RANGE)

    def symbols(self) -> str | list[str] | None:
        """The value of `symbol`, the list in `symbols`, or None without either."""
        one, many = self.text("symbol"), self.text("symbols")
        if one is not None and many is not None:
            raise Refused(-1128, "Combination of optional parameters invalid.")
        if many is None:
            return None if one is None else self.symbol()
        try:
            names = orjson.loads(many)
        except orjson.JSONDecodeError:
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise _illegal("symbols", _SYMBOLS_RANGE)
        if len(set(names)) < len(names):
            raise Refused(-1151, "Symbol is present multiple times in the list.")
        return [self._symbol(name, "symbols", _SYMBOLS_RANGE) for name in names]

    def interval(self) -> Interval:
        """The mandatory `interval`."""
        interval = self._rules.interval(self.required("interval"))
        if isinstance(interval, QueryError):
            raise Refused(CODES[ErrorCode.INVALID_INTERVAL], "Invalid interval.")
        return interval

    def integer(self, name: str) -> int | None:
        """A non-negative integer, None if it is missing."""
        value = self.text(name)
        if value is None:
            return None
        if not _number_legal(value):
            raise _illegal(name, _NUMBER_RANGE)
        return int(value)

    def time(self, name: str, *, up: bool = False) -> int | None:
        """A time in ms, None if it is missing. Times after `TIME_MAX_MS` count as that.

        Binance takes ms and microseconds, whatever the header says; the magnitude tells them apart. `up`: microseconds
        are rounded up to ms, not down, as the beginning of a range requires.
        """
        value = self.integer(name)
        if value is None:
            return None
        if value > TIME_MAX_MS:
            value = -(-value // 1000) if up else value // 1000
        return min(value, TIME_MAX_MS)

    def limit(self, default: int, most: int) -> int:
        """The `limit`; a larger one than `most` counts as `most`, as on Binance."""
        value = self.integer("limit")
        if value == 0:
            raise _invalid("limit")
        return default if value is None else min(value, most)

    def time_zone(self, interval: Interval) -> None:
        """Check `timeZone`: klines are aligned to UTC, so only offsets that move no kline are accepted."""
        text = self.text("timeZone")
        if text is None:
            return
        # An unescaped plus sign arrives as a space.
        found = _time_zone(text.strip())
        if not found:
            raise _invalid("timeZone")
        sign, hours, minutes = found[1], int(found[2]), int(found[3] or 0)
        offset_ms = (hours * _HOUR_MS + minutes * _MINUTE_MS) * (-1 if sign == "-" else 1)
        in_range = minutes < 60 and -12 * _HOUR_MS <= offset_ms <= 14 * _HOUR_MS
        moves = offset_ms % interval.length_ms if interval.length_ms else offset_ms
        if not in_range or moves:
            raise _invalid("timeZone")

    def _symbol(self, name: str, parameter: str, legal_range: str) -> str:
        if self._rules.symbols.admits(name):
            return name
        if _symbol_legal(name):
            raise Refused(*INVALID_SYMBOL)
        raise _illegal(parameter, legal_range)


def _illegal(name: str, legal_range: str) -> Refused:
    return Refused(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal_range}'.")


def _invalid(name: str) -> Refused:
    return Refused(-1130, f"Data sent for parameter '{name}' is not valid.")
