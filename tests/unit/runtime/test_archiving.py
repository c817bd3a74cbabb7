"""What closes reaches the archive: from memory, from Redis after a pause, and once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.archive.engine import ArchiveError
from gateway.archive.sqlite import SqliteArchive
from gateway.config import ArchiveConfig, MarketConfig
from gateway.market.market import Market
from gateway.model.interval import DAY_MS
from gateway.model.kline import Kline, KlineUpdate
from gateway.runtime import archiving
from gateway.runtime.archiving import SURVEY_S, Archiving, plain
from tests.unit.history.stage import Stored, bar, bars, open_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MINUTES = ("BTCUSDT", "1m")


class Stage:
    """A market that follows one series, a Redis with its past, and an archive."""

    def __init__(self, folder: Path) -> None:
        self.market = Market(MarketConfig(intervals=("1m", "5m")), 16)
        self.redis = Stored(bars(0, 9))
        self.archive = SqliteArchive(folder / "archive.db")
        self.now_s = 1000.0
        self.now_ms = open_ms(100)
        keep = {"1m": 1}
        self.archiving = Archiving(self.archive, self.redis, self.market, keep, lambda: self.now_ms, lambda: self.now_s)
        self.market.get_or_create("BTCUSDT")
        self.market.reseed(*MINUTES, bars(0, 9), open_ms(10))

    def close(self, kline: Kline) -> None:
        """The collector stores and sends it."""
        self.redis.klines.append(kline)
        self.market.apply(KlineUpdate(*MINUTES, kline._replace(event_time_ms=open_ms(100))), open_ms(100))

    async def archived(self) -> list[Kline]:
        return await self.archive.read(*MINUTES, 5000)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    yield made
    await made.archive.aclose()


async def test_what_redis_has_is_archived_at_first(stage: Stage) -> None:
    await stage.archiving.write()
    assert await stage.archived() == bars(0, 9)


async def test_what_closes_is_archived_once(stage: Stage) -> None:
    await stage.archiving.write()
    reads = stage.redis.reads
    stage.close(bar(10))
    await stage.archiving.write()
    await stage.archiving.write()
    assert await stage.archived() == bars(0, 10)
    assert stage.archiving.written == 11
    assert stage.redis.reads == reads


async def test_a_correction_is_archived(stage: Stage) -> None:
    await stage.archiving.write()
    stage.market.apply(KlineUpdate(*MINUTES, bar(9, trades=9, event_time_ms=open_ms(99))), open_ms(100))
    await stage.archiving.write()
    assert (await stage.archived())[9] == bar(9, trades=9)


async def test_derived_intervals_are_not_archived(stage: Stage) -> None:
    await stage.archiving.write()
    assert set(await stage.archive.coverage()) == {MINUTES}


async def test_what_closed_while_the_archive_was_away_comes_out_of_redis(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.archiving.write()

    async def fails(_klines: object) -> int:
        raise ArchiveError("locked")

    with monkeypatch.context() as away:
        away.setattr(stage.archive, "write", fails)
        for number in range(10, 40):
            stage.close(bar(number))
        with pytest.raises(ArchiveError):
            await stage.archiving.write()
    await stage.archiving.write()
    assert await stage.archived() == bars(0, 39)
    assert stage.archiving.holes == 0


async def test_what_redis_has_dropped_meanwhile_is_a_hole_that_is_counted(stage: Stage) -> None:
    await stage.archiving.write()
    for number in range(10, 40):
        stage.close(bar(number))
    stage.redis.klines = stage.redis.klines[20:]
    await stage.archiving.write()
    assert await stage.archived() == [*bars(0, 9), *bars(20, 39)]
    assert stage.archiving.holes == 1
    missed = bar(10), bar(19)
    (hole,) = stage.archiving.open_holes()
    assert hole[:4] == (*MINUTES, *(kline.open_time_ms for kline in missed))
    stage.archiving.leads = True
    await stage.archiving.survey()
    assert stage.archiving.open_holes() == (hole,)


async def test_a_hole_that_an_import_fills_is_none_any_more(stage: Stage) -> None:
    await stage.archiving.write()
    for number in range(10, 40):
        stage.close(bar(number))
    stage.redis.klines = stage.redis.klines[20:]
    await stage.archiving.write()
    await stage.archive.write({MINUTES: bars(10, 18)})
    stage.archiving.leads = True
    await stage.archiving.survey()
    assert stage.archiving.open_holes(), "one is still missing"
    await stage.archive.write({MINUTES: bars(19, 19)})
    stage.now_s += SURVEY_S
    await stage.archiving.survey()
    assert stage.archiving.open_holes() == ()


def test_news_is_not_archived() -> None:
    assert plain(bar(1, event_time_ms=5, provisional=True)) == bar(1)


def test_without_an_archive_nothing_archives(stage: Stage) -> None:
    clock = stage.archiving._clock_ms
    assert Archiving.of(None, stage.redis, stage.market, ArchiveConfig(), clock) is None
    assert Archiving.of(stage.archive, stage.redis, stage.market, ArchiveConfig(), clock) is not None


def figures(stage: Stage) -> dict[str, float]:
    return {reading.name.removeprefix("archive_"): reading.value for reading in stage.archiving.readings()}


async def test_what_could_not_be_written_is_pending(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.archiving.write()

    async def fails(_klines: object) -> int:
        raise ArchiveError("locked")

    stage.close(bar(10))
    with monkeypatch.context() as away:
        away.setattr(stage.archive, "write", fails)
        with pytest.raises(ArchiveError):
            await stage.archiving.write()
    assert figures(stage)["pending_klines"] == stage.archiving.to_dict()["pending"] == 1
    await stage.archiving.write()
    assert figures(stage)["pending_klines"] == 0


async def test_a_look_at_the_archive_says_how_large_it_is_and_what_it_lacks(stage: Stage) -> None:
    await stage.archive.write({MINUTES: [*bars(0, 9), *bars(20, 29)]})
    stage.archiving.leads = True
    await stage.archiving.survey()
    found = figures(stage)
    assert (found["missing_klines"], found["leads"]) == (10, 1)
    assert found["bytes"] == await stage.archive.size_bytes()
    await stage.archive.write({MINUTES: bars(10, 14)})
    await stage.archiving.survey()
    assert figures(stage)["missing_klines"] == 10
    stage.now_s += SURVEY_S
    await stage.archiving.survey()
    assert figures(stage)["missing_klines"] == 5


async def test_the_others_do_not_look_at_what_is_missing(stage: Stage) -> None:
    await stage.archive.write({MINUTES: [*bars(0, 9), *bars(20, 29)]})
    await stage.archiving.survey()
    assert figures(stage)["missing_klines"] == 0
    assert figures(stage)["bytes"] > 0


async def test_what_is_older_than_it_is_kept_is_dropped(stage: Stage) -> None:
    await stage.archive.write({MINUTES: bars(0, 2999)})
    stage.archiving.leads = True
    stage.now_ms = open_ms(2000) + DAY_MS
    await stage.archiving.survey()
    left = await stage.archived()
    # Whole blocks.
    assert open_ms(1400) < left[0].open_time_ms <= open_ms(2000)
    assert left == bars(2999 - len(left) + 1, 2999)


class Other:
    """An archive of another kind, which drops nothing."""

    def __init__(self, archive: SqliteArchive) -> None:
        self.coverage, self.size_bytes = archive.coverage, archive.size_bytes


async def test_an_archive_of_another_kind_drops_nothing(stage: Stage) -> None:
    await stage.archive.write({MINUTES: bars(0, 2999)})
    stage.archiving._archive = Other(stage.archive)  # type: ignore[assignment]
    stage.archiving.leads = True
    stage.now_ms = open_ms(2000) + DAY_MS
    await stage.archiving.survey()
    assert len(await stage.archived()) == 3000


async def test_an_archive_that_cannot_be_written_is_behind(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "PERIOD_S", 0.0)

    async def fails() -> bool:
        stage.now_s += 60
        raise ArchiveError("away")

    monkeypatch.setattr(stage.archive, "lead", fails)
    running = asyncio.create_task(stage.archiving.run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert figures(stage)["behind_seconds"] >= 60
    assert figures(stage)["write_failures_total"] >= 1
    monkeypatch.undo()
    monkeypatch.setattr(archiving, "PERIOD_S", 0.0)
    async with asyncio.timeout(5):
        while figures(stage)["behind_seconds"]:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    running.cancel()
    assert figures(stage)["leads"] == 1


async def test_a_redis_that_is_away_is_not_the_archives_fault(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "PERIOD_S", 0.0)
    stage.redis.down = True
    running = asyncio.create_task(stage.archiving.run())
    async with asyncio.timeout(5):
        while not stage.redis.reads:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    stage.now_s += 60
    reads = stage.redis.reads
    async with asyncio.timeout(5):
        while stage.redis.reads < reads + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    running.cancel()
    assert figures(stage)["behind_seconds"] == 0
    assert figures(stage)["write_failures_total"] == 0
