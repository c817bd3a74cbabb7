"""What a replay reads of a real archive: pages, the past, and what longer klines are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from gateway.archive.sqlite import SqliteArchive
from gateway.config import MarketConfig
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.archived_store import ArchivedStore
from gateway.model.interval import DAY_MS, HOUR_MS, INTERVALS
from gateway.replay import source as module
from gateway.replay.source import ReplaySource
from tests.builders import MINUTE_MS, T0, closed_klines
from tests.unit.history.stage import Stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.model.kline import Kline

SYMBOL = "AUSDT"
SERVED = ("1s", "1m", "5m", "15m", "1h", "1d", "1w", "1M")
MINUTES = 3 * 1440
NOW_MS = T0 + MINUTES * MINUTE_MS + 30_000


class Away(Stored):
    """A Redis that has nothing."""


class World(NamedTuple):
    archive: SqliteArchive
    source: ReplaySource

    async def holds(self, interval: str, first: int, last: int, symbol: str = SYMBOL) -> None:
        klines = closed_klines(range(first, last + 1), interval=interval)
        await self.archive.write({(symbol, interval): klines})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    archive = SqliteArchive(tmp_path / "archive.db")
    store = ArchivedStore(Away(), archive, certain=True)
    source = ReplaySource(AggregatingStore(store, MarketConfig(intervals=SERVED)), SERVED, lambda: NOW_MS, 10_000)
    yield World(archive, source)
    await archive.aclose()


def numbers(klines: object, interval: str = "1m") -> list[int]:
    found: list[Kline] = list(klines)  # type: ignore[call-overload]
    return [(one.open_time_ms - T0) // INTERVALS[interval].length_ms for one in found]


def at(minute: int) -> int:
    return T0 + minute * MINUTE_MS


async def test_pages_follow_each_other_up_to_the_present(world: World) -> None:
    await world.holds("1m", 0, 9)
    minute = INTERVALS["1m"]
    first = await world.source.page(SYMBOL, minute, T0, 4)
    assert (numbers(first.klines), first.unknown_ms, first.is_last) == ([0, 1, 2, 3], at(4), False)
    rest = await world.source.page(SYMBOL, minute, first.unknown_ms, 100)
    assert (numbers(rest.klines), rest.is_last) == ([4, 5, 6, 7, 8, 9], True)
    # Ten seconds ago the last minute had not been stored for sure.
    assert rest.unknown_ms == minute.open_time(NOW_MS - 10_000) == at(MINUTES)
    assert not world.source.has_more(minute, rest.unknown_ms)
    assert world.source.has_more(minute, rest.unknown_ms - MINUTE_MS)
    assert await world.source.page(SYMBOL, minute, rest.unknown_ms, 9) == ((), rest.unknown_ms, True)


async def test_a_page_may_have_an_end(world: World) -> None:
    await world.holds("1m", 0, 9)
    page = await world.source.page(SYMBOL, INTERVALS["1m"], T0, 100, at(5))
    assert (numbers(page.klines), page.unknown_ms, page.is_last) == ([0, 1, 2, 3, 4], at(5), True)


async def test_pages_of_a_derived_interval_are_short_and_leave_nothing_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_PARTS", 600)
    await world.holds("1m", 0, MINUTES - 1)
    hour, from_ms, found = INTERVALS["1h"], T0, []
    while from_ms < at(MINUTES):
        page = await world.source.page(SYMBOL, hour, from_ms, 500)
        assert len(page.klines) <= 10
        found += numbers(page.klines, "1h")
        from_ms = page.unknown_ms
    assert found == list(range(MINUTES // 60))
    assert await world.source.made_of(SYMBOL, hour) == "1m"
    assert await world.source.made_of("BUSDT", hour) == ""


async def test_what_is_remembered_of_series_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_MAX", 1)
    await world.holds("1m", 0, 9)
    for interval in ("1m", "5m", "1m"):
        assert await world.source.made_of(SYMBOL, INTERVALS[interval]) == "1m"


async def test_the_past_is_what_has_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTS_MAX", 3)
    await world.holds("1m", 0, 9)
    minute = INTERVALS["1m"]
    assert numbers(await world.source.before(SYMBOL, minute, at(1), at(9))) == list(range(1, 9))
    assert numbers(await world.source.before(SYMBOL, minute, at(1), at(9) + 59_999)) == list(range(1, 9))
    assert await world.source.before(SYMBOL, minute, at(5), at(5)) == []
    assert numbers(await world.source.newest(SYMBOL, minute, at(9), 2)) == [7, 8]
    assert await world.source.knows(SYMBOL)
    assert not await world.source.knows("BUSDT")


async def test_a_kline_forms_of_the_shortest_interval_that_is_stored(world: World) -> None:
    await world.holds("1m", 0, 300)
    await world.holds("5m", 0, 60)
    await world.holds("1h", 0, 5)

    async def part(whole: str, minute: int = 0, first_ms: int | None = T0) -> str | None:
        found = await world.source.part_of(SYMBOL, INTERVALS[whole], at(minute), first_ms)
        return None if found is None else found.name

    assert [await part(name) for name in ("1m", "5m", "1h", "1d")] == [None, "1m", "1m", "1m"]
    # A week of minutes is too many.
    assert await part("1w") == "15m"


async def test_what_is_not_kept_for_so_long_forms_nothing_of_long_ago(world: World) -> None:
    await world.holds("1h", 0, 71)
    await world.holds("1m", 2 * 1440, MINUTES - 1)
    day = INTERVALS["1d"]
    early = await world.source.part_of(SYMBOL, INTERVALS["1h"], at(0), T0)
    late = await world.source.part_of(SYMBOL, INTERVALS["1h"], at(2 * 1440), at(2 * 1440))
    assert (early, late) == (None, INTERVALS["1m"])
    assert await world.source.part_of_day(SYMBOL, T0 + DAY_MS) == (INTERVALS["1h"], T0)
    assert await world.source.part_of_day(SYMBOL, T0 + 3 * DAY_MS) == (INTERVALS["1m"], T0 + 2 * DAY_MS)
    assert await world.source.part_of(SYMBOL, day, T0 + DAY_MS, T0 + DAY_MS) == INTERVALS["1h"]


async def test_a_ticker_is_made_of_what_there_is(world: World) -> None:
    assert await world.source.part_of_day(SYMBOL, T0) is None
    await world.holds("1d", 0, 2)
    assert await world.source.part_of_day(SYMBOL, T0 + 2 * DAY_MS) == (INTERVALS["1d"], T0 + DAY_MS)
    await world.holds("1s", 0, 9)
    # Seconds are too many for a day.
    assert world.source.shortest == INTERVALS["1s"]
    part = await world.source.part_of_day(SYMBOL, T0 + HOUR_MS)
    assert part == (INTERVALS["1d"], T0)
