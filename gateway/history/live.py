"""The live market as history and the HTTP dialects see it. Says nothing about how it comes to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker


class LiveMarket(Protocol):
    """Reads never wait: what they return is the state of this instant."""

    @property
    def has_symbols(self) -> bool:
        """Whether it is known which symbols there are; not while there is none."""

    def is_unknown(self, symbol: str) -> bool:
        """Whether nobody has data for the symbol; not while more may be on its way."""

    def has_data(self, symbol: str) -> bool: ...

    def symbols(self) -> list[str]:
        """All known symbols, sorted."""

    def stale(self, symbol: str) -> bool:
        """Whether the symbol's source is away."""

    def forming(self, symbol: str, interval: str) -> Kline | None: ...

    def closed(self, symbol: str, interval: str) -> Iterable[Kline]:
        """The newest few closed klines, ascending by open time."""

    def ticker(self, symbol: str) -> Ticker | None: ...
