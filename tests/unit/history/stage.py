"""A small market to ask: builders of bars and tickers, a live market and a store whose content a test sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.config import HistoryConfig, MarketConfig
from gateway.delivery.staleness import StaleReason
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.service import History
from gateway.history.store import StoreUnavailable
from gateway.model.kline import Kline

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from gateway.history.store import SeriesRead
    from gateway.model.ticker import Ticker

MINUTE_MS = 60_000
T0 = 1_732_310_040_000
"""Open time of bar 0."""


def open_ms(number: int) -> int:
    return T0 + number * MINUTE_MS


def bar(number: int, **changes: Any) -> Kline:
    """The closed 1m bar `number`; a negative number is one before bar 0."""
    fields: dict[str, Any] = {
        "open": "100.10",
        "high": "101.50",
        "low": "99.00",
        "close": f"{100 + number % 50}.20",
        "volume": "3.50",
        "quote_volume": "350.0",
        "trades": 7,
        "closed": True,
    }
    return Kline(open_ms(number), open_ms(number + 1) - 1, **(fields | changes))


def bars(first: int, last: int) -> list[Kline]:
    """Bars `first` to `last`, both included."""
    return [bar(number) for number in range(first, last + 1)]


def forming(number: int, **changes: Any) -> Kline:
    return bar(number, **({"closed": False, "event_time_ms": open_ms(number) + 5} | changes))


def numbers(klines: Sequence[Kline]) -> list[int]:
    """Which bars these are."""
    return [(kline.open_time_ms - T0) // MINUTE_MS for kline in klines]


@dataclass
class Live:
    """One symbol's live market, BTCUSDT 1m."""

    last_bar: Kline | None = None
    memory: list[Kline] = field(default_factory=list)
    price: Ticker | None = None
    names: list[str] = field(default_factory=lambda: ["BTCUSDT"])
    away: bool = False
    has_symbols: bool = True

    def has_data(self, symbol: str) -> bool:
        return symbol in self.names

    def is_unknown(self, symbol: str) -> bool:
        return self.has_symbols and symbol not in self.names

    def symbols(self) -> list[str]:
        return sorted(self.names)

    def ticker_stale(self, symbol: str) -> StaleReason:
        return StaleReason.DISCONNECTED if self.away else StaleReason.NONE

    def klines_stale(self, symbol: str, interval: str, *, forming: bool) -> StaleReason:
        return StaleReason.DISCONNECTED if self.away else StaleReason.NONE

    def forming(self, symbol: str, interval: str) -> Kline | None:
        return self.last_bar if (symbol, interval) == ("BTCUSDT", "1m") else None

    def closed(self, symbol: str, interval: str) -> list[Kline]:
        return self.memory if (symbol, interval) == ("BTCUSDT", "1m") else []

    def ticker(self, symbol: str) -> Ticker | None:
        return self.price if symbol == "BTCUSDT" else None


@dataclass
class Stored:
    """A store with one series, BTCUSDT 1m. `gate`, where set, holds reads up; `down` makes them fail."""

    klines: list[Kline] = field(default_factory=list)
    price: Ticker | None = None
    data_of: set[str] = field(default_factory=set)
    down: bool = False
    gate: asyncio.Event | None = None
    during: list[Callable[[], None]] = field(default_factory=list)
    """What happens to the market during the reads of klines to come, one a read, once the store has answered."""
    reads: int = 0
    malformed: int = 0
    available: bool = True

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        await self._read()
        if (symbol, interval) != ("BTCUSDT", "1m"):
            return []
        found = [
            kline
            for kline in self.klines
            if (start_ms is None or start_ms <= kline.open_time_ms) and (end_ms is None or kline.open_time_ms <= end_ms)
        ]
        if self.during:
            self.during.pop(0)()
        return found[-limit:] if start_ms is None else found[:limit]

    async def closed_klines_of(self, reads: Sequence[SeriesRead]) -> list[list[Kline]]:
        return [await self.closed_klines(*read) for read in reads]

    async def has_klines(self, symbol: str, interval: str) -> bool:
        return (symbol, interval) == ("BTCUSDT", "1m") and bool(self.klines)

    async def has_klines_of(self, series: Sequence[tuple[str, str]]) -> list[bool]:
        return [await self.has_klines(*one) for one in series]

    async def symbols(self) -> set[str]:
        return self.data_of

    async def ticker(self, symbol: str) -> Ticker | None:
        await self._read()
        return self.price if symbol == "BTCUSDT" else None

    async def tickers(self, symbols: Sequence[str]) -> list[Ticker | None]:
        raise NotImplementedError

    async def has_data(self, symbol: str) -> bool:
        await self._read()
        return symbol in self.data_of

    async def last_closed(self, series: Sequence[tuple[str, str]]) -> list[int | None]:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError

    async def _read(self) -> None:
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise StoreUnavailable("connection", T0, 1.5)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Stage:
    live: Live
    stored: Stored
    clock: Clock
    history: History


def stage(limit_max: int = 500, cache_symbols: int = 100) -> Stage:
    """Twenty closed bars stored, bar 20 forming."""
    live = Live(last_bar=forming(20))
    stored = Stored(klines=bars(0, 19), data_of={"BTCUSDT"})
    clock = Clock()
    config = HistoryConfig(cache_symbols=cache_symbols)
    return Stage(
        live, stored, clock, History(AggregatingStore(stored, MarketConfig()), live, config, limit_max, clock_s=clock)
    )
