"""The TypeScript client's replay of a real archive. `node` runs `clients/web/test/live/replay.mjs`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from simulator.server import EmbeddedServer
from tests.browser.page import CLIENT
from tests.builders import MINUTE_MS, T0
from tests.integration.replays import KLINES, make_archive, up

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.clients

FIRST, LAST, BEFORE = 60, 90, 10


async def test_a_loop_gets_everything_in_the_order_of_the_market_and_what_is_refused(tmp_path: Path) -> None:
    script = str(CLIENT / "test" / "live" / "replay.mjs")
    times = [str(T0 + minute * MINUTE_MS) for minute in (FIRST, LAST)]
    path = await make_archive(tmp_path)
    with EmbeddedServer() as server:
        async with up(server, path) as gateway:
            node = await asyncio.create_subprocess_exec(
                "node", script, gateway.address, *times, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await asyncio.wait_for(node.communicate(), 25)
    assert node.returncode == 0
    told = json.loads(output)
    klines = [one["kline"] for one in told["events"] if one["interval"] == "1m"]
    closed = [(one["openTime"], one["close"], one["volume"]) for one in klines if one["isClosed"]]
    stored = KLINES[FIRST - BEFORE : LAST]
    assert closed == [(one.open_time_ms, float(one.close), float(one.volume)) for one in stored]
    assert any(not one["isClosed"] for one in klines)
    prices = [one["ticker"]["c"] for one in told["events"] if one["interval"] is None]
    assert prices == [float(one.close) for one in KLINES[FIRST - 1 : LAST]]
    market = [one["at"] for one in told["events"]]
    assert market == sorted(market)
    assert told["closedOnly"] == [True] * ((LAST - FIRST) // 5)
    assert told["refused"] == ["INVALID_SYMBOL", "INTERRUPTED"]
