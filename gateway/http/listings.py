"""Listings of the symbols, for the dialects whose clients ask for assets and tick sizes. Encodes nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.delivery.staleness import StaleReason
from gateway.http.errors import NoDataYet
from gateway.model.interval import INTERVALS
from gateway.protocol.listing import PADDED_DIGITS, Listing, fraction_digits, longest_first, split_symbol, step_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.config import DialectsConfig
    from gateway.http.reads import HistoryReads
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

LISTED_S = 1.0
"""Age up to which a listing is used again: it takes 0.1 ms to make."""


class Listings:
    """A symbol's digits never decrease, so that a tick size is never too coarse later; configured ones never change."""

    def __init__(
        self,
        history: HistoryReads,
        dialects: DialectsConfig,
        intervals: Sequence[str],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock_s`: monotonic, for the age of listings."""
        self._history = history
        self._live = history.live
        self._quote_assets = longest_first(dialects.quote_assets)
        self._ticks = {symbol: step_parts(text) for symbol, text in dialects.tick_sizes.items()}
        self._steps = {symbol: step_parts(text) for symbol, text in dialects.step_sizes.items()}
        # The interval with the most klines to derive digits from.
        self._shortest = min(intervals, key=list(INTERVALS).index)
        self._digits: dict[str, tuple[int, int]] = {}
        self._clock_s = clock_s
        self._listed: dict[str, tuple[float, Listing]] = {}
        self._searched: tuple[float, list[Listing]] = (-LISTED_S, [])

    def names(self) -> list[str]:
        """All symbols, sorted. Raises `NoDataYet` while none is known."""
        if not self._live.has_symbols:
            raise NoDataYet
        return self._live.symbols()

    def without_digits(self) -> list[Listing]:
        """All listings without digits: cheap, for searching. Raises `NoDataYet`."""
        now_s, (made_s, _) = self._clock_s(), self._searched
        if now_s - made_s >= LISTED_S:
            self._searched = (now_s, [self._listing(symbol, 0, 0) for symbol in self.names()])
        return self._searched[1]

    async def all(self) -> list[Listing]:
        """All listings. Raises `NoDataYet`."""
        found = []
        for symbol in self.names():
            found.append(self._known(symbol))
            await self._history.turns.wait()
        return found

    async def find(self, symbol: str) -> Listing:
        """The listing of one symbol. Raises `UnknownSymbol` or `StoreUnavailable`."""
        if self._live.has_data(symbol):
            await self._history.turns.wait()
            return self._known(symbol)
        ticker = (await self._history.ticker(symbol)).ticker
        return self._listing(symbol, *_digits(ticker, ()))

    def _known(self, symbol: str) -> Listing:
        now_s, kept = self._clock_s(), self._listed.get(symbol)
        if kept is None or now_s - kept[0] >= LISTED_S:
            kept = self._listed[symbol] = (now_s, self._derive(symbol))
        return kept[1]

    def _derive(self, symbol: str) -> Listing:
        klines = list(self._live.closed(symbol, self._shortest))
        if forming := self._live.forming(symbol, self._shortest):
            klines.append(forming)
        price, quantity = _digits(self._live.ticker(symbol), klines)
        known_price, known_quantity = self._digits.get(symbol, (0, 0))
        self._digits[symbol] = digits = (max(price, known_price), max(quantity, known_quantity))
        return self._listing(symbol, *digits)

    def _listing(self, symbol: str, price_digits: int, quantity_digits: int) -> Listing:
        base, quote = split_symbol(symbol, self._quote_assets)
        price_digits, price_units = self._ticks.get(symbol, (price_digits, 1))
        quantity_digits, quantity_units = self._steps.get(symbol, (quantity_digits, 1))
        stopped = self._live.ticker_stale(symbol) is StaleReason.SYMBOL
        return Listing(symbol, base, quote, price_digits, quantity_digits, price_units, quantity_units, stopped)


def _digits(ticker: Ticker | None, klines: Sequence[Kline]) -> tuple[int, int]:
    """Digits after the point of prices and quantities; `PADDED_DIGITS` if there are no prices."""
    prices = [text for kline in klines for text in (kline.open, kline.high, kline.low, kline.close)]
    quantities = [kline.volume for kline in klines]
    if ticker is not None:
        prices += [ticker.last, ticker.open, ticker.high, ticker.low, ticker.bid, ticker.ask]
        quantities += [ticker.volume, ticker.last_quantity, ticker.bid_quantity, ticker.ask_quantity]
    if not prices:
        return PADDED_DIGITS, PADDED_DIGITS
    return fraction_digits(prices), fraction_digits(quantities)
