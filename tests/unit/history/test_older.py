"""Klines from before the cached ones: which they are, and whether they follow a client's last one."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from gateway.config import MarketConfig
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.older import PART, Older, OlderKlines
from gateway.history.store import StoreUnavailable
from gateway.history.turns import Turns
from gateway.model.interval import INTERVALS
from tests.unit.history.stage import T0, Stored, bars, open_ms

MINUTE = INTERVALS["1m"]
SERIES = ("BTCUSDT", MINUTE)


def reader(stored: Stored) -> OlderKlines:
    return OlderKlines(AggregatingStore(stored, MarketConfig()), Turns())


def numbers(older: Older) -> list[int]:
    return [(orjson.loads(kline)["openTime"] - T0) // 60_000 for kline in older.klines]


async def test_the_last_ones_before_a_time() -> None:
    older = await reader(Stored(bars(0, 999))).before(*SERIES, open_ms(900), 600)
    assert numbers(older) == list(range(300, 900))
    assert not older.continues


async def test_those_after_a_cursor_follow_it() -> None:
    older = await reader(Stored(bars(0, 999))).after(*SERIES, open_ms(100), open_ms(900))
    assert numbers(older) == list(range(101, 900))
    assert (older.last_ms, older.continues) == (open_ms(899), True)


async def test_a_part_at_a_time() -> None:
    read = reader(Stored(bars(0, 3 * PART)))
    first = await read.after(*SERIES, open_ms(0), open_ms(3 * PART))
    assert numbers(first) == list(range(1, PART + 1))
    second = await read.after(*SERIES, first.last_ms, open_ms(3 * PART))
    assert numbers(second) == list(range(PART + 1, 2 * PART + 1))


@pytest.mark.parametrize(
    ("oldest", "continues"),
    [pytest.param(101, True, id="the next one is the oldest"), pytest.param(102, False, id="one is missing")],
)
async def test_without_the_kline_at_the_cursor_the_next_one_tells(oldest: int, continues: bool) -> None:
    older = await reader(Stored(bars(oldest, 200))).after(*SERIES, open_ms(100), open_ms(150))
    assert numbers(older) == list(range(oldest, 150))
    assert older.continues is continues


async def test_nothing_after_the_cursor() -> None:
    older = await reader(Stored(bars(0, 100))).after(*SERIES, open_ms(100), open_ms(200))
    assert older == Older((), open_ms(100), continues=True)
    older = await reader(Stored([])).after(*SERIES, open_ms(100), open_ms(200))
    assert older == Older((), open_ms(100), continues=False)


async def test_those_who_ask_at_the_same_time_share_a_read() -> None:
    stored = Stored(bars(0, 999))
    read = reader(stored)
    first, second = await asyncio.gather(*[read.before(*SERIES, open_ms(900), 600) for _ in range(2)])
    assert first is second
    assert stored.reads == 1


async def test_a_store_that_is_away_says_so() -> None:
    with pytest.raises(StoreUnavailable):
        await reader(Stored(down=True)).before(*SERIES, open_ms(900), 600)


async def test_closing_ends_a_read() -> None:
    stored = Stored(bars(0, 9), gate=asyncio.Event())
    read = reader(stored)
    waiting = asyncio.create_task(read.before(*SERIES, open_ms(9), 5))
    for _ in range(5):
        await asyncio.sleep(0)
    assert stored.reads == 1
    await read.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
