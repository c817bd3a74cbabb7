"""A kline and what the feed can say about one: all of it, or what has changed; and which of two is newer.

Prices and volumes stay what the source wrote: decimal text, checked once at the border. So digits survive to the
client (`97000.10` never becomes `97000.1`), no float touches a value that is sent, and a stored kline takes half the
memory of one made of `Decimal`s. Code that compares prices turns them into `Decimal` where it compares.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple, TypedDict


class Kline(NamedTuple):
    """One kline of one symbol and interval. Times are ms since the epoch; decimal text for prices and volumes."""

    open_time_ms: int
    close_time_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str = "0"
    quote_volume: str = "0"
    trades: int = 0
    taker_volume: str = "0"
    taker_quote_volume: str = "0"
    first_trade_id: int = -1
    last_trade_id: int = -1
    closed: bool = False
    provisional: bool = False
    """Made of ticker prices and closed shorter klines: the source has not sent this kline yet."""
    event_time_ms: int = 0
    """When the source saw this state of the kline; decides which of two states is newer."""


class KlineFields(TypedDict, total=False):
    """The fields of a `Kline` that a delta may carry."""

    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    trades: int
    taker_volume: str
    taker_quote_volume: str
    first_trade_id: int
    last_trade_id: int
    closed: bool


class KlineUpdate(NamedTuple):
    """A whole kline from the feed."""

    symbol: str
    interval: str
    kline: Kline

    @property
    def open_time_ms(self) -> int:
        return self.kline.open_time_ms


class KlineDelta(NamedTuple):
    """The changed fields of one kline from the feed, as absolute values; they replace those of the kline before."""

    symbol: str
    interval: str
    open_time_ms: int
    close_time_ms: int
    event_time_ms: int
    fields: KlineFields


def rank(kline: Kline) -> tuple[bool, int, int, Decimal, Kline]:
    """Sort key for states of one kline (equal open times): the greatest is the newest.

    A closed kline beats a forming one; then event time, trades and volume decide, because a kline only grows. The kline
    itself comes last, so that two different states never tie.
    """
    return kline.closed, kline.event_time_ms, kline.trades, Decimal(kline.volume), kline
