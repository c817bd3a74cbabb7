"""Klines, tickers and updates of them, for tests that care about one or two fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline, KlineDelta, KlineFields, KlineUpdate
from gateway.model.ticker import PricedTickerFields, Ticker, TickerDelta, TickerFields, TickerUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable

T0 = 1_732_320_000_000
"""2024-11-23 00:00 UTC: an open time of every interval up to a day."""

MINUTE_MS = 60_000


def kline(number: int = 0, prices: str = "100 110 90 105", *, interval: str = "1m", **changes: Any) -> Kline:
    """The kline `number` places after `T0`; `prices` are open, high, low and close.

    Seen by the source a second after its open, a closed one right after its close.
    """
    span = INTERVALS[interval]
    open_time_ms = span.back(T0, -number)
    close_time_ms = span.close_time(open_time_ms)
    seen_ms = close_time_ms + 1 if changes.get("closed") else open_time_ms + 1000
    open_, high, low, close = prices.split()
    plain = Kline(open_time_ms, close_time_ms, open_, high, low, close, event_time_ms=seen_ms)
    return plain._replace(**changes)


def closed_klines(numbers: Iterable[int], *, interval: str = "1m") -> list[Kline]:
    return [kline(number, interval=interval, closed=True) for number in numbers]


def kline_update(of: Kline, symbol: str = "BTCUSDT", interval: str = "1m") -> KlineUpdate:
    return KlineUpdate(symbol, interval, of)


def kline_delta(
    number: int, event_time_ms: int, symbol: str = "BTCUSDT", interval: str = "1m", **fields: Any
) -> KlineDelta:
    """Some fields of the kline `number` places after `T0`."""
    span = INTERVALS[interval]
    open_time_ms = span.back(T0, -number)
    close_time_ms = span.close_time(open_time_ms)
    return KlineDelta(symbol, interval, open_time_ms, close_time_ms, event_time_ms, cast("KlineFields", fields))


def ticker(last: str = "100", symbol: str = "BTCUSDT", **fields: Any) -> Ticker:
    return Ticker(symbol, last, **{"event_time_ms": T0} | fields)


def ticker_update(last: str = "100", event_time_ms: int = T0, symbol: str = "BTCUSDT", **fields: Any) -> TickerUpdate:
    return TickerUpdate(symbol, event_time_ms, cast("PricedTickerFields", fields | {"last": last}))


def ticker_delta(event_time_ms: int = T0, symbol: str = "BTCUSDT", **fields: Any) -> TickerDelta:
    return TickerDelta(symbol, event_time_ms, cast("TickerFields", fields))
