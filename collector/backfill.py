"""`gateway backfill`: an exchange's past into the archive, within the exchange's limits, as far as it is not there.

What is in the archive is not asked for again, so that a run which was interrupted goes on where it ended, and one that
is repeated asks for what has been added since.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.exchange import ExchangeError
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from collector.exchange import Exchange
    from gateway.archive.engine import Archive
    from gateway.model.kline import Kline

logger = logging.getLogger(__name__)

# Series that are asked about at the same time; the exchange's limit of questions is what bounds them together.
_PARALLEL = 4

# Klines of the archive that are passed over at once.
_PAGE = 5000

_LINE_S = 5.0
_RETRY_MIN_S, _RETRY_MAX_S = 1.0, 60.0


@dataclass(slots=True)
class BackfillCounts:
    """Of one run."""

    series: int = 0
    """Series that are complete."""
    there: int = 0
    """Klines that were in the archive before."""
    asked: int = 0
    """Klines that the exchange gave."""
    failed: int = 0
    """Series that the exchange refused for good."""


class Backfill:
    """Call `run` once."""

    def __init__(self, exchange: Exchange, archive: Archive, since_ms: int) -> None:
        """`since_ms`: open time to begin with, ms since the epoch; an exchange or pair that is younger begins later."""
        self.counts = BackfillCounts()
        self._exchange = exchange
        self._archive = archive
        self._since_ms = since_ms
        self._done = 0.0
        self._wanted = 0

    async def run(self, symbols: Iterable[str], intervals: Iterable[str], print_line: Callable[[str], None]) -> None:
        """Fill every series; `print_line` gets a line of progress now and then. Raises `ArchiveError`."""
        series = [(symbol, interval) for symbol in symbols for interval in intervals]
        self._wanted = len(series)
        waiting = iter(series)
        progress = asyncio.create_task(self._report(print_line), name="progress")
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_PARALLEL):
                    tasks.create_task(self._fill_all(waiting), name="backfill")
        finally:
            progress.cancel()

    async def _fill_all(self, waiting: Iterable[tuple[str, str]]) -> None:
        # All tasks take from one iterator, so that each series has its turn once.
        for symbol, interval in waiting:
            try:
                await self._fill(symbol, interval)
                self.counts.series += 1
            except ExchangeError as error:
                self.counts.failed += 1
                logger.warning("backfill failed series=%s/%s error=%s", symbol, interval, error)

    async def _fill(self, symbol: str, name: str) -> None:
        interval = INTERVALS[name]
        begun_ms = next_ms = interval.open_time(self._since_ms)
        before = 0.0
        while next_ms < (end_ms := interval.open_time(self._exchange.now_ms())):
            known = await self._archive.read(symbol, name, 1, next_ms)
            if known and known[0].open_time_ms == next_ms:
                page = await self._archive.read(symbol, name, _PAGE, next_ms)
                last_ms = _end_of_run(page, interval.next_open)
                next_ms = interval.next_open(last_ms)
                self.counts.there += sum(kline.open_time_ms <= last_ms for kline in page)
            else:
                until_ms = known[0].open_time_ms if known else end_ms
                klines = await self._asked(symbol, name, next_ms, until_ms)
                if klines:
                    await self._archive.write({(symbol, name): klines})
                    self.counts.asked += len(klines)
                # What the exchange does not give between two klines does not exist.
                full = len(klines) >= self._exchange.venue.rows_max
                next_ms = interval.next_open(klines[-1].open_time_ms) if full else until_ms
            share = (min(next_ms, end_ms) - begun_ms) / (end_ms - begun_ms)
            self._done, before = self._done + share - before, share

    async def _asked(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> list[Kline]:
        """Ask until the exchange answers; raises `ExchangeError` where that does not help."""
        wait_s = _RETRY_MIN_S
        while True:
            try:
                klines = await self._exchange.klines(symbol, interval, start_ms, end_ms)
                return [kline._replace(event_time_ms=0) for kline in klines]
            except ExchangeError as error:
                if error.permanent:
                    raise
                logger.warning("exchange unavailable error=%s retry_s=%.0f", error, error.retry_after_s or wait_s)
                await asyncio.sleep(error.retry_after_s or wait_s)
                wait_s = min(wait_s * 2, _RETRY_MAX_S)

    async def _report(self, print_line: Callable[[str], None]) -> None:
        begun_s = time.monotonic()
        while True:
            await asyncio.sleep(_LINE_S)
            spent_s = time.monotonic() - begun_s
            share = self._done / self._wanted if self._wanted else 1.0
            left = f", about {spent_s * (1 - share) / share / 60:.0f} minutes left" if share > 0 else ""
            print_line(
                f"{share:.1%} of {self._wanted} series, {self.counts.asked} klines at "
                f"{self.counts.asked / spent_s:.0f}/s{left}"
            )


def _end_of_run(klines: list[Kline], next_open: Callable[[int], int]) -> int:
    """Open time of the last kline before the first hole."""
    last_ms = klines[0].open_time_ms
    for kline in klines[1:]:
        if kline.open_time_ms != next_open(last_ms):
            break
        last_ms = kline.open_time_ms
    return last_ms
