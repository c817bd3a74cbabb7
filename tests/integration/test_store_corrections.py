"""A stored kline that is replaced without a message reaches those who are connected, too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from collector.encode import kline_member
from tests.builders import MINUTE_MS, T0, kline
from tests.integration.live import BARS, SYMBOL, Publisher, client, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.server import EmbeddedServer
    from tests.fakes import View
    from tests.integration.live import Serving

THREE = f"kline:{SYMBOL}:3m"
KEY = f"klines:{SYMBOL}:1m"


def closes(view: View) -> list[str]:
    return [bar.close for bar in view.closed]


async def replace(server: EmbeddedServer, number: int, prices: str) -> None:
    """Replace a stored kline and publish nothing."""
    bar = kline(number, prices, closed=True)
    async with Redis.from_url(server.url) as redis, redis.pipeline() as pipeline:
        pipeline.zremrangebyscore(KEY, bar.close_time_ms, bar.close_time_ms)
        pipeline.zadd(KEY, {kline_member(SYMBOL, "1m", bar): bar.close_time_ms})
        await pipeline.execute()


@pytest.fixture
async def up(redis_server: EmbeddedServer, publisher: Publisher) -> AsyncIterator[Serving]:
    """Klines 0 to 5, each with close 101: some were stored before the start, the others are published."""
    for number in range(3):
        await publisher.closed(number, "100 110 90 101")
    market = {"intervals": ("1m", "3m"), "compare_s": 0.2, "compare_klines": 5}
    async with serving(make_config(redis_server, market=market)) as found:
        for number in range(3, 6):
            await publisher.closed(number, "100 110 90 101")
        series = found.inside.market.series(SYMBOL, "1m")
        assert series is not None
        await until(lambda: series.closed.last and series.closed.last.open_time_ms == T0 + 5 * MINUTE_MS, "all klines")
        yield found


@pytest.mark.parametrize("number", [2, 4, 5], ids=["read at the start", "published", "the newest"])
async def test_all_clients_have_the_kline_that_replaced_a_stored_one(
    redis_server: EmbeddedServer, up: Serving, number: int
) -> None:
    async with client(up) as with_history, client(up) as other:
        await with_history.subscribe(BARS, THREE, history=10)
        await other.subscribe(BARS, history=6)
        await replace(redis_server, number, "100 110 90 109")
        wanted = ["101"] * 6
        wanted[number] = "109"
        for someone in (with_history, other):
            await someone.until(lambda someone=someone: closes(someone.view(BARS)) == wanted)  # type: ignore[misc]
        longer = [wanted[2], wanted[5]]
        await with_history.until(lambda: closes(with_history.view(THREE)) == longer)
        async with client(up) as newcomer:
            await newcomer.subscribe(BARS, THREE, history=10)
            assert closes(newcomer.view(BARS)) == wanted
            assert closes(newcomer.view(THREE)) == longer
        assert await up.metric("gateway_corrected_klines_total") == 1


async def test_nothing_is_sent_while_nothing_differs(redis_server: EmbeddedServer, up: Serving) -> None:
    comparison = up.inside.comparison
    async with client(up) as someone:
        await someone.subscribe(BARS, THREE, history=10)
        # The same with other digits, and without what it may lack.
        await replace(redis_server, 4, "100.0 110.00 90 101.0")
        compared = comparison.compared
        await until(lambda: comparison.compared > compared + 5, "some comparisons")
        assert len(someone.said("snapshot")) == 2
        assert not any(view.resyncs for view in map(someone.view, (BARS, THREE)))
        assert (comparison.corrected, up.inside.counters.resyncs) == (0, 0)


async def test_a_binance_stream_says_nothing_of_the_past(
    redis_server: EmbeddedServer, publisher: Publisher, up: Serving
) -> None:
    address = up.address.replace("http", "ws") + f"/ws/{SYMBOL.lower()}@kline_1m"
    async with connect(address, proxy=None) as bot:
        await until(lambda: up.inside.hub.sessions, "a session")
        await replace(redis_server, 4, "100 110 90 109")
        await until(lambda: up.inside.comparison.corrected, "the correction")
        await publisher.closed(6, "100 110 90 101")
        events: list[dict[str, Any]] = []
        while not events or not events[-1]["x"]:
            events.append(json.loads(await bot.recv())["k"])
    assert {event["t"] for event in events if event["x"]} == {T0 + 6 * MINUTE_MS}


async def test_without_a_period_nothing_is_compared_and_all_else_goes_on(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.closed(0, "100 110 90 101")
    async with serving(make_config(redis_server, market={"compare_s": 0.0})) as found, client(found) as someone:
        await someone.subscribe(BARS, history=10)
        await replace(redis_server, 0, "100 110 90 109")
        await publisher.closed(1, "100 110 90 102")
        await someone.until(lambda: closes(someone.view(BARS)) == ["101", "102"])
        assert found.inside.comparison.compared == 0
