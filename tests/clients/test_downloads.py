"""A year of klines out of the archive, downloaded as bots and charts do it: all rows, none twice, to the digit."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from redis import Redis

from collector.encode import kline_member
from gateway.archive.sqlite import SqliteArchive
from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import DAY_MS, HOUR_MS, INTERVALS
from gateway.model.kline import Kline
from simulator.server import EmbeddedServer
from tests.browser.world import PLACE, ended, started
from tests.clients.conftest import HERE, node, python
from tests.clients.recording import SYMBOL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.clients

HOURS = 365 * 24
REDIS_HOURS = 500
HOUR, DAY = INTERVALS["1h"], INTERVALS["1d"]
LIMIT_S = 60


def year() -> list[Kline]:
    """Ends with the newest full hour, and begins with a day."""
    end_ms = HOUR.open_time(time.time_ns() // 1_000_000)
    first_ms = DAY.open_time(end_ms - HOURS * HOUR_MS)
    return [_kline(open_ms) for open_ms in range(first_ms, end_ms, HOUR_MS)]


def _kline(open_ms: int) -> Kline:
    number = open_ms // HOUR_MS % 9973
    return Kline(
        open_ms,
        open_ms + HOUR_MS - 1,
        f"{60_000 + number}.10",
        f"{60_020 + number}.00",
        f"{59_990 + number}.90",
        f"{60_001 + number}.05",
        f"{number % 97}.12500",
        f"{number % 89}.06250000",
        number % 7 + 1,
        f"{number % 13}.50000",
        f"{number % 11}.25000000",
        closed=True,
    )


@pytest.fixture(scope="module")
def klines() -> list[Kline]:
    return year()


@pytest.fixture(scope="module")
def address(klines: list[Kline], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway whose Redis has the newest hours, and whose archive has those before them."""
    path = tmp_path_factory.mktemp("archive") / "archive.db"
    asyncio.run(_fill(path, klines[: -REDIS_HOURS // 2]))
    with EmbeddedServer() as server:
        with Redis.from_url(server.url) as redis:
            members = {kline_member(SYMBOL, "1h", one): one.close_time_ms for one in klines[-REDIS_HOURS:]}
            redis.zadd(f"klines:{SYMBOL}:1h", members)
            redis.set(f"lastClosed:{SYMBOL}:1h", klines[-1].close_time_ms)
        environment = {"GATEWAY_MARKET__INTERVALS": "1h,1d", "GATEWAY_ARCHIVE__PATH": str(path)}
        process = started("serve", "--port", "0", "--redis", server.url, environment=environment)
        try:
            assert process.stdout is not None
            found = PLACE.search(process.stdout.readline())
            assert found is not None
            yield urlsplit(found[0]).netloc
        finally:
            ended(process)


async def _fill(path: Path, klines: Sequence[Kline]) -> None:
    archive = SqliteArchive(path)
    await archive.write({(SYMBOL, "1h"): klines})
    await archive.aclose()


def downloaded(command: Sequence[object], address: str, *more: object) -> dict[str, list[list[Any]]]:
    done = subprocess.run(
        [*map(str, command), address, *map(str, more)], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[list[Any]]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.long
def test_bots_download_all_of_a_year(address: str, klines: list[Kline]) -> None:
    found = downloaded([python("clients"), HERE / "scripts" / "download.py"], address, "-", klines[0].open_time_ms)
    rows: list[list[Any]] = [[one.open_time_ms, *one[2:7]] for one in klines]
    assert [row[:6] for row in found["python-binance"]] == rows
    assert [row[:6] for row in found["the first"]] == rows[:1]
    # ccxt makes floats of the texts.
    floats = [[row[0], *map(float, row[1:])] for row in rows]
    assert found["ccxt, paged"] == floats
    assert found["ccxt, in parts"] == floats


def test_a_chart_goes_back_through_years_of_days(address: str, klines: list[Kline]) -> None:
    found = downloaded([node(), HERE / "node" / "download.js"], address)["UDF"]
    days = aggregate_closed(klines, HOUR, DAY)
    assert [row[0] for row in found[: len(days)]] == [day.open_time_ms for day in days]
    for row, day in zip(found, days, strict=False):
        figures = [day.open, day.high, day.low, day.close, day.volume]
        assert [Decimal(str(value)) for value in row[1:]] == list(map(Decimal, figures))
    assert len(found) - len(days) <= 1, "the day that is under way"
    assert (klines[-1].close_time_ms + 1 - found[-1][0]) <= DAY_MS
