"""The Python client's replays of a real archive."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from kline_gateway_client import Client, Forbidden, GatewayError, InvalidSymbol, Kline, RateLimited, Refused, Ticker
from kline_gateway_client import Unreachable as Interrupted

from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0
from tests.integration.live import SYMBOL, until
from tests.integration.replays import KLINES, make_archive, up
from tests.tokens import AUDIENCE, SECRET, Issuer

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.server import EmbeddedServer

BARS = (SYMBOL, "1m")


def at(minute: int) -> int:
    return T0 + minute * MINUTE_MS


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    return await make_archive(tmp_path)


async def test_a_program_is_told_everything_in_the_order_of_the_market(
    redis_server: EmbeddedServer, path: Path
) -> None:
    klines: list[Kline] = []
    prices: list[Ticker] = []
    times: list[int | None] = []
    async with up(redis_server, path) as gateway:
        replaying = Client(gateway.address).replay(
            datetime.fromtimestamp(at(60) / 1000, UTC),
            klines=[BARS, (SYMBOL, "5m")],
            tickers=[SYMBOL],
            end=at(90),
            speed=1000,
            history=20,
        )
        async with replaying as replay:
            async for value in replay:
                times.append(replay.market_ms)
                if isinstance(value, Kline):
                    klines.append(value)
                else:
                    prices.append(value)
            assert replay.end == "to"
            assert [value async for value in replay] == [], "it stays at its end"
    closed = [one for one in klines if one.closed and one.interval == "1m"]
    assert [one.open_time_ms for one in closed] == [one.open_time_ms for one in KLINES[40:90]]
    assert [one.close for one in closed] == [Decimal(one.close) for one in KLINES[40:90]]
    fives = aggregate_closed(KLINES, INTERVALS["1m"], INTERVALS["5m"])
    told = [one.volume for one in klines if one.closed and one.interval == "5m"]
    assert told == [Decimal(one.volume) for one in fives[:18]]
    assert [one.last for one in prices] == [Decimal(one.close) for one in KLINES[59:90]]
    assert times == sorted(times, key=lambda at_ms: at_ms or 0)
    forming = [one for one in klines if not one.closed]
    assert {one.provisional for one in forming if one.interval == "1m"} == {True}


async def test_a_program_may_want_closed_klines_only_and_take_its_time(
    redis_server: EmbeddedServer, path: Path
) -> None:
    seen = []
    async with (
        up(redis_server, path) as gateway,
        Client(gateway.address).replay(
            at(0), klines=[BARS], tickers=[SYMBOL], end=at(20), speed=1000, closed_only=True
        ) as replay,
    ):
        async for value in replay:
            await asyncio.sleep(0.02)
            seen.append(value)
    assert all(isinstance(value, Kline) and value.closed for value in seen)
    assert len(seen) == 20


async def test_what_is_refused_is_raised(redis_server: EmbeddedServer, path: Path) -> None:
    async with up(redis_server, path, replay={"sessions_per_ip": 1}) as gateway:
        client = Client(gateway.address)
        for wrong, error in (
            (client.replay(at(0), klines=[("NONEUSDT", "1m")]), InvalidSymbol),
            (client.replay(at(0), klines=[BARS], speed=1001), GatewayError),
            (client.replay(2**45, klines=[BARS]), GatewayError),
            (client.replay(at(0), klines=[BARS], history=10**6), GatewayError),
        ):
            with pytest.raises(error):
                await wrong.__aenter__()
            await until(lambda: not gateway.inside.replays.sessions.sessions, "the end of the one before")
        async with client.replay(at(0), klines=[BARS]):
            with pytest.raises(RateLimited):
                await client.replay(at(0), klines=[BARS]).__aenter__()
    with pytest.raises(ValueError, match="at least one"):
        client.replay(at(0))
    with pytest.raises(RuntimeError):
        await anext(client.replay(at(0), klines=[BARS]))
    with pytest.raises(Interrupted):
        await Client("http://127.0.0.1:1").replay(at(0), klines=[BARS]).__aenter__()


async def test_an_interruption_is_raised(redis_server: EmbeddedServer, path: Path) -> None:
    async with (
        up(redis_server, path) as gateway,
        Client(gateway.address).replay(at(0), klines=[BARS], speed=1000) as replay,
    ):
        assert isinstance(await anext(replay), Kline)
        (session,) = gateway.inside.replays.sessions.sessions
        session.sink.shutdown()
        with pytest.raises(Interrupted, match="1012"):
            _ = [value async for value in replay]


async def test_a_token_goes_along(redis_server: EmbeddedServer, path: Path) -> None:
    issuer = Issuer("HS256", SECRET)
    tokens = {"required": True, "jwt_algorithm": "HS256", "jwt_secret": SECRET, "audience": AUDIENCE}
    async with up(redis_server, path, tokens=tokens) as gateway:
        with pytest.raises(Forbidden):
            await Client(gateway.address, token=issuer.token()).replay(at(0), klines=[BARS]).__aenter__()
        async with Client(gateway.address, token=issuer.token(replay=True)).replay(at(0), klines=[BARS]) as replay:
            assert isinstance(await anext(replay), Kline)


async def test_a_live_client_at_the_address_of_a_replay_follows_it_to_its_end(
    redis_server: EmbeddedServer, path: Path
) -> None:
    async with up(redis_server, path) as gateway:
        url = f"{gateway.address}/replay/{at(0)}/{at(30)}/1000x"
        async with Client(url) as client:
            stream = client.klines(SYMBOL, "1m", mode="closed")
            closed = [(await anext(stream)).open_time_ms for _ in range(30)]
            with pytest.raises(Refused, match="the replay has ended"):
                await anext(stream)
    assert closed == [one.open_time_ms for one in KLINES[:30]]
