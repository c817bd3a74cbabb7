"""A month of minutes before the exchange: it joins what the collector stores, to the digit and without a hole."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from gateway.archive.sqlite import SqliteArchive
from gateway.model.interval import DAY_MS, INTERVALS
from simulator.exchange import Exchange
from simulator.pairs import choose_pairs
from simulator.past import Job, Past, fill
from simulator.simulate import COLLECTED

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.archive.engine import SeriesName
    from gateway.model.kline import Kline

START_MS = 1_732_310_067_123
SYMBOLS = ("BTCUSDT", "PEPEUSDT")


def exchange(intervals: tuple[str, ...] = COLLECTED, seed: int = 1) -> Exchange:
    return Exchange(choose_pairs(SYMBOLS), intervals, seed=seed, start_ms=START_MS)


def everything(past: Past, symbol: str) -> dict[SeriesName, list[Kline]]:
    """All spans, put together."""
    found: dict[SeriesName, list[Kline]] = {}
    for start_ms, end_ms in past.spans:
        for piece in past.klines(symbol, start_ms, end_ms):
            for series, klines in piece.items():
                found[series] = klines + found.get(series, [])
    return found


def plain(kline: Kline) -> Kline:
    return kline._replace(event_time_ms=0)


@pytest.mark.parametrize("intervals", [COLLECTED, ("1s", "1m", "3m", "1h", "3d", "1w", "1M")], ids=["usual", "others"])
def test_the_past_joins_what_is_stored(intervals: tuple[str, ...]) -> None:
    market = exchange(intervals)
    past = Past(market, 8)
    for symbol in SYMBOLS:
        found, stored = everything(past, symbol), market.closed(symbol)
        assert set(found) == {(symbol, name) for name in intervals if name != "1s"}
        for (_, name), klines in found.items():
            by_time = {kline.open_time_ms: plain(kline) for kline in klines}
            assert len(by_time) == len(klines)
            for kline in stored[name]:
                assert by_time[kline.open_time_ms] == plain(kline)
            for before, kline in itertools.pairwise(klines):
                assert kline.open_time_ms == before.close_time_ms + 1
            assert klines[-1].open_time_ms == stored[name][-1].open_time_ms
            if name in ("1m", "3m", "5m"):
                assert klines[0].open_time_ms == past.start_ms


def test_the_past_begins_at_midnight_and_the_newest_days_come_first() -> None:
    past = Past(exchange(), 30)
    assert past.start_ms % DAY_MS == 0
    assert START_MS - 31 * DAY_MS < past.start_ms <= START_MS - 30 * DAY_MS
    assert past.spans[0][1] == INTERVALS["1m"].open_time(START_MS)
    assert past.spans[-1][0] == past.start_ms
    assert past.spans[0][1] - past.spans[0][0] < 2 * DAY_MS
    for newer, older in itertools.pairwise(past.spans):
        assert newer[0] == older[1]


def test_longer_klines_are_sums_of_the_minutes() -> None:
    found = everything(Past(exchange(), 6), "BTCUSDT")
    minutes = found["BTCUSDT", "1m"]
    for hour in found["BTCUSDT", "1h"][-100:]:
        inside = [kline for kline in minutes if hour.open_time_ms <= kline.open_time_ms < hour.close_time_ms]
        assert (inside[0].open, inside[-1].close) == (hour.open, hour.close)
        assert sum(kline.trades for kline in inside) == hour.trades
        assert max(float(kline.high) for kline in inside) == float(hour.high)


def test_the_past_is_that_of_the_seed() -> None:
    first = everything(Past(exchange(seed=1), 3), "BTCUSDT")
    assert everything(Past(exchange(seed=1), 3), "BTCUSDT") == first
    assert everything(Past(exchange(seed=2), 3), "BTCUSDT") != first


async def test_an_archive_is_filled_and_may_be_filled_again(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    job = Job(str(path), SYMBOLS, COLLECTED, 1, START_MS, days=2)
    await fill(job)
    archive = SqliteArchive(path)
    try:
        coverage = await archive.coverage()
        await fill(job)
        assert await archive.coverage() == coverage
        found = everything(Past(exchange(), 2), "PEPEUSDT")
        for series, klines in found.items():
            assert await archive.read(*series, 5_000) == list(map(plain, klines))[-5_000:]
    finally:
        await archive.aclose()
