"""Converts whole ticks and lots to the model's klines and tickers: exact decimal text with a fixed number of digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model.kline import Kline
from gateway.model.ticker import Ticker

if TYPE_CHECKING:
    from gateway.model.interval import Interval
    from simulator.klines import DayFigures, RawKline
    from simulator.pairs import Pair

_PERCENT_DIGITS = 3

_BOOK_LOTS = 997
"""Quantities at the best prices derive from the day's sums, which change all the time; they are below so many lots."""


def decimal_text(units: int, digits: int) -> str:
    """`units / 10**digits` as text with exactly `digits` decimals."""
    if units < 0:
        return f"-{decimal_text(-units, digits)}"
    text = str(units)
    if not digits:
        return text
    if len(text) <= digits:
        text = text.zfill(digits + 1)
    return f"{text[:-digits]}.{text[-digits:]}"


def kline_of(pair: Pair, interval: Interval, kline: RawKline, event_time_ms: int, *, closed: bool) -> Kline:
    """The model's kline of a raw one."""
    price, lot = pair.price_digits, pair.lot_digits
    return Kline(
        open_time_ms=kline.open_ms,
        close_time_ms=interval.close_time(kline.open_ms),
        open=decimal_text(kline.open, price),
        high=decimal_text(kline.high, price),
        low=decimal_text(kline.low, price),
        close=decimal_text(kline.close, price),
        volume=decimal_text(kline.lots, lot),
        quote_volume=decimal_text(kline.quote, price + lot),
        trades=kline.trades,
        taker_volume=decimal_text(kline.taker_lots, lot),
        taker_quote_volume=decimal_text(kline.taker_quote, price + lot),
        first_trade_id=kline.first_id,
        last_trade_id=kline.first_id + kline.trades - 1 if kline.trades else -1,
        closed=closed,
        event_time_ms=event_time_ms,
    )


def ticker_of(pair: Pair, figures: DayFigures, event_time_ms: int) -> Ticker:
    """The model's ticker of the day's figures."""
    price, lot = pair.price_digits, pair.lot_digits
    change = figures.last - figures.open
    # The spread is one tick; the parity of the trade count decides which side the last trade hit.
    bid = max(1, figures.last - figures.trades % 2)
    return Ticker(
        symbol=pair.symbol,
        last=decimal_text(figures.last, price),
        open=decimal_text(figures.open, price),
        high=decimal_text(figures.high, price),
        low=decimal_text(figures.low, price),
        volume=decimal_text(figures.lots, lot),
        quote_volume=decimal_text(figures.quote, price + lot),
        change=decimal_text(change, price),
        change_percent=decimal_text(_rounded(change * 10 ** (_PERCENT_DIGITS + 2), figures.open), _PERCENT_DIGITS),
        trades=figures.trades,
        bid=decimal_text(bid, price),
        bid_quantity=decimal_text(1 + figures.lots % _BOOK_LOTS, lot),
        ask=decimal_text(bid + 1, price),
        ask_quantity=decimal_text(1 + figures.quote % _BOOK_LOTS, lot),
        event_time_ms=event_time_ms,
    )


def _rounded(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)
