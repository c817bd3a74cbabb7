"""The 24 h statistics that a source leaves out, computed from those it gives. Pure; exact decimals, no float."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model.ticker import Ticker

ZERO = "0.00000000"
_PRICE_STEP = Decimal("0.00000001")
_PERCENT_STEP = Decimal("0.001")

# The feed accepts 31 digits before the point and 30 after it: a quotient of two such numbers must fit.
_EXACT = Context(prec=120, rounding=ROUND_HALF_EVEN)


def complete_ticker(ticker: Ticker) -> Ticker:
    """The ticker with a value in every decimal field and a trade count from 0; unknown trade ids stay -1.

    Formulas are those of "24hr Ticker Price Change Statistics" in Binance's REST documentation.
    """
    open_ = ticker.open or ticker.last
    last, first = Decimal(ticker.last), Decimal(open_)
    volume, quote_volume = ticker.volume or ZERO, ticker.quote_volume or ZERO
    return ticker._replace(
        open=open_,
        high=ticker.high or max(ticker.last, open_, key=Decimal),
        low=ticker.low or min(ticker.last, open_, key=Decimal),
        volume=volume,
        quote_volume=quote_volume,
        change=ticker.change or format(_EXACT.subtract(last, first), "f"),
        change_percent=ticker.change_percent or _percent(last, first),
        trades=max(ticker.trades, 0),
        weighted_average=ticker.weighted_average or _quotient(Decimal(quote_volume), Decimal(volume), _PRICE_STEP),
        previous_close=ticker.previous_close or open_,
        last_quantity=ticker.last_quantity or ZERO,
        bid=ticker.bid or ZERO,
        bid_quantity=ticker.bid_quantity or ZERO,
        ask=ticker.ask or ZERO,
        ask_quantity=ticker.ask_quantity or ZERO,
    )


def _percent(last: Decimal, first: Decimal) -> str:
    return _quotient(_EXACT.multiply(_EXACT.subtract(last, first), Decimal(100)), first, _PERCENT_STEP)


def _quotient(dividend: Decimal, divisor: Decimal, step: Decimal) -> str:
    value = _EXACT.divide(dividend, divisor) if divisor else Decimal(0)
    return format(value.quantize(step, context=_EXACT), "f")
