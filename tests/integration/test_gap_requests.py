"""Klines that are missing in Redis as well: the gateway asks, and the collector stores what the exchange has."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from redis.asyncio import Redis

from simulator.server import EmbeddedServer
from tests.integration.live import WAIT_S, client, make_config, serving, until
from tests.integration.running import running

SYMBOL = "BTCUSDT"
KEY = f"klines:{SYMBOL}:1m"
PAST = {"symbol": SYMBOL, "interval": "1m", "limit": "30"}
BARS = f"kline:{SYMBOL}:1m"


async def test_a_hole_in_redis_heals_from_the_exchange() -> None:
    async with (
        running() as exchange,
        EmbeddedServer() as server,
        Redis.from_url(server.url, socket_timeout=None) as redis,
    ):
        address = str(exchange.http.base_url).rstrip("/")
        collector = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "collect", "--redis", server.url, "--symbols", SYMBOL),
            *("--intervals", "1m", "--rest-url", address, "--stream-url", address.replace("http", "ws")),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(WAIT_S):
                while await redis.zcard(KEY) < 500:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            # No kline closes until the gateway has read the two newest, between which others are missing.
            await asyncio.sleep(max(0.0, time.time() % 60 - 45) and 62 - time.time() % 60)
            before: Any = await redis.zrange(KEY, 0, -1)
            assert await redis.zremrangebyrank(KEY, 495, 498) == 4
            # What no collector could answer is counted, and stops nobody.
            await redis.publish("collector:requests", b"nonsense")
            config = make_config(server, market={"intervals": ["1m"]})
            async with serving(config) as up, client(up) as someone:
                await someone.subscribe(BARS, history=16)
                await until(lambda: up.inside.watch.tracker.open, "the gap")
                await until(lambda: not up.inside.watch.tracker.open, "its repair")
                gaps = (await up.get("/v1/gaps")).json()["gaps"]
                assert all(gap["state"] == "repaired" for gap in gaps)
                after: Any = await redis.zrange(KEY, 0, -1)
                stored = {json.loads(member)["t"]: member for member in after}
                answer = await exchange.http.get("/api/v3/klines", params=PAST)
                exact = {row[0]: row[1:6] for row in answer.json()}
                for member in before[495:499]:
                    opened_ms = json.loads(member)["t"]
                    kline = json.loads(stored[opened_ms])
                    assert [kline[name] for name in "ohlcv"] == exact[opened_ms]
                healed = {json.loads(member)["t"] for member in before[495:499]}
                await someone.until(lambda: healed <= {bar.open_time for bar in someone.view(BARS).closed})
        finally:
            collector.kill()
            await collector.wait()
