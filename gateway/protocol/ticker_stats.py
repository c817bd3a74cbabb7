"""The 24 h statistics that a source leaves out, computed from those it gives, or from klines. Pure; exact decimals, no
float."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

from gateway.market.day_tickers import difference, percentage
from gateway.model.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.model.kline import Kline

DAY_MS = 86_400_000
ZERO = "0.00000000"
_PRICE_STEP = Decimal("0.00000001")

# The feed accepts 31 digits before the point and 30 after it: a quotient of two such numbers must fit.
_EXACT = Context(prec=120, rounding=ROUND_HALF_EVEN)


def complete_ticker(ticker: Ticker) -> Ticker:
    """The ticker with a value in every decimal field and a trade count from 0; unknown trade ids stay -1.

    Formulas are those of "24hr Ticker Price Change Statistics" in Binance's REST documentation.
    """
    open_ = ticker.open or ticker.last
    return ticker._replace(
        open=open_,
        high=ticker.high or max(ticker.last, open_, key=Decimal),
        low=ticker.low or min(ticker.last, open_, key=Decimal),
        volume=ticker.volume or ZERO,
        quote_volume=ticker.quote_volume or ZERO,
        change=ticker.change or change(ticker),
        change_percent=ticker.change_percent or change_percent(ticker),
        trades=max(ticker.trades, 0),
        weighted_average=ticker.weighted_average or weighted_average(ticker),
        previous_close=ticker.previous_close or open_,
        last_quantity=ticker.last_quantity or ZERO,
        bid=ticker.bid or ZERO,
        bid_quantity=ticker.bid_quantity or ZERO,
        ask=ticker.ask or ZERO,
        ask_quantity=ticker.ask_quantity or ZERO,
    )


def change(ticker: Ticker) -> str:
    """The difference of the last price and the first one."""
    return difference(ticker.last, ticker.open or ticker.last)


def change_percent(ticker: Ticker) -> str:
    """The same in percent of the first price; 0 if that is 0."""
    return percentage(ticker.last, ticker.open or ticker.last)


def weighted_average(ticker: Ticker) -> str:
    """The average price weighted by volume: quote volume by volume; 0 without volume."""
    return _quotient(Decimal(ticker.quote_volume or 0), Decimal(ticker.volume or 0), _PRICE_STEP)


def ticker_of_klines(symbol: str, series: Iterable[Sequence[Kline]], now_ms: int) -> Ticker | None:
    """The ticker that a symbol's stored klines tell, None without klines. The market's own (`market/day_tickers.py`) is
    exact; this one is for symbols whose day it has not read yet.

    `series`: the newest klines of each interval, ascending; the shortest interval first. The price is that of the
    newest kline. The statistics are those of the series that covers most of the last 24 h, of the shortest that covers
    all of it but a part of one kline; a symbol without klines for 24 h has had a day without trades.
    """
    newest: Kline | None = None
    day: Sequence[Kline] = ()
    for klines in series:
        if klines and (newest is None or _seen_ms(klines[-1]) > _seen_ms(newest)):
            newest = klines[-1]
        within = [kline for kline in klines if kline.open_time_ms > now_ms - DAY_MS]
        complete = bool(day) and day[0].open_time_ms - (now_ms - DAY_MS) <= day[0].close_time_ms - day[0].open_time_ms
        if within and not complete and (not day or within[0].open_time_ms < day[0].open_time_ms):
            day = within
    if newest is None:
        return None
    ticker = Ticker(symbol, newest.close, event_time_ms=min(_seen_ms(newest), now_ms), derived=True)
    if not day:
        return ticker
    return ticker._replace(
        open=day[0].open,
        high=max((kline.high for kline in day), key=Decimal),
        low=min((kline.low for kline in day), key=Decimal),
        volume=_sum(kline.volume for kline in day),
        quote_volume=_sum(kline.quote_volume for kline in day),
        trades=sum(kline.trades for kline in day),
    )


def average_of_klines(klines: Iterable[Kline]) -> str | None:
    """The average price of klines weighted by volume, None without volume. Where a kline has no quote volume, its close
    price counts for all of its volume."""
    total = volume = Decimal(0)
    for kline in klines:
        traded = Decimal(kline.volume)
        volume = _EXACT.add(volume, traded)
        total = _EXACT.add(total, Decimal(kline.quote_volume) or _EXACT.multiply(Decimal(kline.close), traded))
    return _quotient(total, volume, _PRICE_STEP) if volume else None


def _seen_ms(kline: Kline) -> int:
    # A closed kline from the store has no event time; its close time is the nearest.
    return kline.event_time_ms or kline.close_time_ms


def _sum(texts: Iterable[str]) -> str:
    total = Decimal(0)
    for text in texts:
        total = _EXACT.add(total, Decimal(text))
    return format(total, "f")


def _quotient(dividend: Decimal, divisor: Decimal, step: Decimal) -> str:
    value = _EXACT.divide(dividend, divisor) if divisor else Decimal(0)
    return format(value.quantize(step, context=_EXACT), "f")
