"""Replays in Binance's stream dialect: what a bot sees that has changed nothing but its base URL."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0
from tests.integration.bots import Client, Series
from tests.integration.live import SYMBOL, WAIT_S, until
from tests.integration.replays import KLINES, MINUTES, make_archive, of, refused, up
from tests.tokens import AUDIENCE, SECRET, Issuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.model.kline import Kline
    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving

NAME = SYMBOL.lower()


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    return await make_archive(tmp_path)


@asynccontextmanager
async def bot(gateway: Serving, path: str, **options: Any) -> AsyncIterator[Client]:
    async with connect(gateway.address.replace("http", "ws") + path, proxy=None, **options) as connection:
        yield Client(connection)


async def rest(client: Client) -> list[Any]:
    """All messages until the connection is closed."""
    async with asyncio.timeout(WAIT_S):
        with suppress(ConnectionClosed):
            while True:
                client.events.append(await client.receive())
    connection = client.connection
    assert (connection.close_code, connection.close_reason) == (4007, "the replay has ended")
    return client.events


def told(kline: Kline) -> list[str]:
    return [kline.open, kline.high, kline.low, kline.close, kline.volume, str(kline.trades)]


def said(k: dict[str, Any]) -> list[str]:
    return [k["o"], k["h"], k["l"], k["c"], k["v"], str(k["n"])]


async def test_the_streams_of_a_url_are_replayed(redis_server: EmbeddedServer, path: Path) -> None:
    names = [f"{NAME}@kline_1m", f"{NAME}@kline_5m", f"{NAME}@miniTicker"]
    async with (
        up(redis_server, path) as gateway,
        bot(gateway, of(60, end=120, stream=f"/stream?streams={'/'.join(names)}")) as client,
    ):
        series: defaultdict[str, Series] = defaultdict(Series)
        tickers = []
        for message in await rest(client):
            if message["stream"].endswith("miniTicker"):
                tickers.append(message["data"])
            else:
                series[message["stream"]].take(message["data"])
    fives = aggregate_closed(KLINES, INTERVALS["1m"], INTERVALS["5m"])
    assert [said(k) for k in series[names[0]].closed] == [told(one) for one in KLINES[60:120]]
    assert [said(k) for k in series[names[1]].closed] == [told(one) for one in fives[12:24]]
    assert [one["c"] for one in tickers] == [one.close for one in KLINES[59:120]]
    assert {one["e"] for one in tickers} == {"24hrMiniTicker"}


async def test_the_raw_path_and_commands(redis_server: EmbeddedServer, path: Path) -> None:
    async with up(redis_server, path) as gateway, bot(gateway, of(0, end=60, stream="/ws/0")) as client:
        assert await client.ask("LIST_SUBSCRIPTIONS") == {"result": [], "id": 1}
        assert await client.ask("SUBSCRIBE", f"{NAME}@kline_1m", "noneusdt@kline_1m", "what") == {
            "result": None,
            "id": 1,
        }
        await client.until(lambda message: message.get("e") == "kline" and message["k"]["x"])
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["result"] == [f"{NAME}@kline_1m"]
        assert (await client.ask("SUBSCRIBE", f"{NAME}@ticker"))["result"] is None
        ticker = await client.until(lambda message: message.get("e") == "24hrTicker")
        assert ticker["s"] == SYMBOL
        assert (await client.ask("UNSUBSCRIBE", f"{NAME}@kline_1m", "what"))["result"] is None
        client.events.clear()
        assert {event["e"] for event in await rest(client)} == {"24hrTicker"}


@pytest.mark.parametrize(
    ("method", "params", "answer"),
    [
        ("SUBSCRIBE", [], 2),
        ("SUBSCRIBE", ["!miniTicker@arr"], 2),
        ("SUBSCRIBE", [f"{NAME}@kline_1m", f"{NAME}@kline_5m", f"{NAME}@kline_1h"], 2),
        ("SUBSCRIBE", [5], 2),
        ("DANCE", [], 2),
        ("SET_PROPERTY", ["combined", 1], 1),
        ("SET_PROPERTY", ["max_rate", -1], 2),
        ("SET_PROPERTY", ["colour", 1], 0),
        ("GET_PROPERTY", ["colour"], 0),
        ("GET_PROPERTY", ["max_rate"], None),
        ("SET_PROPERTY", ["max_rate", 4], None),
        ("GET_PROPERTY", ["combined"], None),
    ],
)
async def test_every_request_has_its_reply(
    redis_server: EmbeddedServer, path: Path, method: str, params: list[object], answer: int | None
) -> None:
    async with (
        up(redis_server, path, replay={"max_channels": 2}) as gateway,
        bot(gateway, of(0, 1, stream="/ws")) as client,
    ):
        reply = await client.ask(method, *params)
        assert reply.get("error", {}).get("code") == answer
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["result"] == []


async def test_properties_are_those_of_the_live_streams(redis_server: EmbeddedServer, path: Path) -> None:
    stream = f"/ws/{NAME}@kline_1m/{NAME}@miniTicker"
    async with up(redis_server, path) as gateway, bot(gateway, of(0, end=30, stream=stream)) as client:
        await client.ask("SET_PROPERTY", "closed_only", True)
        await client.ask("SET_PROPERTY", "combined", True)
        assert (await client.ask("GET_PROPERTY", "closed_only"))["result"] is True
        assert (await client.ask("GET_PROPERTY", "combined"))["result"] is True
        client.events.clear()
        events = await rest(client)
    assert {message["stream"] for message in events} == {f"{NAME}@kline_1m"}
    assert all(message["data"]["k"]["x"] for message in events)


async def test_times_in_microseconds(redis_server: EmbeddedServer, path: Path) -> None:
    stream = f"/ws/{NAME}@kline_1m?timeUnit=MICROSECOND"
    async with up(redis_server, path) as gateway, bot(gateway, of(0, end=2, stream=stream)) as client:
        events = await rest(client)
    assert events[-1]["k"]["t"] == (T0 + MINUTE_MS) * 1000


async def test_a_kline_of_the_past_is_no_event(redis_server: EmbeddedServer, path: Path) -> None:
    stream = f"/ws/{NAME}@kline_1h"
    async with up(redis_server, path) as gateway, bot(gateway, of(90, end=130, stream=stream)) as client:
        events = await rest(client)
    assert {event["k"]["t"] for event in events} == {T0 + 60 * MINUTE_MS, T0 + 120 * MINUTE_MS}
    first = events[0]["k"]
    assert (first["x"], first["o"], first["c"]) == (False, KLINES[60].open, KLINES[89].close)


async def test_a_token_comes_with_the_handshake(redis_server: EmbeddedServer, path: Path) -> None:
    issuer = Issuer("HS256", SECRET)
    tokens = {"required": True, "jwt_algorithm": "HS256", "jwt_secret": SECRET, "audience": AUDIENCE}
    stream = of(0, 1, stream=f"/ws/{NAME}@kline_1m")
    async with up(redis_server, path, tokens=tokens) as gateway:
        assert (await refused(gateway, stream))[0] == 401
        headers = {"Authorization": f"Bearer {issuer.token()}"}
        assert (await refused(gateway, stream, additional_headers=headers))[0] == 403
        headers = {"Authorization": f"Bearer {issuer.token(replay=True)}"}
        async with bot(gateway, stream, additional_headers=headers) as client:
            assert (await client.receive())["e"] == "kline"


async def test_what_cannot_be_read_is_waited_for(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "archive.db").write_bytes(b"no database" * 1000)
    async with (
        up(redis_server, tmp_path / "archive.db") as gateway,
        bot(gateway, of(0, stream=f"/ws/{NAME}@kline_1m")) as client,
    ):
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["result"] == [f"{NAME}@kline_1m"]
        failures = gateway.inside.stores.certain
        assert failures is not None
        await until(lambda: failures.failures >= 2, "another try")


async def test_a_url_of_many_streams_is_not_too_long(redis_server: EmbeddedServer, path: Path) -> None:
    names = "/".join(f"some{number}usdt@kline_1m" for number in range(600))
    stream = f"/stream?streams={names}/{NAME}@kline_1m"
    async with (
        up(redis_server, path, replay={"max_channels": 1024}) as gateway,
        bot(gateway, of(MINUTES - 2, stream=stream)) as client,
    ):
        async with asyncio.timeout(WAIT_S):
            message = json.loads(await client.connection.recv())
        assert message["stream"] == f"{NAME}@kline_1m"
