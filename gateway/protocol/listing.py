"""A symbol's listing: its base and quote asset, tick size and step size. Pure.

The collector publishes neither. Assets are derived from the symbol's name, sizes from the digits of its decimals,
unless they are configured.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PADDED_DIGITS = 8
"""Binance writes every decimal with 8 digits after the point; the zeros at the end are padding."""

_FIAT_LETTERS = 3

_separator = re.compile("[-_/.:]")


class Listing(NamedTuple):
    """One symbol as REST clients list it."""

    symbol: str
    base: str
    quote: str
    price_digits: int
    quantity_digits: int
    price_units: int = 1
    """Tick size in units of the last price digit."""
    quantity_units: int = 1
    """Step size in units of the last quantity digit."""
    stopped: bool = False
    """Whether the symbol is not updated any more, while others are."""

    @property
    def status(self) -> str:
        """As Binance names it."""
        return "BREAK" if self.stopped else "TRADING"


def longest_first(quote_assets: Iterable[str]) -> tuple[str, ...]:
    """Quote assets in the order `split_symbol` needs: `BTCFDUSD` ends with FDUSD, not with USD."""
    return tuple(sorted(set(quote_assets), key=lambda asset: (-len(asset), asset)))


def split_symbol(symbol: str, quote_assets: Sequence[str]) -> tuple[str, str]:
    """Base and quote asset. Separators (`BTC-USDT`, `BTC/USD`, `BTC-USDT-SWAP`) say where the quote asset begins.

    Without one, or where only a date follows it (`BTCUSDT_250328`), it is the first of `quote_assets` that the name
    ends with. If none fits, the quote asset is the last three letters: a currency code (ISO 4217).
    """
    parts = [part for part in _separator.split(symbol) if part]
    if len(parts) > 1 and parts[1].isalpha():
        return parts[0], parts[1]
    symbol = parts[0] if parts else symbol
    for asset in quote_assets:
        if symbol.endswith(asset) and len(symbol) > len(asset):
            return symbol[: -len(asset)], asset
    if len(symbol) > _FIAT_LETTERS:
        return symbol[:-_FIAT_LETTERS], symbol[-_FIAT_LETTERS:]
    return symbol, ""


def fraction_digits(texts: Iterable[str]) -> int:
    """The largest number of digits after the point in these decimals, padding excluded."""
    most = 0
    for text in texts:
        fraction = text.partition(".")[2]
        if len(fraction) >= PADDED_DIGITS:
            fraction = fraction.rstrip("0")
        most = max(most, len(fraction))
    return most


def step_text(digits: int, units: int = 1) -> str:
    """A step of `units` of the last of `digits` digits, padded as Binance does: 2 -> `0.01000000`."""
    return f"{Decimal(units).scaleb(-digits):.{max(digits, PADDED_DIGITS)}f}"


def step_parts(text: str) -> tuple[int, int]:
    """The digits and units of a step: `0.05000000` -> 2, 5."""
    step = Decimal(text).normalize()
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int), "a finite number"
    digits = max(0, -exponent)
    return digits, int(step.scaleb(digits))
