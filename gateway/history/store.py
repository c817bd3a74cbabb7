"""What the history pipeline expects of a store of klines, and the error that says that the store cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker


class StoreUnavailable(Exception):
    """The store cannot be read. Every method of a `KlineStore` may raise it.

    `reason`: `timeout`, `connection`, `refused`, or `busy` (no connection was free); `since_ms`: when that began;
    `retry_after_s`: 0 for "any time".
    """

    def __init__(self, reason: str, since_ms: int, retry_after_s: float) -> None:
        super().__init__(f"store unavailable: {reason}")
        self.reason = reason
        self.since_ms = since_ms
        self.retry_after_s = retry_after_s


class SeriesRead(NamedTuple):
    """A read of closed klines of one series: the first `limit` from the start, or without one the last `limit`."""

    symbol: str
    interval: str
    limit: int
    start_ms: int | None = None


class KlineStore(Protocol):
    """Stored klines and tickers: one Redis (`RedisStore`) or several (`CombinedStore`)."""

    @property
    def available(self) -> bool:
        """Whether the last read succeeded."""

    @property
    def malformed(self) -> int:
        """Stored values that could not be used, since the start."""

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        """Stored closed klines by open time, both ends included, ascending, each once.

        With a start the first `limit` from it; without, the last `limit`.
        """

    async def closed_klines_of(self, reads: Sequence[SeriesRead]) -> list[list[Kline]]:
        """The same for many series in few round trips, in the order of `reads`."""

    async def last_closed(self, series: Sequence[tuple[str, str]]) -> list[int | None]:
        """Close time in ms of the last closed kline of each (symbol, interval), as the collector states it."""

    async def has_klines(self, symbol: str, interval: str) -> bool:
        """Whether any kline of the series is stored."""

    async def has_klines_of(self, series: Sequence[tuple[str, str]]) -> list[bool]:
        """The same for many (symbol, interval) in few round trips."""

    async def has_data(self, symbol: str) -> bool:
        """Whether anything at all is stored of the symbol."""

    async def ticker(self, symbol: str) -> Ticker | None:
        """The stored ticker; its event time is when the collector wrote it, 0 where it did not say."""

    async def tickers(self, symbols: Sequence[str]) -> list[Ticker | None]:
        """The same for many symbols in few round trips."""

    async def symbols(self) -> set[str]:
        """Every symbol that something is stored of. Walks the whole key space: at start and refresh only."""

    async def aclose(self) -> None: ...
