"""The live market as history and the HTTP dialects see it. Reads never wait: they return the state of this instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.delivery.staleness import StaleReason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.delivery.feed_state import FeedStateMachine
    from gateway.market.market import Market
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker


class LiveMarket(Protocol):
    """What history asks of the live market."""

    @property
    def has_symbols(self) -> bool:
        """Whether any symbol is known. If not, the feed has not delivered yet, and every symbol may exist."""

    def is_unknown(self, symbol: str) -> bool:
        """Whether it is certain that there is no data for the symbol."""

    def has_data(self, symbol: str) -> bool: ...

    def symbols(self) -> list[str]:
        """All known symbols, sorted."""

    def ticker_stale(self, symbol: str) -> StaleReason:
        """Why the symbol's price is not live; false if it is."""

    def klines_stale(self, symbol: str, interval: str, *, forming: bool) -> StaleReason:
        """Why the series' klines, with or without the forming one, are not live; false if they are."""

    def forming(self, symbol: str, interval: str) -> Kline | None: ...

    def closed(self, symbol: str, interval: str) -> Iterable[Kline]:
        """The newest few closed klines, ascending by open time."""

    def ticker(self, symbol: str) -> Ticker | None: ...


class LiveView:
    """The `LiveMarket` of a running gateway: the market, together with the feed state that the hub holds."""

    def __init__(self, market: Market, feed_state: FeedStateMachine) -> None:
        self._market = market
        self._feed_state = feed_state

    @property
    def has_symbols(self) -> bool:
        return self._market.has_symbols

    def is_unknown(self, symbol: str) -> bool:
        return self._market.is_unknown(symbol)

    def has_data(self, symbol: str) -> bool:
        return self._market.has_data(symbol)

    def symbols(self) -> list[str]:
        return self._market.symbols()

    def ticker_stale(self, symbol: str) -> StaleReason:
        reason = self._feed_state.current.ticker(symbol).reason
        return StaleReason.PRICES if not reason and self._market.lapsed(symbol) else reason

    def klines_stale(self, symbol: str, interval: str, *, forming: bool) -> StaleReason:
        reason = self._feed_state.current.klines(symbol, interval, forming=forming).reason
        return StaleReason.PRICES if not reason and forming and self._market.lapsed(symbol) else reason

    def forming(self, symbol: str, interval: str) -> Kline | None:
        return self._market.forming(symbol, interval)

    def closed(self, symbol: str, interval: str) -> Iterable[Kline]:
        return self._market.closed(symbol, interval)

    def ticker(self, symbol: str) -> Ticker | None:
        return self._market.ticker(symbol)
