"""Fills the archive from files, and writes files from it, in steps that can be interrupted and repeated."""

from __future__ import annotations

import asyncio
import csv
import gc
import io
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from gateway.archive.dumps import COLUMNS, BadRow, Unreadable, klines_of, rows_of, series_of
from gateway.archive.parquet import klines_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.archive.engine import Archive
    from gateway.archive.parquet import ParquetFile
    from gateway.model.kline import Kline

_BATCH = 20_000
"""Klines of one write: a multiple of what a block has, so that few blocks are packed twice."""

_BAD_ROWS_SHOWN = 5


@dataclass(slots=True)
class Imported:
    """What became of one file."""

    read: int = 0
    changed: int = 0
    """Klines that were new, or other than those in the archive."""
    bad: int = 0
    """Lines that are no klines."""
    examples: list[BadRow] = field(default_factory=list)


async def import_file(
    archive: Archive,
    path: Path,
    series: tuple[str, str] | None,
    columns: Mapping[str, str] | None,
    on_progress: Callable[[Imported], None] = lambda so_far: None,
) -> Imported:
    """Write a file's klines into the archive. `series`: symbol and interval; `None`: as the file's name says.

    Raises `Unreadable`, `ArchiveError` or `OSError`.
    """
    series = series or series_of(path.name)
    if series is None:
        raise Unreadable("which series it is does not show in the file's name: give --symbol and --interval")
    done, batch = Imported(), list["Kline"]()
    writer = _Writer(archive, series, done)
    try:
        with _without_collector(), _items(path, series[1], columns) as items:
            for item in items:
                if isinstance(item, BadRow):
                    done.bad += 1
                    if len(done.examples) < _BAD_ROWS_SHOWN:
                        done.examples.append(item)
                    continue
                batch.append(item)
                if len(batch) == _BATCH:
                    await writer.write(batch)
                    on_progress(done)
                    batch = []
        await writer.write(batch)
    finally:
        await writer.finish()
    return done


class CsvFile:
    """Writes klines as CSV with a heading, in the columns of a dump."""

    def __init__(self, out: IO[str]) -> None:
        self._writer = csv.writer(out, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def write(self, klines: Sequence[Kline]) -> None:
        """Add klines."""
        self._writer.writerows(rows_of(klines))


async def export_series(
    archive: Archive, series: tuple[str, str], start_ms: int, end_ms: int, out: CsvFile | ParquetFile
) -> int:
    """Write the klines that open between the two times, both included; returns how many."""
    count = 0
    while klines := await archive.read(*series, _BATCH, start_ms, end_ms):
        out.write(klines)
        count += len(klines)
        start_ms = klines[-1].open_time_ms + 1
    return count


class _Writer:
    """Writes one batch while the next is read: compressing and the disk leave the interpreter free."""

    def __init__(self, archive: Archive, series: tuple[str, str], done: Imported) -> None:
        self._archive = archive
        self._series = series
        self._done = done
        self._writing: asyncio.Task[int] | None = None

    async def write(self, klines: list[Kline]) -> None:
        """Begin to write, once the batch before has been written. Raises what that has failed with."""
        await self.finish()
        if klines:
            # Files are in order of time, each kline once; what is not must not be taken for a hole, nor be kept twice.
            by_time = {kline.open_time_ms: kline for kline in klines}
            ascending = [by_time[time_ms] for time_ms in sorted(by_time)]
            self._done.read += len(klines)
            self._writing = asyncio.ensure_future(self._archive.write({self._series: ascending}))
            # It begins now, not when this reader waits next.
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """Wait for what is being written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._done.changed += await writing


@contextmanager
def _without_collector() -> Iterator[None]:
    """Millions of rows that form no cycles: looking for some would take a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _items(path: Path, interval: str, columns: Mapping[str, str] | None) -> Iterator[Iterator[Kline | BadRow]]:
    if path.suffix == ".parquet":
        yield klines_in(path, interval, columns)
        return
    with _text(path) as lines:
        yield klines_of(lines, interval, columns)


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    """The lines of a file, or of the one file in an archive of files."""
    if path.suffix != ".zip":
        with path.open(encoding="utf-8", newline="") as lines:
            yield lines
        return
    try:
        with zipfile.ZipFile(path) as zipped:
            names = zipped.namelist()
            if len(names) != 1:
                raise Unreadable(f"expected one file inside, found {len(names)}")
            with zipped.open(names[0]) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as lines:
                yield lines
    except (zipfile.BadZipFile, EOFError) as error:
        raise Unreadable(f"not a whole zip file: {error}") from error
