"""Replays of an archive to unmodified clients of Binance: nothing but the base URL of their streams is another one."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import time
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from redis import Redis

from collector.encode import kline_member, ticker_value
from gateway.archive.sqlite import SqliteArchive
from gateway.model.kline import Kline
from gateway.model.ticker import Ticker
from simulator.server import EmbeddedServer
from tests.browser.world import PLACE, ended, started
from tests.clients.conftest import HERE, python
from tests.clients.recording import SYMBOL, Recording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.clients, pytest.mark.timeout(90)]

SECONDS = 900
STORED = 300
"""Klines that Redis has of them: the newest."""
SPEED = 60
LIMIT_S = 50
"""The library alone takes ten to be imported on a busy machine."""


@pytest.fixture(scope="module")
def klines() -> list[Kline]:
    """A quarter of an hour of seconds, to the present."""
    draw, price, found = random.Random(1), 97_000_00, []
    first_ms = (time.time_ns() // 1_000_000_000 - SECONDS) * 1000
    for number in range(SECONDS):
        cents = [price := price + draw.randint(-300, 300) for _ in range(4)]
        texts = [f"{value / 100:.2f}" for value in (cents[0], max(cents), min(cents), cents[-1])]
        opened_ms = first_ms + number * 1000
        figures = (f"{draw.randint(1, 99)}.50000", "100.5000000", draw.randint(1, 99), "0", "0", -1, -1)
        found.append(Kline._make((opened_ms, opened_ms + 999, *texts, *figures, True, False, 0)))
    return found


@pytest.fixture(scope="module")
def address(klines: list[Kline], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway whose Redis has the newest seconds, and whose archive has those before them."""
    path = tmp_path_factory.mktemp("archive") / "archive.db"
    asyncio.run(_fill(path, klines[: -STORED // 2]))
    with EmbeddedServer() as server:
        with Redis.from_url(server.url) as redis:
            redis.zadd(
                f"klines:{SYMBOL}:1s", {kline_member(SYMBOL, "1s", one): one.close_time_ms for one in klines[-STORED:]}
            )
            redis.set(f"ticker:{SYMBOL}", ticker_value(Ticker(SYMBOL, klines[-1].close)))
        environment = {
            "GATEWAY_MARKET__INTERVALS": "1s,1m",
            "GATEWAY_ARCHIVE__PATH": str(path),
            # Some clients open a connection for each stream.
            "GATEWAY_REPLAY__SESSIONS_PER_IP": "4",
        }
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
    await archive.write({(SYMBOL, "1s"): klines})
    await archive.aclose()


@pytest.mark.varied
@pytest.mark.parametrize("name", ["ccxt_pro", "python_binance", "unicorn", "raw_websockets"])
def test_a_client_sees_the_past_as_if_it_happened_now(address: str, klines: list[Kline], name: str) -> None:
    replay = f"{address}/replay/{klines[60].open_time_ms}/{SPEED}x"
    plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [str(python("clients")), str(HERE / "scripts" / f"{name}.py"), address, "-", replay],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=plain,
    )
    assert done.returncode == 0, done.stderr
    received = Recording.of(json.loads(done.stdout.splitlines()[-1]))
    known = {one.open_time_ms: one for one in klines}
    finals = received.finals()
    assert len(finals) >= 3
    assert list(finals) == sorted(finals)
    assert min(finals) - klines[60].open_time_ms < 30_000, "it begins where it was asked to"
    for open_ms, bar in finals.items():
        one = known[open_ms]
        assert bar.prices == tuple(map(Decimal, (one.open, one.high, one.low, one.close)))
        assert bar.volume == Decimal(one.volume)
    closes = {Decimal(one.close) for one in klines}
    assert {price for _, price in received.tickers} <= closes
