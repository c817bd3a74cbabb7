"""An exchange's past into the archive: all of it, once, through interruptions and refusals."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from collector import backfill
from collector.backfill import Backfill
from collector.exchange import ExchangeError, Venue
from gateway.archive.sqlite import SqliteArchive
from gateway.model.interval import MINUTE_MS
from tests.unit.archive.klines import T0, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from collector.exchange import Exchange
    from gateway.model.kline import Kline

MINUTES = ("BTCUSDT", "1m")
DAY_BEFORE_MS = T0 - 24 * 60 * MINUTE_MS


class Past:
    """An exchange whose only pair was listed at `T0`; it can only be asked. `failures` come first, one a question."""

    venue = Venue("past", "Past", "https://past.example", "", ("1m",), rows_max=100)

    def __init__(self, there: list[Kline]) -> None:
        self.there = there
        self.failures: list[ExchangeError] = []
        self.asked = 0
        self.asked_thrice = asyncio.Event()

    def now_ms(self) -> int:
        return self.there[-1].close_time_ms + 1

    async def klines(self, _symbol: str, _interval: str, start_ms: int, end_ms: int) -> list[Kline]:
        self.asked += 1
        if self.asked == 3:
            self.asked_thrice.set()
        if self.failures:
            raise self.failures.pop(0)
        found = [kline for kline in self.there if start_ms <= kline.open_time_ms < end_ms]
        return [kline._replace(event_time_ms=self.now_ms()) for kline in found[: self.venue.rows_max]]


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[SqliteArchive]:
    made = SqliteArchive(tmp_path / "archive.db")
    yield made
    await made.aclose()


async def filled(past: Past, archive: SqliteArchive) -> Backfill:
    made = Backfill(cast("Exchange", past), archive, DAY_BEFORE_MS)
    await made.run(["BTCUSDT"], ["1m"], lambda line: None)
    return made


async def test_everything_since_the_listing_is_archived(archive: SqliteArchive) -> None:
    done = await filled(Past(run(0, 449)), archive)
    assert await archive.read(*MINUTES, 5000) == run(0, 449)
    assert (done.counts.series, done.counts.asked, done.counts.there) == (1, 450, 0)


async def test_what_is_archived_is_not_asked_for_again(archive: SqliteArchive) -> None:
    await archive.write({MINUTES: [*run(0, 199), *run(300, 349)]})
    past = Past(run(0, 449))
    done = await filled(past, archive)
    assert await archive.read(*MINUTES, 5000) == run(0, 449)
    # The day before the listing, the hole of 100 klines (a full answer), and the end.
    assert (done.counts.asked, past.asked) == (200, 3)
    again = Past(run(0, 449))
    assert (await filled(again, archive)).counts.asked == 0
    # That nothing is there before the listing has to be asked each time.
    assert again.asked == 1


async def test_a_time_without_klines_is_passed_over(archive: SqliteArchive) -> None:
    there = [*run(0, 149), *run(300, 449)]
    await filled(Past(there), archive)
    assert await archive.read(*MINUTES, 5000) == there


async def test_an_exchange_that_is_away_for_a_moment_is_asked_again(
    archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "_RETRY_MIN_S", 0.001)
    past = Past(run(0, 249))
    past.failures = [ExchangeError("away"), ExchangeError("slow down", retry_after_s=0.001)]
    assert (await filled(past, archive)).counts.series == 1
    assert await archive.read(*MINUTES, 5000) == run(0, 249)


async def test_a_series_that_is_refused_for_good_is_counted(archive: SqliteArchive) -> None:
    past = Past(run(0, 249))
    past.failures = [ExchangeError("no such pair", permanent=True)]
    counts = (await filled(past, archive)).counts
    assert (counts.series, counts.failed) == (0, 1)


async def test_an_interrupted_run_goes_on_where_it_ended(archive: SqliteArchive) -> None:
    past = Past(run(0, 449))
    running = asyncio.create_task(filled(past, archive))
    await past.asked_thrice.wait()
    running.cancel()
    await asyncio.wait([running])
    # One write at a time: the one that was under way has ended when another one has.
    await archive.write({})
    some = await archive.read(*MINUTES, 5000)
    assert some == run(0, len(some) - 1)
    done = await filled(Past(run(0, 449)), archive)
    assert done.counts.there == len(some)
    assert await archive.read(*MINUTES, 5000) == run(0, 449)
