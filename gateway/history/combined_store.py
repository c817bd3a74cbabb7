"""Several stores read as one: the union of what the healthy ones have. Knows no Redis and keeps nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from gateway.history.merge import unique
from gateway.history.store import Store, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

T = TypeVar("T")


class CombinedStore:
    """Reads like one `Store`. Fails only where none of those asked can be read."""

    def __init__(self, stores: Mapping[str, Store], healthy: Callable[[], Sequence[str]]) -> None:
        """`healthy`: whom to ask, at least one; of two equally new answers the first one's holds."""
        self._stores = stores
        self._healthy = healthy

    @property
    def malformed(self) -> int:
        return sum(store.malformed for store in self._stores.values())

    @property
    def available(self) -> bool:
        """Whether the last reads got through, of any of them."""
        return any(store.available for store in self._stores.values())

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        found = await self._each(lambda store: store.closed_klines(symbol, interval, limit, start_ms, end_ms))
        if len(found) == 1:
            return found[0]
        klines = unique(kline for klines in found for kline in klines)
        return klines[-limit:] if start_ms is None else klines[:limit]

    async def ticker(self, symbol: str) -> Ticker | None:
        found = [ticker for ticker in await self._each(lambda store: store.ticker(symbol)) if ticker]
        return max(found, key=lambda ticker: ticker.event_time_ms, default=None)

    async def last_closed(self, series: Sequence[tuple[str, str]]) -> list[int | None]:
        found = await self._each(lambda store: store.last_closed(series))
        return [max((at for at in each if at is not None), default=None) for each in zip(*found, strict=True)]

    async def holds(self, symbol: str, interval: str) -> bool:
        return any(await self._each(lambda store: store.holds(symbol, interval)))

    async def has_data(self, symbol: str) -> bool:
        return any(await self._each(lambda store: store.has_data(symbol)))

    async def symbols(self) -> set[str]:
        return set().union(*await self._each(lambda store: store.symbols()))

    async def aclose(self) -> None:
        for store in self._stores.values():
            await store.aclose()

    async def _each(self, read: Callable[[Store], Awaitable[T]]) -> list[T]:
        """The answers of those that could be read. Raises `StoreUnavailable` where none could."""
        asked = [self._stores[name] for name in self._healthy()]
        if len(asked) == 1:
            return [await read(asked[0])]
        answers = await asyncio.gather(*map(read, asked), return_exceptions=True)
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if unexpected := [failure for failure in failures if not isinstance(failure, StoreUnavailable)]:
            raise unexpected[0]
        if len(failures) == len(answers):
            raise failures[0]
        return [answer for answer in answers if not isinstance(answer, BaseException)]
