"""The archive in a file: what is written can be read, by this process and others, whatever happens in between."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.archive.engine import ArchiveError, Coverage
from gateway.archive.sqlite import SqliteArchive
from gateway.model.interval import MINUTE_MS
from tests.unit.archive.klines import T0, kline, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MINUTES = ("BTCUSDT", "1m")


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[SqliteArchive]:
    made = SqliteArchive(tmp_path / "archive.db")
    yield made
    await made.aclose()


@pytest.mark.parametrize("steps", [1, 7, 2000], ids=["one by one", "a few", "all at once"])
async def test_what_was_written_is_read_whatever_the_steps(archive: SqliteArchive, steps: int) -> None:
    klines = run(0, 1299)
    for first in range(0, len(klines), steps):
        await archive.write({MINUTES: klines[first : first + steps]})
    assert await archive.read(*MINUTES, 5000) == klines
    assert await archive.read(*MINUTES, 100) == klines[-100:]
    assert await archive.read(*MINUTES, 100, end_ms=klines[700].open_time_ms) == klines[601:701]
    assert await archive.read(*MINUTES, 100, klines[450].open_time_ms) == klines[450:550]
    assert await archive.read(*MINUTES, 9, klines[5].open_time_ms, klines[7].open_time_ms) == klines[5:8]
    assert await archive.read(*MINUTES, 1, 0) == klines[:1]


async def test_nothing_is_there_of_what_was_not_written(archive: SqliteArchive) -> None:
    assert await archive.read(*MINUTES, 10) == []
    assert await archive.last(*MINUTES) is None
    await archive.write({MINUTES: run(0, 3), ("ETHUSDT", "1m"): []})
    assert await archive.read("ETHUSDT", "1m", 10) == []
    assert await archive.read("BTCUSDT", "1h", 10) == []
    assert await archive.read(*MINUTES, 10, T0 + 4 * MINUTE_MS) == []


@pytest.mark.parametrize("count", [3, 1200], ids=["fresh ones", "packed ones"])
async def test_writing_the_same_again_changes_nothing(archive: SqliteArchive, count: int) -> None:
    klines = run(0, count - 1)
    assert await archive.write({MINUTES: klines}) == count
    assert await archive.write({MINUTES: klines}) == 0
    assert await archive.read(*MINUTES, 5000) == klines


@pytest.mark.parametrize("place", [10, 1100], ids=["in a packed block", "among the fresh ones"])
async def test_a_correction_replaces_what_was_there(archive: SqliteArchive, place: int) -> None:
    await archive.write({MINUTES: run(0, 1050)})
    await archive.write({MINUTES: run(1051, 1110)})
    corrected = kline(place, close="97000.20")
    assert await archive.write({MINUTES: [corrected]}) == 1
    assert (await archive.read(*MINUTES, 5000))[place] == corrected
    assert len(await archive.read(*MINUTES, 5000)) == 1111


async def test_a_late_import_fills_a_hole_among_the_fresh_ones(archive: SqliteArchive) -> None:
    for number in (*range(10), *range(900, 910)):
        await archive.write({MINUTES: [kline(number)]})
    await archive.write({MINUTES: run(5, 904)})
    assert await archive.read(*MINUTES, 5000) == run(0, 909)


async def test_coverage_and_size_tell_what_there_is(archive: SqliteArchive) -> None:
    await archive.write({MINUTES: run(0, 999)})
    await archive.write({MINUTES: run(1000, 1009), ("ETHUSDT", "1h"): run(0, 1)[:1]})
    assert await archive.coverage() == {
        MINUTES: Coverage(T0, T0 + 1009 * MINUTE_MS, 1010),
        ("ETHUSDT", "1h"): Coverage(T0, T0, 1),
    }
    assert await archive.last(*MINUTES) == T0 + 1009 * MINUTE_MS
    assert await archive.size_bytes() > 0


async def test_another_process_reads_while_this_one_writes(archive: SqliteArchive, tmp_path: Path) -> None:
    other = SqliteArchive(tmp_path / "archive.db")
    await archive.write({MINUTES: run(0, 99)})
    assert await other.read(*MINUTES, 5000) == run(0, 99)
    await archive.write({MINUTES: run(100, 1299)})
    assert await other.read(*MINUTES, 5000) == run(0, 1299)
    await other.aclose()


async def test_one_process_leads_until_it_ends(archive: SqliteArchive, tmp_path: Path) -> None:
    other = SqliteArchive(tmp_path / "archive.db")
    assert await archive.lead()
    assert await archive.lead()
    assert not await other.lead()
    await archive.aclose()
    assert await other.lead()
    await other.aclose()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from gateway.archive.sqlite import SqliteArchive
from tests.unit.archive.klines import run

async def main():
    archive = SqliteArchive(Path(sys.argv[1]))
    for first in range(0, 100_000, 100):
        await archive.write({("BTCUSDT", "1m"): run(first, first + 99)})
        print(first + 100, flush=True)

asyncio.run(main())
"""


def test_a_process_killed_while_writing_loses_nothing_that_it_had_written(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 1500:
            pass
        process.send_signal(signal.SIGKILL)
        written = max([1500, *map(int, process.stdout.read().split())])

    async def look() -> None:
        archive = SqliteArchive(path)
        # The process may have been killed after a write and before it said so.
        assert await archive.read(*MINUTES, 1_000_000) in (run(0, written - 1), run(0, written + 99))
        await archive.write({MINUTES: run(written, written + 199)})
        assert await archive.read(*MINUTES, 1_000_000) == run(0, written + 199)
        await archive.aclose()

    asyncio.run(look())


async def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    archive = SqliteArchive(tmp_path / "nowhere" / "archive.db")
    with pytest.raises(ArchiveError, match="unable to open"):
        await archive.read(*MINUTES, 1)
    await archive.aclose()


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "archive.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    archive = SqliteArchive(tmp_path / "archive.db")
    with pytest.raises(ArchiveError, match="version 99"):
        await archive.write({MINUTES: run(0, 1)})
    await archive.aclose()


async def test_a_kline_of_a_packed_block_is_counted_once(archive: SqliteArchive) -> None:
    klines = run(0, 1199)
    await archive.write({MINUTES: klines})
    assert await archive.write({MINUTES: klines[5:8]}) == 0
    assert await archive.write({MINUTES: [*klines[1198:], kline(1200), kline(3000)]}) == 2
    assert await archive.write({MINUTES: [kline(6, close="1.5")]}) == 1
    assert (await archive.coverage())[MINUTES].klines == 1202
    assert await archive.read(*MINUTES, 3, klines[5].open_time_ms) == [klines[5], kline(6, close="1.5"), klines[7]]
