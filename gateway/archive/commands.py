"""`gateway import`, `gateway export` and `gateway archive` on the command line."""

from __future__ import annotations

import sys
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.archive.dumps import COLUMNS, Unreadable
from gateway.archive.engine import ArchiveError
from gateway.archive.files import CsvFile, export_series, import_file
from gateway.archive.grains import DAY
from gateway.archive.open import open_archive
from gateway.archive.parquet import ParquetFile
from gateway.archive.rollups import Aggregates
from gateway.archive.upkeep import Compacts, Prunes, holes, missing, pages, unsound, windows
from gateway.command import CommandError, UsageError, config_option, load, print_line, run
from gateway.model.interval import DAY_MS, INTERVALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.archive.engine import Archive, Coverage, SeriesName
    from gateway.archive.files import Imported
    from gateway.config import Config
    from gateway.model.kline import Kline

archive_option = click.option("--archive", "path", metavar="FILE", help="The archive.  [default: archive.path]")


def _opened(config: Config) -> Archive:
    archive = open_archive(config.archive)
    if archive is None:
        raise UsageError("archive.path: expected the archive's file (--archive FILE)")
    return archive


@click.command("import")
@config_option
@archive_option
@click.option("--symbol", help="Which pair the files are of, where their names do not say so.")
@click.option("--interval", type=click.Choice(tuple(INTERVALS)), help="Which interval.")
@click.option("--column", "columns", multiple=True, metavar="OURS=THEIRS", help="A heading's other name for a column.")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(
    file: Path | None,
    path: str | None,
    symbol: str | None,
    interval: str | None,
    columns: tuple[str, ...],
    files: tuple[Path, ...],
) -> None:
    """Write klines from FILES into the archive: Binance's public dumps (zip or csv), CSV with a heading, Parquet.

    Can be interrupted and repeated.
    """
    config = load(file, {"archive": {"path": path}})
    archive = _opened(config)
    if bool(symbol) != bool(interval):
        raise UsageError("--symbol, --interval: expected both or none")
    series = (symbol, interval) if symbol and interval else None
    names = dict(column.partition("=")[::2] for column in columns)
    if unknown := names.keys() - set(COLUMNS):
        raise UsageError(f"--column: unknown {', '.join(sorted(unknown))}, expected some of {', '.join(COLUMNS)}")

    async def work() -> None:
        failed = 0
        try:
            for number, one in enumerate(files, 1):
                where = f"{number}/{len(files)} {one.name}"

                def show(so_far: Imported, where: str = where) -> None:
                    if sys.stdout.isatty():
                        click.echo(f"\r{where}: {so_far.read} klines", nl=False)

                try:
                    done = await import_file(archive, one, series, names, show)
                except (Unreadable, UnicodeDecodeError) as error:
                    failed += 1
                    print_line(f"{where}: {error}")
                    continue
                failed += bool(done.bad)
                end = f", {done.bad} lines refused" if done.bad else ""
                print_line(f"{where}: {done.read} klines, {done.changed} new or changed{end}")
                for row in done.examples:
                    print_line(f"  {one.name}:{row.line}: {row.reason}")
        finally:
            await archive.aclose()
        if failed:
            raise CommandError(f"{failed} of {len(files)} files were not imported completely")

    run(config, work(), ArchiveError, CommandError)


@click.command()
@config_option
@archive_option
@click.option("--symbol", required=True)
@click.option("--interval", required=True, type=click.Choice(tuple(INTERVALS)))
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC.  [default: all]")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day, UTC, included.  [default: all]")
@click.option("--output", default="-", help="File.  [default: standard output]")
@click.option("--format", type=click.Choice(("csv", "parquet")), help="[default: as the file's name ends, else csv]")
def export(
    file: Path | None,
    path: str | None,
    symbol: str,
    interval: str,
    first: datetime | None,
    last: datetime | None,
    output: str,
    format: str | None,
) -> None:
    """Write klines of the archive as CSV or Parquet, in the columns of Binance's dumps."""
    config = load(file, {"archive": {"path": path}})
    archive = _opened(config)
    start_ms = _ms(first) if first else 0
    end_ms = _ms(last) + INTERVALS["1d"].length_ms - 1 if last else 1 << 53

    async def work() -> None:
        try:
            with _written(output, format or ("parquet" if output.endswith(".parquet") else "csv")) as out:
                if not await export_series(archive, (symbol, interval), start_ms, end_ms, out):
                    raise CommandError(f"the archive has no {interval} klines of {symbol} in that time")
        except Unreadable as error:
            raise CommandError(str(error)) from error
        finally:
            await archive.aclose()

    run(config, work(), ArchiveError, CommandError, OSError)


@contextmanager
def _written(output: str, form: str) -> Iterator[CsvFile | ParquetFile]:
    if form == "csv":
        with click.open_file(output, "w") as text:
            yield CsvFile(text)
        return
    if output == "-":
        raise CommandError("--format parquet: name a file with --output")
    with closing(ParquetFile(Path(output))) as file:
        yield file


@click.group(invoke_without_command=True)
@config_option
@archive_option
@click.pass_context
def archive(context: click.Context, file: Path | None, path: str | None) -> None:
    """Say what the archive has of each series, and how many klines are missing in between."""
    config = context.obj = load(file, {"archive": {"path": path}})
    if context.invoked_subcommand is not None:
        return
    opened = _opened(config)

    async def work() -> None:
        try:
            coverage = await opened.coverage()
            for (symbol, name), part in sorted(coverage.items()):
                holes = f", {count} missing" if (count := missing(name, part)) else ""
                span = f"{_day(part.first_ms)} to {_day(part.last_ms)}"
                print_line(f"{symbol} {name}: {span}, {part.klines} klines{holes}")
            total = sum(part.klines for part in coverage.values())
            size_bytes = await opened.size_bytes()
            each = f", {size_bytes / total:.0f} bytes each" if total else ""
            print_line(f"{len(coverage)} series, {total} klines, {size_bytes / 1e6:.1f} MB{each}")
        finally:
            await opened.aclose()

    run(config, work(), ArchiveError)


@archive.command()
@click.pass_obj
def gaps(config: Config) -> None:
    """List the runs of klines that are missing between others."""
    opened = _opened(config)

    async def work() -> None:
        try:
            for series, part in sorted((await opened.coverage()).items()):
                interval, before = INTERVALS[series[1]], list["Kline"]()
                async for page in pages(opened, series, part):
                    if isinstance(page, ArchiveError):
                        continue
                    for hole in holes([*before, *page], interval):
                        span = f"{_day(hole.first_ms)} to {_day(hole.last_ms)}"
                        print_line(f"{' '.join(series)}: {span}, {hole.klines} klines")
                    before = page[-1:]
        finally:
            await opened.aclose()

    run(config, work(), ArchiveError)


@archive.command()
@click.pass_obj
def verify(config: Config) -> None:
    """Read everything, and name what cannot be read or cannot be true. Ends with status 1 if there is any."""
    opened = _opened(config)

    async def work() -> None:
        read = bad = 0
        try:
            for series, part in sorted((await opened.coverage()).items()):
                interval = INTERVALS[series[1]]
                async for page in pages(opened, series, part):
                    if isinstance(page, ArchiveError):
                        problems = [str(page)]
                    else:
                        read += len(page)
                        found = ((kline, unsound(kline, interval)) for kline in page)
                        problems = [f"{_day(kline.open_time_ms)}: {problem}" for kline, problem in found if problem]
                    bad += len(problems)
                    for problem in problems:
                        print_line(f"{' '.join(series)}: {problem}")
        finally:
            await opened.aclose()
        print_line(f"{read} klines read, {bad} problems")
        if bad:
            raise CommandError("the archive is damaged: import or backfill what is named above again")

    run(config, work(), ArchiveError, CommandError)


@archive.command()
@click.pass_obj
def compact(config: Config) -> None:
    """Drop what need not be kept (archive.keep_days), make the days of shorter klines, and give back space."""
    opened = _opened(config)

    async def work() -> None:
        try:
            before_bytes, now_ms = await opened.size_bytes(), int(time.time() * 1000)
            if isinstance(opened, Prunes):
                for name, days in config.archive.keep_days.items():
                    await opened.prune(name, now_ms - days * DAY_MS)
            if isinstance(opened, Aggregates):
                await _make_days(opened, await opened.coverage(), skip=config.market.quiet == "skip")
            if isinstance(opened, Compacts):
                await opened.compact()
            print_line(f"{before_bytes / 1e6:.1f} MB before, {await opened.size_bytes() / 1e6:.1f} MB now")
        finally:
            await opened.aclose()

    run(config, work(), ArchiveError)


async def _make_days(archive: Aggregates, coverage: Mapping[SeriesName, Coverage], *, skip: bool) -> None:
    """Have the archive make the days of each series of shorter klines, which it keeps."""
    for (symbol, name), part in coverage.items():
        if DAY.is_made_of(INTERVALS[name]):
            end_ms, days = DAY.open_time(part.last_ms), windows(DAY, part.first_ms, part.last_ms)
            await archive.aggregated(symbol, INTERVALS[name], DAY, days, None, end_ms, skip=skip)
            print_line(f"{symbol} {name}: {days} days")


def _ms(day: datetime) -> int:
    return int(day.replace(tzinfo=UTC).timestamp() * 1000)


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
