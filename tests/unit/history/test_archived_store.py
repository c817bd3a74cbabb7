"""Redis and the archive as one store: what each of them answers, and which of them counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gateway.archive.sqlite import SqliteArchive
from gateway.config import MarketConfig
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.archived_store import NEWEST_PARTS, ArchivedStore, ArchiveUnavailable
from gateway.history.store import SeriesRead, StoreUnavailable
from gateway.model.interval import INTERVALS
from tests.unit.history.stage import Stored, bar, bars, open_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MINUTES = ("BTCUSDT", "1m")


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[SqliteArchive]:
    """It has the bars 0 to 999."""
    made = SqliteArchive(tmp_path / "archive.db")
    await made.write({MINUTES: bars(0, 999)})
    yield made
    await made.aclose()


@pytest.fixture
def redis() -> Stored:
    """It has the bars 600 to 1099."""
    return Stored(bars(600, 1099))


@pytest.fixture
def store(redis: Stored, archive: SqliteArchive) -> ArchivedStore:
    return ArchivedStore(redis, archive)


async def test_history_goes_on_where_redis_ends(store: ArchivedStore) -> None:
    assert await store.closed_klines(*MINUTES, 5000) == bars(0, 1099)
    assert await store.closed_klines(*MINUTES, 700) == bars(400, 1099)
    assert await store.closed_klines(*MINUTES, 20, end_ms=open_ms(605)) == bars(586, 605)


async def test_a_range_is_read_across_both(store: ArchivedStore) -> None:
    assert await store.closed_klines(*MINUTES, 10, 0) == bars(0, 9)
    assert await store.closed_klines(*MINUTES, 20, open_ms(990)) == bars(990, 1009)
    assert await store.closed_klines(*MINUTES, 20, open_ms(598), open_ms(601)) == bars(598, 601)


async def test_what_redis_can_answer_alone_does_not_ask_the_archive(
    store: ArchivedStore, archive: SqliteArchive
) -> None:
    await archive.aclose()
    assert await store.closed_klines(*MINUTES, 500) == bars(600, 1099)


async def test_a_hole_in_redis_is_filled(store: ArchivedStore, redis: Stored) -> None:
    redis.klines = [kline for kline in redis.klines if kline.open_time_ms != open_ms(700)]
    assert await store.closed_klines(*MINUTES, 499) == bars(601, 1099)


async def test_the_kline_of_redis_counts_where_both_have_one(store: ArchivedStore, redis: Stored) -> None:
    redis.klines[50] = bar(650, close="123.40")
    assert (await store.closed_klines(*MINUTES, 5000))[650] == bar(650, close="123.40")


async def test_the_archive_answers_while_redis_is_away(store: ArchivedStore, redis: Stored) -> None:
    redis.down = True
    assert await store.closed_klines(*MINUTES, 10) == bars(990, 999)
    assert await store.closed_klines(*MINUTES, 10, 0) == bars(0, 9)


async def test_what_neither_has_while_redis_is_away_is_unavailable(store: ArchivedStore, redis: Stored) -> None:
    redis.down = True
    with pytest.raises(StoreUnavailable):
        await store.closed_klines("ETHUSDT", "1m", 10)


async def test_an_archive_that_cannot_be_read_costs_its_klines_only(redis: Stored, tmp_path: Path) -> None:
    broken = SqliteArchive(tmp_path / "nowhere" / "archive.db")
    store = ArchivedStore(redis, broken)
    assert await store.closed_klines(*MINUTES, 5000) == bars(600, 1099)
    assert not await store.has_data("OLDUSDT")
    assert store.failures == 2
    await broken.aclose()


async def test_what_only_an_archive_may_have_that_cannot_be_read_is_not_said_to_be_nothing(
    redis: Stored, tmp_path: Path
) -> None:
    folder = tmp_path / "nowhere"
    broken = SqliteArchive(folder / "archive.db")
    store, began_ms = ArchivedStore(redis, broken), time.time() * 1000
    with pytest.raises(ArchiveUnavailable) as first:
        await store.closed_klines(*MINUTES, 100, end_ms=open_ms(599))
    with pytest.raises(ArchiveUnavailable) as second:
        await store.closed_klines(*MINUTES, 100, open_ms(0), open_ms(599))
    assert first.value.reason == "archive"
    assert began_ms - 1 <= first.value.since_ms == second.value.since_ms
    assert await store.closed_klines("ETHUSDT", "1m", 100) == [], "the newest are those of Redis"
    folder.mkdir()
    assert await store.closed_klines(*MINUTES, 100, end_ms=open_ms(599)) == []
    await broken.aclose()


async def test_longer_klines_of_what_redis_has_are_made_without_the_archive(redis: Stored, tmp_path: Path) -> None:
    broken = SqliteArchive(tmp_path / "nowhere" / "archive.db")
    store = AggregatingStore(ArchivedStore(redis, broken), MarketConfig(intervals=("1m", "15m", "1h")))
    found = await store.closed_klines("BTCUSDT", "15m", 500)
    assert found.klines
    assert found.klines[0].open_time_ms >= open_ms(600)
    assert await store.closed_klines("BTCUSDT", "15m", 500, None, open_ms(1099)) == found
    with pytest.raises(ArchiveUnavailable):
        await store.closed_klines("BTCUSDT", "15m", 500, None, open_ms(590))
    with pytest.raises(ArchiveUnavailable):
        await store.closed_klines("ETHUSDT", "15m", 500, None, open_ms(590))
    await broken.aclose()


async def test_a_symbol_of_the_archive_alone_is_known(store: ArchivedStore, archive: SqliteArchive) -> None:
    await archive.write({("OLDUSDT", "1h"): bars(0, 0)})
    assert await store.has_data("OLDUSDT")
    assert await store.has_klines("OLDUSDT", "1h")
    assert not await store.has_klines("OLDUSDT", "1m")
    assert not await store.has_data("NOSUCHUSDT")


async def test_the_newest_klines_of_many_series_are_those_of_redis(store: ArchivedStore) -> None:
    assert await store.closed_klines_of([SeriesRead(*MINUTES, 2)]) == [bars(1098, 1099)]
    assert await store.has_klines_of([MINUTES]) == [True]


class TestCertain:
    """For readers who need to know that nothing is missing."""

    @pytest.fixture
    def store(self, redis: Stored, archive: SqliteArchive) -> ArchivedStore:
        return ArchivedStore(redis, archive, certain=True)

    async def test_while_both_can_be_read_it_answers_as_any(self, store: ArchivedStore) -> None:
        assert await store.closed_klines(*MINUTES, 700) == bars(400, 1099)
        assert await store.closed_klines(*MINUTES, 20, open_ms(990)) == bars(990, 1009)
        assert await store.has_klines(*MINUTES)
        assert not await store.has_klines("OLDUSDT", "1m")
        assert await store.has_data("BTCUSDT")
        assert not await store.has_data("OLDUSDT")

    async def test_without_redis_it_answers_what_the_archive_has_all_of(
        self, store: ArchivedStore, redis: Stored
    ) -> None:
        redis.down = True
        assert await store.closed_klines(*MINUTES, 10, open_ms(500)) == bars(500, 509)
        assert await store.closed_klines(*MINUTES, 900, open_ms(500), open_ms(999)) == bars(500, 999)
        assert await store.closed_klines(*MINUTES, 10, None, open_ms(700)) == bars(691, 700)
        assert await store.has_klines(*MINUTES)
        assert await store.has_data("BTCUSDT")

    @pytest.mark.parametrize(
        ("limit", "start", "end"),
        [(20, 990, None), (20, 990, 1000), (20, 2000, None), (20, None, None), (20, None, 1000)],
        ids=["no end", "an end after what is archived", "nothing archived", "the newest", "the newest until then"],
    )
    async def test_what_redis_may_have_more_of_is_unavailable_without_it(
        self, store: ArchivedStore, redis: Stored, limit: int, start: int | None, end: int | None
    ) -> None:
        redis.down = True
        with pytest.raises(StoreUnavailable):
            await store.closed_klines(
                *MINUTES, limit, None if start is None else open_ms(start), None if end is None else open_ms(end)
            )

    async def test_without_the_archive_nothing_is_certain(self, redis: Stored, tmp_path: Path) -> None:
        broken = SqliteArchive(tmp_path / "nowhere" / "archive.db")
        store = ArchivedStore(redis, broken, certain=True)
        for read in (
            store.closed_klines(*MINUTES, 10, open_ms(990)),
            store.closed_klines(*MINUTES, 700),
            store.has_klines(*MINUTES),
            store.has_data("BTCUSDT"),
            store.aggregated("BTCUSDT", MINUTE, QUARTER, 9, None, None, skip=False),
        ):
            with pytest.raises(StoreUnavailable, match="archive"):
                await read
        await broken.aclose()


MINUTE, QUARTER = INTERVALS["1m"], INTERVALS["15m"]


async def test_longer_klines_are_made_of_all_but_the_newest_parts(store: ArchivedStore) -> None:
    older = await store.aggregated("BTCUSDT", MINUTE, QUARTER, 5000, None, None, skip=False)
    assert older is not None
    assert older.end_ms == QUARTER.open_time(open_ms(999 - NEWEST_PARTS))
    assert older.found.klines[-1].close_time_ms == older.end_ms - 1
    assert not older.is_all


async def test_longer_klines_of_long_ago_are_the_archives_alone(store: ArchivedStore) -> None:
    older = await store.aggregated("BTCUSDT", MINUTE, QUARTER, 2, None, open_ms(200), skip=False)
    assert older is not None
    assert older.is_all
    assert older.found.klines[-1].open_time_ms == QUARTER.open_time(open_ms(200))


async def test_what_the_archive_cannot_make_is_left_to_the_store(
    store: ArchivedStore, redis: Stored, tmp_path: Path
) -> None:
    assert await store.aggregated("ETHUSDT", MINUTE, QUARTER, 9, None, None, skip=False) is None
    assert await store.aggregated("BTCUSDT", MINUTE, QUARTER, 9, open_ms(990), None, skip=False) is None
    broken = SqliteArchive(tmp_path / "nowhere" / "archive.db")
    away = ArchivedStore(redis, broken)
    assert await away.aggregated("BTCUSDT", MINUTE, QUARTER, 9, None, None, skip=False) is None
    assert away.failures == 1
    await broken.aclose()


class Other:
    """An archive of another kind, which only reads."""


async def test_another_archive_leaves_it_to_the_store(redis: Stored) -> None:
    store = ArchivedStore(redis, Other())  # type: ignore[arg-type]
    assert await store.aggregated("BTCUSDT", MINUTE, QUARTER, 9, None, None, skip=False) is None
