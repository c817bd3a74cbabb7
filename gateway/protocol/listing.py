"""What a symbol looks like on a list: its two assets, and how fine its prices and quantities are. Pure.

The collector says neither. Both are read off what it does say: the name, and the digits its decimals are written with;
unless somebody has configured the steps.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PADDED_DIGITS = 8
"""Binance writes every decimal with 8 digits after the point; zeros at the end of such a text say nothing."""

_FIAT_LETTERS = 3


class Listing(NamedTuple):
    symbol: str
    base: str
    quote: str
    price_digits: int
    quantity_digits: int
    price_units: int = 1
    """The smallest step, in units of the last digit."""
    quantity_units: int = 1


def longest_first(quote_assets: Iterable[str]) -> tuple[str, ...]:
    """In the order `split_symbol` wants them: `BTCFDUSD` ends with FDUSD, not with USD."""
    return tuple(sorted(set(quote_assets), key=lambda asset: (-len(asset), asset)))


def split_symbol(symbol: str, quote_assets: Sequence[str]) -> tuple[str, str]:
    """Base and quote asset, by the first of `quote_assets` that the symbol ends with.

    Where none fits, the last three letters: what a list of quote assets forgets is one more currency (ISO 4217).
    """
    for asset in quote_assets:
        if symbol.endswith(asset) and len(symbol) > len(asset):
            return symbol[: -len(asset)], asset
    if len(symbol) > _FIAT_LETTERS:
        return symbol[:-_FIAT_LETTERS], symbol[-_FIAT_LETTERS:]
    return symbol, ""


def fraction_digits(texts: Iterable[str]) -> int:
    """The most digits after the point that any of these decimals needs."""
    most = 0
    for text in texts:
        fraction = text.partition(".")[2]
        if len(fraction) >= PADDED_DIGITS:
            fraction = fraction.rstrip("0")
        most = max(most, len(fraction))
    return most


def step_text(digits: int, units: int = 1) -> str:
    """The smallest step of a decimal with so many digits, padded as Binance does: 2 -> `0.01000000`."""
    return f"{Decimal(units).scaleb(-digits):.{max(digits, PADDED_DIGITS)}f}"


def step_parts(text: str) -> tuple[int, int]:
    """A step as its digits after the point and its units of the last one: `0.05000000` -> 2, 5."""
    step = Decimal(text).normalize()
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int), "a finite number"
    digits = max(0, -exponent)
    return digits, int(step.scaleb(digits))
