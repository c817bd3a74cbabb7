"""Which pairs to collect. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from collector.exchange import Listed

# A pair that is followed counts as this much further up: two pairs of similar turnover must not take turns.
_STAYS = 1.2


class UnknownPairs(ValueError):
    """Pairs that were asked for by name and that the exchange does not list; the message names them."""


def choose(listing: Collection[Listed], *, symbols: Sequence[str], top: int, quote: str) -> list[str]:
    """The pairs to collect, by turnover, largest first.

    `symbols`: these, by any of their names, and none else unless there is a `top`. `top`: so many by turnover in
    the asset `quote`. Raises `UnknownPairs`.
    """
    return follow(listing, (), symbols=symbols, top=top, quote=quote)


def follow(
    listing: Collection[Listed], before: Collection[str], *, symbols: Sequence[str], top: int, quote: str
) -> list[str]:
    """As `choose`, where the pairs of `before` are collected already and stay as long as they are near the top."""
    by_turnover = sorted(listing, key=lambda pair: pair.quote_volume, reverse=True)
    listed = {pair.symbol for pair in by_turnover}
    spellings = {spelling: pair.symbol for pair in by_turnover for spelling in (pair.base + pair.quote, pair.own_name)}
    symbols = [symbol if symbol in listed else spellings.get(symbol, symbol) for symbol in symbols]
    followed = set(before)
    if missing := [symbol for symbol in symbols if symbol not in listed and symbol not in followed]:
        raise UnknownPairs(f"the exchange does not list {', '.join(missing)}")
    ranked = enumerate(pair.symbol for pair in by_turnover if pair.quote == quote and pair.trading)
    places = {symbol: (place + 1) / _STAYS if symbol in followed else place + 1 for place, symbol in ranked}
    chosen = {*sorted(places, key=places.__getitem__)[:top], *symbols}
    return [pair.symbol for pair in by_turnover if pair.symbol in chosen]
