"""The symbols as listed pairs, for the dialects that ask for tick sizes and assets. Encodes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.http.mount import NothingYet
from gateway.model.interval import INTERVALS
from gateway.protocol.listing import PADDED_DIGITS, Listing, fraction_digits, longest_first, split_symbol, step_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import DialectsConfig
    from gateway.history.service import History
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker


class Listings:
    """Invariant: a listed pair's digits never become fewer, so that no client's tick size turns out too coarse; those
    that are configured never change."""

    def __init__(self, history: History, dialects: DialectsConfig, intervals: Sequence[str]) -> None:
        self._history = history
        self._live = history.live
        self._quote_assets = longest_first(dialects.quote_assets)
        self._ticks = {symbol: step_parts(text) for symbol, text in dialects.tick_sizes.items()}
        self._steps = {symbol: step_parts(text) for symbol, text in dialects.step_sizes.items()}
        # The interval with the most bars to learn from.
        self._shortest = min(intervals, key=list(INTERVALS).index)
        self._digits: dict[str, tuple[int, int]] = {}

    def names(self) -> list[str]:
        """All symbols, sorted. Raises `NothingYet` rather than saying that there are none."""
        if not self._live.has_symbols:
            raise NothingYet
        return self._live.symbols()

    def bare(self) -> list[Listing]:
        """All pairs without their digits: for looking through."""
        return [self._listing(symbol, 0, 0) for symbol in self.names()]

    def all(self) -> list[Listing]:
        return [self._known(symbol) for symbol in self.names()]

    async def find(self, symbol: str) -> Listing:
        """Raises `UnknownSymbol` or `StoreUnavailable`."""
        if self._live.has_data(symbol):
            return self._known(symbol)
        ticker = (await self._history.ticker(symbol)).ticker
        return self._listing(symbol, *_digits(ticker, ()))

    def _known(self, symbol: str) -> Listing:
        bars = list(self._live.closed(symbol, self._shortest))
        if forming := self._live.forming(symbol, self._shortest):
            bars.append(forming)
        price, quantity = _digits(self._live.ticker(symbol), bars)
        known_price, known_quantity = self._digits.get(symbol, (0, 0))
        self._digits[symbol] = digits = (max(price, known_price), max(quantity, known_quantity))
        return self._listing(symbol, *digits)

    def _listing(self, symbol: str, price_digits: int, quantity_digits: int) -> Listing:
        base, quote = split_symbol(symbol, self._quote_assets)
        price_digits, price_units = self._ticks.get(symbol, (price_digits, 1))
        quantity_digits, quantity_units = self._steps.get(symbol, (quantity_digits, 1))
        return Listing(symbol, base, quote, price_digits, quantity_digits, price_units, quantity_units)


def _digits(ticker: Ticker | None, bars: Sequence[Kline]) -> tuple[int, int]:
    """Of prices and of quantities; the finest there are where nothing has been seen."""
    prices = [text for bar in bars for text in (bar.open, bar.high, bar.low, bar.close)]
    quantities = [bar.volume for bar in bars]
    if ticker is not None:
        prices += [ticker.last, ticker.open, ticker.high, ticker.low, ticker.bid, ticker.ask]
        quantities += [ticker.volume, ticker.last_quantity, ticker.bid_quantity, ticker.ask_quantity]
    if not prices:
        return PADDED_DIGITS, PADDED_DIGITS
    return fraction_digits(prices), fraction_digits(quantities)
