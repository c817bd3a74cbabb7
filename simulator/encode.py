"""Klines and tickers as the JSON a collector writes: field names, order and types of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker


def kline_member(symbol: str, interval: str, kline: Kline, *, extended: bool = False) -> str:
    """A kline as stored; `extended` adds the fields that a collector may omit (trade ids, taker volumes)."""
    ids = f'"f":{kline.first_trade_id},"L":{kline.last_trade_id},' if extended else ""
    taker = f',"V":"{kline.taker_volume}","Q":"{kline.taker_quote_volume}","B":"0"' if extended else ""
    return (
        f'{{"t":{kline.open_time_ms},"T":{kline.close_time_ms},"s":"{symbol}","i":"{interval}",{ids}'
        f'"o":"{kline.open}","c":"{kline.close}","h":"{kline.high}","l":"{kline.low}","v":"{kline.volume}",'
        f'"n":{kline.trades},"x":{"true" if kline.closed else "false"},"q":"{kline.quote_volume}"{taker}}}'
    )


def kline_event(symbol: str, interval: str, kline: Kline, *, extended: bool = False) -> str:
    """A kline as published."""
    member = kline_member(symbol, interval, kline, extended=extended)
    return f'{{"e":"kline","E":{kline.event_time_ms},"s":"{symbol}","k":{member}}}'


def ticker_value(ticker: Ticker, *, extended: bool = False) -> str:
    """A ticker as stored, without an event time; `extended` adds the best bid and ask."""
    return f"{{{_ticker_fields(ticker, extended=extended)}}}"


def ticker_event(ticker: Ticker, *, extended: bool = False) -> str:
    """A ticker as published."""
    return f'{{"e":"24hrTicker","E":{ticker.event_time_ms},{_ticker_fields(ticker, extended=extended)}}}'


def _ticker_fields(ticker: Ticker, *, extended: bool) -> str:
    book = (
        f',"b":"{ticker.bid}","B":"{ticker.bid_quantity}","a":"{ticker.ask}","A":"{ticker.ask_quantity}"'
        if extended
        else ""
    )
    return (
        f'"s":"{ticker.symbol}","c":"{ticker.last}","o":"{ticker.open}","h":"{ticker.high}","l":"{ticker.low}",'
        f'"v":"{ticker.volume}","q":"{ticker.quote_volume}","p":"{ticker.change}","P":"{ticker.change_percent}",'
        f'"n":{ticker.trades}{book}'
    )
