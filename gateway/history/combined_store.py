"""Several stores read as one: the union of what the healthy ones have. Knows no Redis and keeps nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from gateway.history.merge import unique
from gateway.history.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from gateway.history.store import KlineStore, SeriesRead
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

T = TypeVar("T")


class CombinedStore:
    """The `KlineStore` of all sources: how the answers of several stores make one.

    A read raises `StoreUnavailable` only where none of the healthy stores can be read.
    """

    def __init__(self, stores: Mapping[str, KlineStore], healthy: Callable[[], Sequence[str]]) -> None:
        """`healthy`: names of the stores to read, at least one; of two equally new answers the first one's counts."""
        self._stores = stores
        self._healthy = healthy

    @property
    def malformed(self) -> int:
        return sum(store.malformed for store in self._stores.values())

    @property
    def available(self) -> bool:
        """Whether the last read of any store succeeded."""
        return any(store.available for store in self._stores.values())

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        answers = await self._read(lambda store: store.closed_klines(symbol, interval, limit, start_ms, end_ms))
        if len(answers) == 1:
            return answers[0]
        return _joined(answers, limit, start_ms)

    async def closed_klines_of(self, reads: Sequence[SeriesRead]) -> list[list[Kline]]:
        answers = await self._read(lambda store: store.closed_klines_of(reads))
        if len(answers) == 1:
            return answers[0]
        each = zip(*answers, strict=True)
        return [_joined(klines, read.limit, read.start_ms) for read, klines in zip(reads, each, strict=True)]

    async def last_closed(self, series: Sequence[tuple[str, str]]) -> list[int | None]:
        answers = await self._read(lambda store: store.last_closed(series))
        return [max((ms for ms in each if ms is not None), default=None) for each in zip(*answers, strict=True)]

    async def has_klines(self, symbol: str, interval: str) -> bool:
        return any(await self._read(lambda store: store.has_klines(symbol, interval)))

    async def has_klines_of(self, series: Sequence[tuple[str, str]]) -> list[bool]:
        answers = await self._read(lambda store: store.has_klines_of(series))
        return [any(each) for each in zip(*answers, strict=True)]

    async def has_data(self, symbol: str) -> bool:
        return any(await self._read(lambda store: store.has_data(symbol)))

    async def ticker(self, symbol: str) -> Ticker | None:
        return _newest(await self._read(lambda store: store.ticker(symbol)))

    async def tickers(self, symbols: Sequence[str]) -> list[Ticker | None]:
        answers = await self._read(lambda store: store.tickers(symbols))
        return [_newest(each) for each in zip(*answers, strict=True)]

    async def symbols(self) -> set[str]:
        return set().union(*await self._read(lambda store: store.symbols()))

    async def aclose(self) -> None:
        """Close every store."""
        for store in self._stores.values():
            await store.aclose()

    async def _read(self, read: Callable[[KlineStore], Awaitable[T]]) -> list[T]:
        """The answers of the healthy stores that could be read. Raises `StoreUnavailable` where none could."""
        stores = [self._stores[name] for name in self._healthy()]
        if len(stores) == 1:
            return [await read(stores[0])]
        answers = await asyncio.gather(*map(read, stores), return_exceptions=True)
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if unexpected := [failure for failure in failures if not isinstance(failure, StoreUnavailable)]:
            raise unexpected[0]
        if len(failures) == len(answers):
            raise failures[0]
        return [answer for answer in answers if not isinstance(answer, BaseException)]


def _joined(answers: Iterable[Iterable[Kline]], limit: int, start_ms: int | None) -> list[Kline]:
    klines = unique(kline for answer in answers for kline in answer)
    return klines[-limit:] if start_ms is None else klines[:limit]


def _newest(tickers: Iterable[Ticker | None]) -> Ticker | None:
    return max((ticker for ticker in tickers if ticker), key=lambda ticker: ticker.event_time_ms, default=None)
