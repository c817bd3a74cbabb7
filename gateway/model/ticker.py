"""A ticker: the last price and the rolling 24 h figures of one symbol, and the news of one."""

from __future__ import annotations

from typing import NamedTuple, TypedDict


class Ticker(NamedTuple):
    """Last price and 24 h figures; decimal text as the source wrote it, "" where the source never said."""

    symbol: str
    last: str
    open: str = ""
    high: str = ""
    low: str = ""
    volume: str = ""
    quote_volume: str = ""
    change: str = ""
    change_percent: str = ""
    trades: int = -1
    weighted_average: str = ""
    previous_close: str = ""
    last_quantity: str = ""
    bid: str = ""
    bid_quantity: str = ""
    ask: str = ""
    ask_quantity: str = ""
    open_time_ms: int = 0
    close_time_ms: int = 0
    first_trade_id: int = -1
    last_trade_id: int = -1
    event_time_ms: int = 0
    """When the source saw this price; decides which of two states is newer."""


class TickerFields(TypedDict, total=False):
    """Fields of a `Ticker` that a message carries; a diff carries only those that changed."""

    last: str
    open: str
    high: str
    low: str
    volume: str
    quote_volume: str
    change: str
    change_percent: str
    trades: int
    weighted_average: str
    previous_close: str
    last_quantity: str
    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str
    open_time_ms: int
    close_time_ms: int
    first_trade_id: int
    last_trade_id: int


class TickerUpdate(NamedTuple):
    """News of one ticker from the feed: all of its fields, or only the changed ones."""

    symbol: str
    event_time_ms: int
    fields: TickerFields
