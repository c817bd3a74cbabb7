"""The live market as history sees it: what is known, and whether its source is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session
    from gateway.market.market import Market
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker


class LiveView:
    """What `history.service.History` is given."""

    def __init__(self, market: Market, hub: Hub[Session]) -> None:
        self._market = market
        self._hub = hub

    @property
    def has_symbols(self) -> bool:
        return self._market.has_symbols

    def is_unknown(self, symbol: str) -> bool:
        return self._market.is_unknown(symbol)

    def has_data(self, symbol: str) -> bool:
        return self._market.has_data(symbol)

    def symbols(self) -> list[str]:
        return self._market.symbols()

    def stale(self, symbol: str) -> bool:
        return not self._hub.state.live or self._market.lapsed(symbol)

    def forming(self, symbol: str, interval: str) -> Kline | None:
        return self._market.forming(symbol, interval)

    def closed(self, symbol: str, interval: str) -> Iterable[Kline]:
        return self._market.closed(symbol, interval)

    def ticker(self, symbol: str) -> Ticker | None:
        return self._market.ticker(symbol)
