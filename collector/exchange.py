"""What the collector needs of an exchange. Each exchange has a folder or file of its own that provides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from decimal import Decimal

    from collector.events import MarketEvent
    from gateway.model.kline import Kline


class ExchangeError(Exception):
    """The exchange did not answer, or refused; the message says what and why.

    `retry_after_s`: seconds for which it asked to be left alone; 0 where it did not say. `permanent`: asking again
    does not help.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0, permanent: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.permanent = permanent


class Listed(NamedTuple):
    """A trading pair of the exchange."""

    symbol: str
    """As it is called in Redis and by the gateway's clients."""
    base: str
    quote: str
    trading: bool
    """Off: halted or delisted."""
    quote_volume: Decimal
    """Turnover of 24 h in the quote asset."""
    own_name: str = ""
    """As the exchange calls it, where that is another name: the operator may use this one too, or base and quote."""


class Venue(NamedTuple):
    """What an exchange is and what it can do."""

    name: str
    title: str
    """For people: shown with the data."""
    url: str
    """The page that attribution links to."""
    terms_url: str
    intervals: Collection[str]
    """Kline intervals that it has."""
    rows_max: int
    """Most klines that one question returns."""
    closes: bool = True
    """Whether its stream says when a kline is closed; otherwise the collector closes klines by its clock."""
    skips: bool = False
    """Whether there is no kline where nothing was traded; otherwise there is one of volume 0."""
    lacks: Sequence[str] = ()
    """What its data does not have, in plain words."""


class ExchangeStatus(NamedTuple):
    """How the exchange is doing; counts since the start."""

    connections: int
    """Connections for streams that there should be."""
    connected: int
    """Those that deliver."""
    lost: int = 0
    """Connections that ended without being replaced first."""
    refused: Mapping[str, int] = {}
    """Messages that could not be used, by reason."""
    weight_used: int = 0
    """Of the exchange's limit of questions, in the running minute; 0 where it has none that is counted."""


class Exchange(Protocol):
    """An exchange, spoken to by its own protocol."""

    venue: Venue

    def now_ms(self) -> int:
        """The time of the exchange's clock, ms since the epoch."""
        ...

    def status(self) -> ExchangeStatus:
        """How its connections are doing."""
        ...

    async def listing(self) -> Sequence[Listed]:
        """All pairs. Raises `ExchangeError`."""
        ...

    async def klines(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Sequence[Kline]:
        """Closed klines that open from `start_ms` and before `end_ms`, oldest first, at most `venue.rows_max`.

        Waits for its turn within the exchange's limits. Raises `ExchangeError`.
        """
        ...

    def follow(self, symbols: Collection[str], intervals: Collection[str]) -> None:
        """Stream klines of these intervals and tickers of these symbols from now on, and no others."""
        ...

    async def run(self, on_event: Callable[[MarketEvent], None]) -> None:
        """Stream what is followed until cancelled. Failures of the exchange do not end it."""
        ...

    async def aclose(self) -> None:
        """Close the connections of questions; those of streams end with `run`."""
        ...
