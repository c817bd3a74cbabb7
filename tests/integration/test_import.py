"""`gateway import` in a process that is killed, or whose disk is full: repeated, it has all there is, once."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.archive.dumps import rows_of
from gateway.archive.sqlite import SqliteArchive
from tests.integration.live import WAIT_S
from tests.unit.archive.klines import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_draw = random.Random(1)
KLINES = [kline._replace(volume=f"{_draw.uniform(1, 99):.5f}") for kline in run(0, 99_999)]
DISK_BYTES = 1 << 20
"""Room for a part of them."""


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Klines as Binance publishes them."""
    path = tmp_path_factory.mktemp("dump") / "BTCUSDT-1m-2023-11.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in rows_of(KLINES)) + "\n")
    return path


def full() -> None:
    """A file gets no larger than this; what would, is an error, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, DISK_BYTES))


async def started(archive: Path, *words: str, before: Callable[[], None] | None = None) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "gateway", words[0], "--archive", str(archive), *words[1:]]
    return await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, preexec_fn=before
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    said, _ = await asyncio.wait_for(process.communicate(), WAIT_S)
    return process.returncode, said.decode()


async def stored(path: Path) -> int:
    archive = SqliteArchive(path)
    try:
        return sum(found.klines for found in (await archive.coverage()).values())
    finally:
        await archive.aclose()


async def is_whole(path: Path, dump: Path) -> None:
    """The import, repeated, brings what is missing and nothing twice."""
    had = await stored(path)
    code, said = await ended(await started(path, "import", str(dump)))
    assert (code, f"{len(KLINES)} klines, {len(KLINES) - had} new or changed" in said) == (0, True), said
    archive = SqliteArchive(path)
    try:
        assert await archive.read("BTCUSDT", "1m", 1_000_000) == KLINES
    finally:
        await archive.aclose()


@pytest.mark.long
async def test_on_a_full_disk_it_says_so_and_can_be_repeated(dump: Path, tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    code, said = await ended(await started(path, "import", str(dump), before=full))
    assert code == 1
    assert "Traceback" not in said
    assert str(path) in said, said
    assert await stored(path) < len(KLINES)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    await is_whole(path, dump)


async def test_killed_in_the_middle_it_can_be_repeated(dump: Path, tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    process = await started(path, "import", str(dump))
    log = path.with_name(f"{path.name}-wal")
    while not (log.exists() and log.stat().st_size > 0):
        assert process.returncode is None
        await asyncio.sleep(0.005)
    process.kill()
    await ended(process)
    assert await stored(path) < len(KLINES)
    await is_whole(path, dump)


@pytest.mark.long
async def test_a_file_that_another_process_writes_to_gets_both(dump: Path, tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    importing = await started(path, "import", str(dump))
    archive, others = SqliteArchive(path), run(0, 999, "5m")
    for first in range(0, len(others), 50):
        await archive.write({("ETHUSDT", "5m"): others[first : first + 50]})
    code, said = await ended(importing)
    assert (code, f"{len(KLINES)} new or changed" in said) == (0, True), said
    assert await archive.read("ETHUSDT", "5m", 5000) == others
    assert await archive.read("BTCUSDT", "1m", 1_000_000) == KLINES
    await archive.aclose()
