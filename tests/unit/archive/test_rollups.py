"""Longer klines out of the archive's file: exact, kept once they are made, and made anew after a correction."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.archive import making
from gateway.archive.grains import DAY, HOUR
from gateway.archive.rollups import Aggregates, Rollups
from gateway.archive.sqlite import SqliteArchive
from gateway.archive.sqlite_rollups import SqliteTables, bounds
from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS
from tests.unit.archive.klines import T0, kline, run
from tests.unit.archive.test_grains import varied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.archive.rollups import Aggregated
    from gateway.model.kline import Kline

MINUTE = INTERVALS["1m"]
SERIES = ("BTCUSDT", "1m")
DAYS = 20
KLINES = varied(0, DAYS * 1440 + 700)
END_MS = T0 + DAYS * DAY_MS + 11 * HOUR_MS


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[SqliteArchive]:
    made = SqliteArchive(tmp_path / "archive.db")
    yield made
    await made.aclose()


async def filled(archive: SqliteArchive, klines: list[Kline] = KLINES) -> None:
    """The last few are not packed."""
    await archive.write({SERIES: klines[:-40]})
    await archive.write({SERIES: klines[-40:]})


async def ask(
    archive: SqliteArchive,
    whole: str,
    limit: int = 1000,
    start_ms: int | None = None,
    end_ms: int = END_MS,
    *,
    skip: bool = False,
) -> Aggregated:
    found = await archive.aggregated("BTCUSDT", MINUTE, INTERVALS[whole], limit, start_ms, end_ms, skip=skip)
    assert found is not None
    return found


def before(klines: list[Kline], end_ms: int = END_MS) -> list[Kline]:
    return [one for one in klines if one.open_time_ms < end_ms]


def kept(archive: SqliteArchive) -> set[tuple[str, int]]:
    with sqlite3.connect(archive._path) as connection:
        return set(connection.execute("SELECT grain, start_ms FROM rollups").fetchall())


@pytest.mark.parametrize("whole", ["15m", "1h", "4h", "1d", "3d", "1w", "1M"])
async def test_they_have_the_digits_of_all_their_parts(archive: SqliteArchive, whole: str) -> None:
    await filled(archive)
    for _ in ("made", "kept"):
        found = await ask(archive, whole, 5000, end_ms=(end_ms := INTERVALS[whole].open_time(END_MS)))
        assert found.klines == aggregate_closed(before(KLINES, end_ms), MINUTE, INTERVALS[whole])
    assert isinstance(archive, Aggregates)


async def test_the_rest_and_newer_parts_make_the_next_one(archive: SqliteArchive) -> None:
    await filled(archive)
    found = await ask(archive, "1w")
    monday_ms = INTERVALS["1w"].open_time(END_MS)
    hours = aggregate_closed(before(KLINES), MINUTE, HOUR)
    assert [one.open_time_ms for one in found.rest[-11:]] == [END_MS - count * HOUR_MS for count in range(11, 0, -1)]
    assert found.rest[0].open_time_ms == monday_ms
    assert found.rest[-11:] == hours[-11:]
    assert found.first_ms == T0


async def test_limits_and_starts(archive: SqliteArchive) -> None:
    await filled(archive)
    days = aggregate_closed(before(KLINES), MINUTE, DAY)
    assert (await ask(archive, "1d", 3)).klines == days[-3:]
    assert (await ask(archive, "1d", 3, 0)).klines == days[:3]
    assert (await ask(archive, "1d", 3, T0 + 1)).klines == days[1:4]
    assert (await ask(archive, "1d", 9, T0 + 5 * DAY_MS, T0 + 7 * DAY_MS)).klines == days[5:7]
    assert (await ask(archive, "1d", 1000, T0 + 18 * DAY_MS)).klines == days[18:]


async def test_a_hole_is_passed_over(archive: SqliteArchive) -> None:
    klines = KLINES[: 2 * 1440] + KLINES[9 * 1440 :]
    await filled(archive, klines)
    days = aggregate_closed(before(klines), MINUTE, DAY)
    assert (await ask(archive, "1d", 12)).klines == days[-12:]
    assert (await ask(archive, "1d", 3, T0 + DAY_MS)).klines == days[1:4]
    assert (await ask(archive, "1d", 100)).klines == days


async def test_missing_parts_may_count_as_quiet(archive: SqliteArchive) -> None:
    klines = [one for number, one in enumerate(KLINES) if number % 50 and not 4000 < number < 4400]
    await filled(archive, klines)
    for _ in ("made", "kept"):
        found = await ask(archive, "1d", skip=True)
        assert found.klines == aggregate_closed(before(klines), MINUTE, DAY, skip=True)[: len(found.klines)]
        assert len(found.klines) == DAYS - 1
        assert (await ask(archive, "1d")).klines == []


async def test_a_correction_is_in_the_next_answer(archive: SqliteArchive) -> None:
    await filled(archive)
    await ask(archive, "1d")
    known = kept(archive)
    corrected = KLINES[5000]._replace(high="99999.00")
    await archive.write({SERIES: [corrected]})
    assert known - kept(archive) == {
        ("1h", T0 + 5000 * MINUTE_MS - (T0 + 5000 * MINUTE_MS) % (6 * HOUR_MS)),
        ("1d", T0 + 5000 * MINUTE_MS - (T0 + 5000 * MINUTE_MS) % (8 * DAY_MS)),
    }
    found = await ask(archive, "1d")
    assert found.klines[5000 // 1440].high == "99999.00"
    assert found.klines == aggregate_closed(before([*KLINES[:5000], corrected, *KLINES[5001:]]), MINUTE, DAY)


async def test_writing_the_same_again_keeps_what_is_kept(archive: SqliteArchive) -> None:
    await filled(archive)
    await ask(archive, "1d")
    known = kept(archive)
    assert {grain for grain, _ in known} == {"1h", "1d"}
    await archive.write({SERIES: KLINES[4990:5010]})
    assert kept(archive) == known


async def test_what_changes_while_it_is_made_is_not_kept(archive: SqliteArchive) -> None:
    await filled(archive)
    connection = archive._connection
    known = bounds(connection, 1)
    assert known is not None
    slow = Rollups(SqliteTables(connection, 1), MINUTE, known, skip=False)
    await archive.write({SERIES: [KLINES[5000]._replace(high="99999.00")]})
    assert len(slow.aggregated(DAY, 100, None, END_MS).klines) == DAYS
    assert kept(archive) == set()


async def test_a_file_that_cannot_be_written_still_answers(archive: SqliteArchive) -> None:
    await filled(archive)
    connection = archive._connection
    connection.execute("PRAGMA query_only = ON")
    known = bounds(connection, 1)
    assert known is not None
    rollups = Rollups(SqliteTables(connection, 1), MINUTE, known, skip=False)
    assert len(rollups.aggregated(DAY, 9, None, END_MS).klines) == 9
    assert kept(archive) == set()


async def test_nothing_is_made_of_nothing(archive: SqliteArchive) -> None:
    assert await archive.aggregated("BTCUSDT", MINUTE, DAY, 9, None, END_MS, skip=False) is None
    await archive.write({("ETHUSDT", "1m"): run(0, 2)})
    connection = archive._connection
    connection.execute("INSERT INTO series (symbol, interval) VALUES ('BTCUSDT', '1m')")
    assert await archive.aggregated("BTCUSDT", MINUTE, DAY, 9, None, END_MS, skip=False) is None


async def test_the_bounds_of_packed_and_fresh_klines(archive: SqliteArchive) -> None:
    await archive.write({SERIES: run(1000, 2000)})
    await archive.write({SERIES: [kline(3), kline(2500)]})
    assert bounds(archive._connection, 1) == (T0 + 3 * MINUTE_MS, T0 + 2500 * MINUTE_MS)


@pytest.mark.parametrize("whole", ["4h", "1d", "1w", "1M"])
async def test_how_much_is_not_made_yet_is_known_before_it_is_made(archive: SqliteArchive, whole: str) -> None:
    await filled(archive)
    span = INTERVALS[whole]
    known = bounds(archive._connection, 1)
    assert known is not None
    rollups = Rollups(SqliteTables(archive._connection, 1), MINUTE, known, skip=False)
    everything = (100, None, END_MS), (100, T0, END_MS)
    for limit, start_ms, end_ms in everything:
        assert 16 * 1440 <= rollups.unmade(span, limit, start_ms, end_ms) <= 24 * 1440
        assert rollups.unmade(span, 0, start_ms, end_ms) == 0
    assert rollups.unmade(INTERVALS["15m"], 100, None, END_MS) == 0, "it is not kept"
    await ask(archive, whole)
    for limit, start_ms, end_ms in everything:
        assert rollups.unmade(span, limit, start_ms, end_ms) == 0


async def test_much_is_made_by_another_process_and_once(
    archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(making, "PARTS_MAX", 10_000)
    await filled(archive)

    def in_this_process(*_: object) -> list[Kline]:
        raise AssertionError("it was to be made elsewhere")

    monkeypatch.setattr(Rollups, "_make_and_keep", in_this_process)
    answers = await asyncio.gather(*(ask(archive, "1d") for _ in range(3)))
    assert [one.klines for one in answers] == [aggregate_closed(before(KLINES), MINUTE, DAY)] * 3
    assert caplog.messages == []


@pytest.mark.parametrize("program", ["gateway.archive.nothing", "gateway.archive.make_days"])
async def test_without_that_process_it_is_made_here_and_said(
    archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, program: str
) -> None:
    monkeypatch.setattr(making, "PARTS_MAX", 10_000)
    monkeypatch.setattr(making, "_PROGRAM", program)
    await filled(archive)
    if program == "gateway.archive.make_days":
        monkeypatch.setattr(sys, "executable", str(archive._path.with_name("no python")))
    assert (await ask(archive, "1d")).klines == aggregate_closed(before(KLINES), MINUTE, DAY)
    assert [("1d of BTCUSDT" in message) for message in caplog.messages] == [True]
