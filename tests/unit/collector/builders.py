"""Events of a market for the collector's tests."""

from __future__ import annotations

from collector.contract import Contract
from collector.events import KlineEvent, TickerEvent
from gateway.config import RedisConfig
from gateway.model.kline import Kline
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.model.ticker import Ticker
from gateway.redis.contract import Topics

MINUTE_MS = 60_000
SERIES = ("ABUSDT", "1m")


def closed(minute: int, symbol: str = "ABUSDT", *, price: str = "2", told_ms: int = 0) -> KlineEvent:
    """The closed 1m kline of a minute, told at its end or at `told_ms`."""
    opened_ms = minute * MINUTE_MS
    told_ms = told_ms or opened_ms + MINUTE_MS
    kline = Kline(opened_ms, opened_ms + MINUTE_MS - 1, price, price, price, price, closed=True, event_time_ms=told_ms)
    return KlineEvent(symbol, "1m", kline)


def forming(minute: int, symbol: str = "ABUSDT", *, price: str = "2") -> KlineEvent:
    """A kline that has not closed."""
    event = closed(minute, symbol, price=price)
    return event._replace(kline=event.kline._replace(closed=False))


def ticker(price: str = "2", symbol: str = "ABUSDT", told_ms: int = 90_000) -> TickerEvent:
    """A ticker with nothing but a price."""
    return TickerEvent(Ticker(symbol, price, event_time_ms=told_ms))


def contract(*, one_server: bool = True, sharded: bool = False) -> Contract:
    """With the default names."""
    topics = Topics(RedisConfig(), ("1m",), DEFAULT_SYMBOL_PATTERN)
    return Contract(topics, one_server=one_server, sharded=sharded)
