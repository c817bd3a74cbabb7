"""Klines and tickers as the JSON a collector writes: field names, order and types of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker


def kline_member(symbol: str, interval: str, kline: Kline, *, extended: bool = False) -> str:
    """A kline as stored; `extended` adds the fields that a collector may omit (trade ids, taker volumes).

    A closed kline that is provisional says so: the exchange has not confirmed it.
    """
    ids = f'"f":{kline.first_trade_id},"L":{kline.last_trade_id},' if extended else ""
    taker = f',"V":"{kline.taker_volume}","Q":"{kline.taker_quote_volume}","B":"0"' if extended else ""
    provisional = ',"provisional":true' if kline.provisional else ""
    return (
        f'{{"t":{kline.open_time_ms},"T":{kline.close_time_ms},"s":"{symbol}","i":"{interval}",{ids}'
        f'"o":"{kline.open}","c":"{kline.close}","h":"{kline.high}","l":"{kline.low}","v":"{kline.volume}",'
        f'"n":{kline.trades},"x":{"true" if kline.closed else "false"},"q":"{kline.quote_volume}"{taker}{provisional}}}'
    )


def kline_event(symbol: str, interval: str, kline: Kline, *, extended: bool = False) -> str:
    """A kline as published."""
    member = kline_member(symbol, interval, kline, extended=extended)
    return f'{{"e":"kline","E":{kline.event_time_ms},"s":"{symbol}","k":{member}}}'


def ticker_value(ticker: Ticker, *, extended: bool = False) -> str:
    """A ticker as stored, without an event time; what the exchange did not say is left out.

    `extended` adds the fields that a collector may omit (best bid and ask, last quantity, window, trade ids).
    """
    return f"{{{_ticker_fields(ticker, extended=extended)}}}"


def ticker_event(ticker: Ticker, *, extended: bool = False) -> str:
    """A ticker as published."""
    return f'{{"e":"24hrTicker","E":{ticker.event_time_ms},{_ticker_fields(ticker, extended=extended)}}}'


def _ticker_fields(ticker: Ticker, *, extended: bool) -> str:
    texts = [
        *(("c", ticker.last), ("o", ticker.open), ("h", ticker.high), ("l", ticker.low)),
        *(("v", ticker.volume), ("q", ticker.quote_volume), ("p", ticker.change), ("P", ticker.change_percent)),
    ]
    numbers = [("n", ticker.trades, -1)]
    if extended:
        texts += [
            *(("b", ticker.bid), ("B", ticker.bid_quantity), ("a", ticker.ask), ("A", ticker.ask_quantity)),
            *(("w", ticker.weighted_average), ("x", ticker.previous_close), ("Q", ticker.last_quantity)),
        ]
        numbers += [
            *(("O", ticker.open_time_ms, 0), ("C", ticker.close_time_ms, 0)),
            *(("F", ticker.first_trade_id, -1), ("L", ticker.last_trade_id, -1)),
        ]
    parts = [f'"s":"{ticker.symbol}"']
    parts += [f'"{letter}":"{text}"' for letter, text in texts if text]
    parts += [f'"{letter}":{number}' for letter, number, unknown in numbers if number != unknown]
    return ",".join(parts)
