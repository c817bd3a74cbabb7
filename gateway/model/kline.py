"""A kline (candle) and the news of one.

Prices and volumes stay what the source wrote: decimal text, checked once at the border. So digits survive to the
client (`97000.10` never becomes `97000.1`), no float touches a value that is sent, and a stored kline takes half the
memory of one made of `Decimal`s. Code that compares prices turns them into `Decimal` where it compares.
"""

from __future__ import annotations

from typing import NamedTuple, TypedDict


class Kline(NamedTuple):
    """One candle of one symbol and interval. Times are ms since the epoch; decimal text for prices and volumes."""

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
    """Made of ticker prices alone: the exchange has not said anything about this bar yet."""
    event_time_ms: int = 0
    """When the source saw this state of the bar; decides which of two states is newer."""


class KlineFields(TypedDict, total=False):
    """Fields of a `Kline` that a message carries; a diff carries only those that changed."""

    close_time_ms: int
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
    """News of one kline from the feed: all of its fields, or only the changed ones."""

    symbol: str
    interval: str
    open_time_ms: int
    event_time_ms: int
    fields: KlineFields
