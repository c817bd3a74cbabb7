"""Checks what a client asks of history: the result is a frozen query, or an error value with the field and the reason.

Pure. Values come as their JSON types; a dialect that has only text turns digits into integers first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.model.errors import ErrorCode
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.interval import Interval
    from gateway.model.symbol import SymbolRule

TIME_MAX_MS = 99_999_999_999_999
"""In the year 5138. The feed takes no later kline, and calendar arithmetic stays far from its own end."""


@dataclass(frozen=True, slots=True)
class QueryError:
    """Why a query is refused."""

    code: ErrorCode
    message: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KlinesQuery:
    """Klines of one series by open time in ms, both ends included.

    With a start: the first `limit` from it. Without: the last `limit` (up to the end, where one is given).
    """

    symbol: str
    interval: Interval
    limit: int
    start_ms: int | None = None
    end_ms: int | None = None


class QueryRules:
    """The symbols, intervals and limits that this gateway accepts."""

    def __init__(
        self, symbols: SymbolRule, intervals: Sequence[str], limit_max: int, limit_default: int | None = None
    ) -> None:
        """`limit_default`: klines of an answer where the request does not say; `None`: as many as it may ask for."""
        self.symbols = symbols
        self.intervals = tuple(intervals)
        self.limit_max = limit_max
        self.limit_default = limit_max if limit_default is None else limit_default

    def up_to(self, limit_max: int) -> QueryRules:
        """The same rules for a dialect that serves no more klines at a time."""
        if limit_max >= self.limit_max:
            return self
        return QueryRules(self.symbols, self.intervals, limit_max, min(self.limit_default, limit_max))

    def symbol(self, value: object) -> str | QueryError:
        """A well-formed symbol; whether there is data for it is not checked."""
        if not isinstance(value, str):
            return bad_field("symbol", "expected text" if value is not None else "missing")
        if not self.symbols.admits(value):
            return invalid_symbol(value)
        return value

    def interval(self, value: object, name: str = "interval") -> Interval | QueryError:
        """An interval that is configured. `name` is what the dialect calls it."""
        if not isinstance(value, str):
            return bad_field(name, "expected text" if value is not None else "missing")
        if value not in self.intervals:
            return QueryError(
                ErrorCode.INVALID_INTERVAL, f"{value!r} is not an interval served here", {"intervals": self.intervals}
            )
        return INTERVALS[value]

    def klines(
        self,
        symbol: object,
        interval: object,
        limit: object = None,
        start: object = None,
        end: object = None,
        interval_name: str = "interval",
    ) -> KlinesQuery | QueryError:
        """A complete query. `None`: the value was not given. `interval_name`: what the dialect calls the interval."""
        checked_symbol = self.symbol(symbol)
        if isinstance(checked_symbol, QueryError):
            return checked_symbol
        checked_interval = self.interval(interval, interval_name)
        if isinstance(checked_interval, QueryError):
            return checked_interval
        numbers: dict[str, int | None] = {}
        for name, value, least, most in (
            ("limit", limit, 1, self.limit_max),
            ("startTime", start, 0, TIME_MAX_MS),
            ("endTime", end, 0, TIME_MAX_MS),
        ):
            # bool is an int to Python, not to JSON.
            if value is not None and (type(value) is not int or not least <= value <= most):
                return bad_field(name, f"expected an integer from {least} to {most}", minimum=least, maximum=most)
            numbers[name] = value if isinstance(value, int) else None
        start_ms, end_ms = numbers["startTime"], numbers["endTime"]
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            return bad_field("endTime", "before startTime")
        return KlinesQuery(checked_symbol, checked_interval, numbers["limit"] or self.limit_default, start_ms, end_ms)


def bad_field(name: str, problem: str, **more: Any) -> QueryError:
    """For a field that is missing or has a wrong value; `more` goes into the details."""
    return QueryError(ErrorCode.BAD_REQUEST, f"{name}: {problem}", {"field": name, **more})


def invalid_symbol(symbol: str) -> QueryError:
    """For a symbol that is not well-formed, and for one without data."""
    return QueryError(ErrorCode.INVALID_SYMBOL, f"{symbol[:50]!r} is not a symbol known here", {"symbol": symbol[:50]})
