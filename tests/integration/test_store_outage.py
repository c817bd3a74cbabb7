"""The history's store is killed, frozen and emptied under a running gateway: known before anybody asks, and nothing
that was known is unknown afterwards."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.history.redis_store import RedisStore
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from tests.builders import T0
from tests.integration.live import SYMBOL, Publisher, Serving, make_config, serving, until

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
