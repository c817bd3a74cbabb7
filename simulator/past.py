"""The past of a simulated market: a month of minutes before the klines that its collector stores, for an archive.

`filling` runs this file as a process of its own, at a low priority, so that a demo starts as fast as without it.
It draws the exchange's history again from the same seed, divides its longer klines into minutes and writes these, the
newest days of all symbols first. Every interval that the collector stores is an exact sum of the minutes.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from collector.events import HISTORY_KLINES
from gateway.archive.engine import ArchiveError
from gateway.archive.schema import migrate
from gateway.archive.sqlite import SqliteArchive
from gateway.model.interval import DAY_MS, INTERVALS, MINUTE_MS
from simulator.division import divide
from simulator.exchange import Exchange
from simulator.figures import kline_of
from simulator.klines import aggregate
from simulator.pairs import choose_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.archive.engine import SeriesName
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from simulator.klines import RawKline

DAYS = 30

# Each pass draws the history of all symbols again, which takes 10 ms a symbol.
_PASSES_DAYS = (1, 4, 12)

# Made and written at once: few enough to take little memory, enough to fill whole blocks of the archive.
_PIECE_MS = 3 * DAY_MS

_MINUTE = INTERVALS["1m"]

# A tenth of what a process of usual priority gets, where there is not enough for both.
_NICE = 10


class Job(msgspec.Struct, frozen=True):
    """What to write: the past of this exchange, into this archive."""

    path: str
    symbols: int | tuple[str, ...]
    """Their number, or their names."""
    intervals: tuple[str, ...]
    seed: int
    start_ms: int
    """When the exchange begins."""
    days: int = DAYS


class Past:
    """What was before an exchange began, from midnight `days` days before on.

    Where 500 klines of its longest interval are less than that, so is the past.
    """

    def __init__(self, exchange: Exchange, days: int) -> None:
        self._exchange = exchange
        self._end_ms = exchange.begin_ms
        midnight_ms = self._end_ms - self._end_ms % DAY_MS
        self.start_ms = midnight_ms - days * DAY_MS
        passes = [midnight_ms - part * DAY_MS for part in _PASSES_DAYS if part < days]
        edges_ms = [self._end_ms, *passes, self.start_ms]
        self.spans = [(start_ms, end_ms) for end_ms, start_ms in pairwise(edges_ms)]
        """Start and end of each pass in ms, the newest first."""
        named = [INTERVALS[name] for name in exchange.intervals]
        self._short = [interval for interval in named if self._is_short(interval)]
        # Of these the collector stores more than the past has.
        self._long = [interval for interval in named if interval.length_ms >= MINUTE_MS or not interval.length_ms]
        self._long = [interval for interval in self._long if interval not in self._short]

    def klines(self, symbol: str, start_ms: int, end_ms: int) -> Iterator[dict[SeriesName, list[Kline]]]:
        """The closed klines of a symbol in a span, a few days at a time, the newest first: by series, ascending.

        With the newest span comes what is stored of the long intervals, however old.
        """
        history = self._exchange.history(symbol)
        if end_ms == self._end_ms:
            stored = self._exchange.closed(symbol)
            yield {(symbol, interval.name): stored[interval.name] for interval in self._long}
        while end_ms > start_ms:
            # Pieces begin at midnight, as spans do: each short interval divides a day.
            piece_ms = max(start_ms, (end_ms - 1) // DAY_MS * DAY_MS - _PIECE_MS)
            minutes = self._minutes(symbol, history, piece_ms, end_ms)
            yield {(symbol, interval.name): self._closed(symbol, interval, minutes) for interval in self._short}
            end_ms = piece_ms

    def _is_short(self, interval: Interval) -> bool:
        """Whether the past has more of it than the collector stores; then it divides a day."""
        return interval.length_ms >= MINUTE_MS and interval.length_ms * HISTORY_KLINES < self._end_ms - self.start_ms

    def _minutes(self, symbol: str, history: Sequence[RawKline], start_ms: int, end_ms: int) -> list[RawKline]:
        ends_ms = [*(kline.open_ms for kline in history[1:]), self._end_ms]
        parts: list[RawKline] = []
        is_finer = False
        for kline, until_ms in zip(history, ends_ms, strict=True):
            if until_ms <= start_ms or kline.open_ms >= end_ms:
                continue
            length_ms = until_ms - kline.open_ms
            if length_ms <= MINUTE_MS:
                is_finer = is_finer or length_ms < MINUTE_MS
                parts.append(kline)
                continue
            rng = self._exchange.random(symbol, f"minutes/{kline.open_ms}")
            divided = divide(self._exchange.pairs[symbol], rng, kline, length_ms, MINUTE_MS)
            parts += [part for part in divided if start_ms <= part.open_ms < end_ms]
        return aggregate(parts, _MINUTE) if is_finer else parts

    def _closed(self, symbol: str, interval: Interval, minutes: list[RawKline]) -> list[Kline]:
        pair = self._exchange.pairs[symbol]
        return [
            kline_of(pair, interval, kline, 0, closed=True)
            for kline in (minutes if interval is _MINUTE else aggregate(minutes, interval))
            if interval.next_open(kline.open_ms) <= self._end_ms
        ]


async def fill(job: Job) -> None:
    """Write all of it. Raises `ArchiveError`."""
    exchange = Exchange(choose_pairs(job.symbols), job.intervals, seed=job.seed, start_ms=job.start_ms)
    past = Past(exchange, job.days)
    archive = SqliteArchive(Path(job.path))
    try:
        for start_ms, end_ms in past.spans:
            for symbol in exchange.symbols:
                for klines in past.klines(symbol, start_ms, end_ms):
                    await archive.write(klines)
    finally:
        await archive.aclose()


@contextmanager
def filling(job: Job) -> Iterator[None]:
    """Fill an archive beside whatever runs inside, for as long as that takes at most."""
    # Two processes that make the file at the same time would get in each other's way.
    with closing(sqlite3.connect(job.path)) as connection:
        migrate(connection)
    command = [sys.executable, "-m", "simulator.past", msgspec.json.encode(job).decode()]
    # A group of its own: Ctrl-C in a terminal goes to the whole group, and this process ends it in time.
    with subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0) as process:
        try:
            yield
        finally:
            process.terminate()


def _end_with_parent() -> None:
    """The parent never writes: the pipe ends when it does, however that happens."""
    os.read(0, 1)
    os._exit(1)


def main() -> None:
    """Fill an archive as the argument says."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(_NICE)
    try:
        asyncio.run(fill(msgspec.json.decode(sys.argv[1], type=Job)))
    except ArchiveError as error:
        sys.exit(f"the simulated past ends early: {error}")


if __name__ == "__main__":
    main()
