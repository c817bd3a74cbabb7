"""What an exchange tells: the state of a kline, or of a ticker. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

HISTORY_KLINES = 500
"""Closed klines of each series that a collector keeps stored."""


class KlineEvent(NamedTuple):
    """A forming kline at its present state, or a closed one."""

    symbol: str
    interval: str
    kline: Kline


class Correction(KlineEvent):
    """A closed kline that has left before with other values, or out of order: older than the last one that is stored.

    That a newer one is stored does not mean that this one is.
    """

    __slots__ = ()


class TickerEvent(NamedTuple):
    """The ticker of a symbol after a trade."""

    ticker: Ticker


MarketEvent = KlineEvent | TickerEvent

PUBLISHED_KLINES = 16
"""So many closed klines of the past are published when they come late; older ones are stored only. As many as gateways
keep in memory by default."""


def is_history(event: KlineEvent) -> bool:
    """Whether a closed kline was already old when the exchange told it."""
    kline = event.kline
    length_ms = kline.close_time_ms + 1 - kline.open_time_ms
    return kline.closed and kline.event_time_ms - kline.close_time_ms > PUBLISHED_KLINES * length_ms
