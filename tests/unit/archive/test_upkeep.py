"""What keeps an archive in order: holes are found, what cannot be true is named, what is old goes."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from gateway.archive.engine import ArchiveError, Coverage
from gateway.archive.sqlite import SqliteArchive
from gateway.archive.upkeep import Compacts, Hole, Prunes, holes, missing, pages, unsound, windows
from gateway.model.interval import INTERVALS, MINUTE_MS
from tests.unit.archive.klines import T0, kline, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.model.kline import Kline

MINUTE = INTERVALS["1m"]
SERIES = ("BTCUSDT", "1m")


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[SqliteArchive]:
    made = SqliteArchive(tmp_path / "archive.db")
    await made.write({SERIES: run(0, 1999)})
    yield made
    await made.aclose()


async def read(archive: SqliteArchive) -> list[list[Kline] | ArchiveError]:
    part = (await archive.coverage())[SERIES]
    return [page async for page in pages(archive, SERIES, part)]


def test_holes_are_found_between_klines() -> None:
    klines = [*run(0, 9), *run(12, 12), *run(14, 20)]
    assert list(holes(klines, MINUTE)) == [
        Hole(T0 + 10 * MINUTE_MS, T0 + 11 * MINUTE_MS, 2),
        Hole(T0 + 13 * MINUTE_MS, T0 + 13 * MINUTE_MS, 1),
    ]
    assert list(holes(klines[:10], MINUTE)) == []


def test_what_is_missing_is_counted_for_months_too() -> None:
    first, last = kline(0, "1M").open_time_ms, kline(14, "1M").open_time_ms
    assert windows(INTERVALS["1M"], first, last) == 15
    assert missing("1M", Coverage(first, last, 12)) == 3
    assert missing("1m", Coverage(T0, T0 + 9 * MINUTE_MS, 10)) == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (kline(0), ""),
        (kline(0)._replace(open_time_ms=T0 + 1), "opens at no edge"),
        (kline(0)._replace(low="97000.01"), "prices contradict"),
        (kline(0)._replace(high="97000.09"), "prices contradict"),
    ],
    ids=["sound", "time", "low", "high"],
)
def test_what_cannot_be_true_is_named(wrong: Kline, said: str) -> None:
    found = unsound(wrong, MINUTE)
    assert found.startswith(said)
    assert bool(found) == bool(said)


async def test_pages_have_everything_once(archive: SqliteArchive) -> None:
    await archive.write({SERIES: run(9000, 9003)})
    found = [one for page in await read(archive) if isinstance(page, list) for one in page]
    assert found == [*run(0, 1999), *run(9000, 9003)]


async def test_a_block_that_is_damaged_costs_its_klines_only(archive: SqliteArchive) -> None:
    with sqlite3.connect(archive._path) as connection:
        connection.execute("UPDATE blocks SET data = x'3100ff' WHERE start_ms = (SELECT max(start_ms) FROM blocks)")
    found = await read(archive)
    assert [isinstance(page, ArchiveError) for page in found] == [False] * (len(found) - 1) + [True]
    with pytest.raises(ArchiveError):
        await archive.read(*SERIES, 10)


async def test_old_klines_go_in_whole_blocks_and_those_of_other_intervals_stay(archive: SqliteArchive) -> None:
    assert isinstance(archive, Prunes)
    await archive.write({("BTCUSDT", "1h"): run(0, 3, "1h"), ("ETHUSDT", "1m"): [kline(1)]})
    before = await archive.read(*SERIES, 5000)
    dropped = await archive.prune("1m", T0 + 1500 * MINUTE_MS)
    left = await archive.read(*SERIES, 5000)
    assert left == before[len(before) - len(left) :]
    assert 1000 < 2000 - len(left) <= 1500
    assert dropped == 2000 - len(left) + 1
    assert await archive.read("ETHUSDT", "1m", 9) == []
    assert len(await archive.read("BTCUSDT", "1h", 9)) == 4
    assert await archive.prune("1m", T0 + 1500 * MINUTE_MS) == 0


async def test_days_of_dropped_klines_go_too(archive: SqliteArchive) -> None:
    await archive.write({SERIES: run(0, 20 * 1440)})
    day = INTERVALS["1d"]
    end_ms = T0 + 20 * day.length_ms
    before = await archive.aggregated("BTCUSDT", MINUTE, day, 99, None, end_ms, skip=False)
    await archive.prune("1m", T0 + 10 * day.length_ms)
    after = await archive.aggregated("BTCUSDT", MINUTE, day, 99, None, end_ms, skip=False)
    assert before is not None
    assert after is not None
    assert (len(before.klines), after.klines) == (20, before.klines[-10:])


async def test_compacting_gives_back_space_and_changes_nothing(archive: SqliteArchive) -> None:
    assert isinstance(archive, Compacts)
    await archive.write({SERIES: run(0, 30_000)})
    await archive.prune("1m", T0 + 29_000 * MINUTE_MS)
    before, before_bytes = await archive.read(*SERIES, 5000), await archive.size_bytes()
    await archive.compact()
    assert await archive.read(*SERIES, 5000) == before
    assert await archive.size_bytes() < before_bytes / 2


async def test_compacting_packs_what_is_over(archive: SqliteArchive) -> None:
    for first in range(3000, 3010, 2):
        await archive.write({SERIES: run(first, first)})
    await archive.write({SERIES: run(5000, 5000)})
    before = await archive.read(*SERIES, 5000)
    await archive.compact()
    with sqlite3.connect(archive._path) as connection:
        assert connection.execute("SELECT count(*) FROM fresh").fetchone() == (1,)
    assert await archive.read(*SERIES, 5000) == before
