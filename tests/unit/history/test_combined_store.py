"""Several stores read as one; the stores are scripted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from gateway.history.combined_store import CombinedStore
from gateway.history.store import SeriesRead, StoreUnavailable
from tests.builders import closed_klines, kline, ticker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

AWAY = StoreUnavailable("connection", 1, 1.0)


@dataclass
class Scripted:
    """Answers everything with what it was given, or fails."""

    klines: list[Kline] = field(default_factory=list)
    price: Ticker | None = None
    last: int | None = None
    names: set[str] = field(default_factory=set)
    failure: Exception | None = None
    malformed: int = 0
    available: bool = True
    closed: bool = False
    asked: int = 0

    def _answer(self, value: Any) -> Any:
        self.asked += 1
        if self.failure:
            raise self.failure
        return value

    async def closed_klines(self, symbol: str, interval: str, limit: int, start: Any, end: Any) -> list[Kline]:
        klines: list[Kline] = self._answer(self.klines)
        return klines[-limit:] if start is None else klines[:limit]

    async def closed_klines_of(self, reads: Sequence[SeriesRead]) -> list[list[Kline]]:
        return [await self.closed_klines(read.symbol, read.interval, read.limit, read.start_ms, None) for read in reads]

    async def ticker(self, symbol: str) -> Ticker | None:
        found: Ticker | None = self._answer(self.price)
        return found

    async def tickers(self, symbols: Sequence[str]) -> list[Ticker | None]:
        return [self._answer(self.price) for _ in symbols]

    async def last_closed(self, series: Sequence[tuple[str, str]]) -> list[int | None]:
        return [self._answer(self.last) for _ in series]

    async def has_klines(self, symbol: str, interval: str) -> bool:
        return bool(self._answer(self.klines))

    async def has_klines_of(self, series: Sequence[tuple[str, str]]) -> list[bool]:
        return [bool(self._answer(self.klines)) for _ in series]

    async def has_data(self, symbol: str) -> bool:
        return bool(self._answer(symbol in self.names))

    async def symbols(self) -> set[str]:
        found: set[str] = self._answer(self.names)
        return found

    async def aclose(self) -> None:
        self.closed = True


def joined(*stores: Scripted, healthy: str = "ab") -> CombinedStore:
    named: Any = dict(zip("ab", stores, strict=False))
    return CombinedStore(named, lambda: list(healthy))


async def test_klines_are_the_union_of_all_stores() -> None:
    stores = joined(Scripted(closed_klines([0, 1, 3])), Scripted(closed_klines([1, 2])))
    found = await stores.closed_klines("S", "1m", 10)
    assert found == closed_klines([0, 1, 2, 3])


@pytest.mark.parametrize(("start_ms", "numbers"), [(None, [2, 3]), (0, [0, 1])])
async def test_the_union_is_limited_from_the_same_end(start_ms: int | None, numbers: list[int]) -> None:
    stores = joined(Scripted(closed_klines([0, 2])), Scripted(closed_klines([1, 3])))
    assert await stores.closed_klines("S", "1m", 2, start_ms) == closed_klines(numbers)


@pytest.mark.parametrize(("start_ms", "numbers"), [(None, [2, 3]), (0, [0, 1])])
async def test_many_series_are_joined_each_by_itself(start_ms: int | None, numbers: list[int]) -> None:
    reads = [SeriesRead("S", "1m", 2, start_ms), SeriesRead("S", "5m", 2, start_ms)]
    stores = joined(Scripted(closed_klines([0, 2])), Scripted(closed_klines([1, 3])))
    assert await stores.closed_klines_of(reads) == [closed_klines(numbers)] * 2
    assert (
        await joined(Scripted(closed_klines([0, 2])), healthy="a").closed_klines_of(reads)
        == [closed_klines([0, 2])] * 2
    )


async def test_of_two_versions_the_first_stores_counts_unless_the_other_is_newer() -> None:
    one, same, more = (kline(0, closed=True, event_time_ms=0, volume=volume) for volume in ("1", "1.0", "2"))
    assert await joined(Scripted([one]), Scripted([same])).closed_klines("S", "1m", 1) == [one]
    assert await joined(Scripted([one]), Scripted([more])).closed_klines("S", "1m", 1) == [more]


async def test_ticker_and_last_close_are_the_newest_of_all_stores() -> None:
    old, new = ticker("1", event_time_ms=1), ticker("2", event_time_ms=2)
    stores = joined(Scripted(price=new, last=7), Scripted(price=old, last=9))
    assert await stores.ticker("S") == new
    assert await stores.tickers(["S", "T"]) == [new, new]
    assert await stores.last_closed([("S", "1m")]) == [9]
    nothing = joined(Scripted(), Scripted())
    assert await nothing.ticker("S") is None
    assert await nothing.tickers(["S"]) == [None]
    assert await nothing.last_closed([("S", "1m")]) == [None]


async def test_a_series_has_klines_where_any_store_has() -> None:
    empty, full = Scripted(), Scripted(closed_klines([1]))
    assert await joined(empty, full).has_klines("S", "1m")
    assert not await joined(empty, empty).has_klines("S", "1m")
    assert await joined(empty, full).has_klines_of([("S", "1m")]) == [True]
    assert await joined(empty, empty).has_klines_of([("S", "1m")]) == [False]


async def test_symbols_are_those_of_all_stores() -> None:
    stores = joined(Scripted(names={"A"}), Scripted(names={"B"}))
    assert await stores.symbols() == {"A", "B"}
    assert await stores.has_data("B")
    assert not await stores.has_data("C")


async def test_a_store_that_fails_is_left_out() -> None:
    stores = joined(Scripted(failure=AWAY), Scripted(closed_klines([1])))
    assert await stores.closed_klines("S", "1m", 10) == closed_klines([1])


@pytest.mark.parametrize("healthy", ["ab", "a"])
async def test_the_read_fails_when_all_stores_fail(healthy: str) -> None:
    with pytest.raises(StoreUnavailable):
        await joined(Scripted(failure=AWAY), Scripted(failure=AWAY), healthy=healthy).symbols()


async def test_an_unexpected_exception_is_raised() -> None:
    with pytest.raises(KeyError):
        await joined(Scripted(), Scripted(failure=KeyError())).symbols()


async def test_only_healthy_stores_are_read() -> None:
    one, two = Scripted(names={"A"}), Scripted(names={"B"})
    assert await joined(one, two, healthy="b").symbols() == {"B"}
    assert (one.asked, two.asked) == (0, 1)


async def test_counters_and_closing_cover_all_stores() -> None:
    one, two = Scripted(malformed=2, available=False), Scripted(malformed=3)
    stores = joined(one, two, healthy="b")
    assert stores.malformed == 5
    assert stores.available
    await stores.aclose()
    assert one.closed
    assert two.closed
