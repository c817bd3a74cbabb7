"""The history's store is killed, frozen and emptied under a running gateway: known before anybody asks, and nothing
that was known is unknown afterwards."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.history.redis_store import RedisStore
from gateway.history.store import StoreUnavailable
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis import connections
from gateway.redis.deployment import make_deployment
from tests.builders import MINUTE_MS, T0
from tests.integration.live import SYMBOL, WAIT_S, Publisher, Serving, make_config, serving, until
from tests.integration.topology import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from simulator.server import EmbeddedServer

AVAILABLE = "gateway_history_available"
TICKER = f"/v1/ticker?symbol={SYMBOL}"
KLINES = f"/v1/klines?symbol={SYMBOL}&interval=1m"


@pytest.fixture
async def up(
    redis_server: EmbeddedServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Serving]:
    monkeypatch.setattr("gateway.history.probe.PING_S", 0.1)
    await publisher.ticker("1")
    for number in range(3):
        await publisher.closed(number)
    async with serving(make_config(redis_server, redis={"watchdog_s": 0.4})) as found:
        yield found


@asynccontextmanager
async def killed(server: EmbeddedServer) -> AsyncIterator[None]:
    server.kill()
    yield
    await server.start_async()


@asynccontextmanager
async def frozen(server: EmbeddedServer) -> AsyncIterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


async def is_told(up: Serving, available: bool) -> None:
    store = up.inside.store
    await until(lambda: store.available == available, "the finding")
    assert await up.metric(AVAILABLE) == available


@pytest.mark.parametrize("away", [killed, frozen], ids=["killed", "frozen"])
async def test_its_loss_and_return_are_known_before_anybody_asks(
    redis_server: EmbeddedServer, up: Serving, away: Callable[[EmbeddedServer], AsyncIterator[None]]
) -> None:
    assert await up.metric(AVAILABLE) == 1
    async with away(redis_server):  # type: ignore[attr-defined]
        await is_told(up, False)
        # The circuit is open by now, or soon: who asks does not wait for a timeout.
        answer = await up.get(KLINES)
        assert (answer.status_code, answer.json()["code"]) == (503, "REDIS_ERROR")
        assert int(answer.headers["retry-after"]) >= 1
    await is_told(up, True)
    assert (await up.get(KLINES)).status_code == 200


async def test_a_ticker_whose_key_expired_meanwhile_is_known_and_stale_until_news_come(
    redis_server: EmbeddedServer, up: Serving
) -> None:
    async def asked() -> tuple[float, bool]:
        answer = (await up.get(TICKER)).json()
        return answer["c"], answer["stale"]

    assert await asked() == (1, False)
    async with killed(redis_server):
        await up.fresh(503)
        assert await asked() == (1, True)
    # The server has come back without the key, and nobody has published since.
    await up.fresh()
    assert await asked() == (1, True)
    async with Publisher(redis_server) as collector:
        collector.seen_ms = T0
        await collector.ticker("2")
        await until(lambda: not up.inside.market.lapsed(SYMBOL), "the news")
        assert await asked() == (2, False)


async def test_connections_that_a_restart_has_cut_cost_no_request(redis_server: EmbeddedServer) -> None:
    store = RedisStore(make_config(redis_server).redis, ("1m",), DEFAULT_SYMBOL_PATTERN)
    try:
        for _ in range(3):
            await asyncio.gather(*(store.has_data(SYMBOL) for _ in range(5)))
            redis_server.kill()
            await redis_server.start_async()
            assert await asyncio.gather(*(store.has_data(SYMBOL) for _ in range(5))) == [False] * 5
    finally:
        await store.aclose()


async def test_a_read_that_finds_all_connections_in_use_is_no_failure_of_the_store(
    redis_server: EmbeddedServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publisher.closed(0)
    monkeypatch.setattr(connections, "FREE_WAIT_S", 0.1)
    settings = make_config(redis_server, redis={"command_timeout_s": WAIT_S}).redis
    deployment = make_deployment(settings)
    store = RedisStore(settings, ("1m",), DEFAULT_SYMBOL_PATTERN, deployment)
    try:
        held = [
            asyncio.create_task(deployment.execute("BLPOP", f"nothing {number}", "0"))
            for number in range(connections.CONNECTIONS_MAX)
        ]
        await until(lambda: blocked(redis_server) == connections.CONNECTIONS_MAX, "the holding of all connections")
        for _ in range(10):
            with pytest.raises(StoreUnavailable) as caught:
                await store.has_data(SYMBOL)
            assert (caught.value.reason, store.circuit, store.available) == ("busy", "closed", True)
        for number in range(connections.CONNECTIONS_MAX):
            command(redis_server, "RPUSH", f"nothing {number}", "x")
        await asyncio.gather(*held)
        assert await store.has_data(SYMBOL)
        assert dict(store.failures) == {"busy": 10}
    finally:
        await store.aclose()


async def test_reads_wanted_at_once_are_answered_each_by_itself(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    for number in range(40):
        await publisher.closed(number, symbol=f"S{number}USDT", reported=False)
    command(redis_server, "SET", "klines:WRONGUSDT:1m", "not a sorted set")
    store = RedisStore(make_config(redis_server).redis, ("1m",), DEFAULT_SYMBOL_PATTERN)
    try:
        names = [f"S{number}USDT" for number in range(40)]
        reads = [store.closed_klines(name, "1m", 5) for name in (*names, "WRONGUSDT", "NONEUSDT")]
        *found, wrong, none = await asyncio.gather(*reads)
        assert [[kline.open_time_ms for kline in klines] for klines in found] == [
            [T0 + number * MINUTE_MS] for number in range(40)
        ]
        assert (wrong, none, store.malformed, store.circuit) == ([], [], 1, "closed")
    finally:
        await store.aclose()


def blocked(server: EmbeddedServer) -> int:
    """How many connections wait for an answer of the server."""
    lines = command(server, "INFO", "clients").split()
    return int(next(line for line in lines if line.startswith("blocked_clients:")).partition(":")[2])
