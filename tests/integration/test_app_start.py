"""An app starts beside other clients: hundreds of series that nobody has read yet, all asked for in one moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import httpx

from collector.encode import kline_member
from tests.builders import MINUTE_MS, T0, kline
from tests.integration.live import BARS, WAIT_S, Publisher, client, make_config, process, until

if TYPE_CHECKING:
    from simulator.server import EmbeddedServer
    from tests.integration.live import Client

SERIES = [(f"S{number}USDT", interval) for number in range(99) for interval in ("1m", "5m")]
ROWS = 500
CLIENTS = 200
CLOSED = 12
"""Klines that close while the app starts; `stream.closed_log` keeps more."""


async def store(publisher: Publisher) -> None:
    """Five hundred klines of each series."""
    pipeline = publisher._redis.pipeline(transaction=False)
    for interval in ("1m", "5m"):
        klines = [kline(-number, interval=interval, closed=True) for number in range(1, ROWS + 1)]
        for symbol in {name for name, _ in SERIES}:
            members = {kline_member(symbol, interval, one): one.close_time_ms for one in klines}
            pipeline.zadd(f"klines:{symbol}:{interval}", members)
    await pipeline.execute()


def has_closed(one: Client, count: int) -> bool:
    """Whether a client has been told of so many klines that have closed."""
    return len(one.view(BARS).since) >= count


async def test_all_series_are_answered_and_no_stream_client_loses_anything(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await store(publisher)
    await publisher.closed(0)
    config = make_config(redis_server, market={"intervals": ("1m", "5m")})
    limits = httpx.Limits(max_connections=len(SERIES))
    async with (
        process(config) as up,
        httpx.AsyncClient(base_url=up.address, timeout=3 * WAIT_S, trust_env=False, limits=limits) as http,
        asyncio.TaskGroup() as group,
    ):
        clients: list[Client] = []
        over = asyncio.Event()

        async def watch() -> None:
            async with client(up) as found:
                await found.subscribe(BARS)
                clients.append(found)
                await over.wait()

        async def ask(symbol: str, interval: str) -> tuple[int, int]:
            body = {"symbol": symbol, "timeframe": interval, "limit": ROWS}
            answer = await http.post("/functions/v1/get-klines", json=body)
            return answer.status_code, len(answer.json()["klines"]) if answer.status_code == 200 else 0

        for _ in range(CLIENTS):
            group.create_task(watch())
        await until(lambda: len(clients) == CLIENTS, "the subscription of all")
        asked = [group.create_task(ask(*series)) for series in SERIES]
        for number in range(1, CLOSED + 1):
            await asyncio.sleep(0.1)
            await publisher.closed(number)
        found = Counter([await task for task in asked])
        for one in clients:
            await one.until(partial(has_closed, one, CLOSED))
        over.set()
        assert found == {(200, ROWS): len(SERIES)}
        opened = [T0 + number * MINUTE_MS for number in range(1, CLOSED + 1)]
        for one in clients:
            assert (one.view(BARS).since, one.view(BARS).resyncs, one.said("shutdown")) == (opened, 0, [])
