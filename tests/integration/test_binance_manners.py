"""Binance's streams for clients as they are: idle ones, long URLs and commands, binary frames."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.config.sections import DialectsConfig
from gateway.protocol.frame import BINARY, PING, TEXT
from gateway.server import http_protocol
from loadtest.protocol.websocket import handshake
from tests.integration.live import WAIT_S, make_config, serving, until
from tests.integration.raw import peer

if TYPE_CHECKING:
    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher, Serving

NAMES = [f"coin{n}usdt@kline_1m" for n in range(1024)]
"""Streams of symbols that have data."""


async def feed(publisher: Publisher, symbols: int) -> None:
    await publisher.closed(0)
    for n in range(symbols):
        await publisher.ticker("100", f"COIN{n}USDT")


async def reply(client: Any) -> Any:
    """The next reply; events before it are skipped."""
    async with asyncio.timeout(WAIT_S):
        while "id" not in (message := json.loads(await client.recv())):
            pass
    return message


def at(gateway: Serving, path: str) -> Any:
    return connect(gateway.address.replace("http", "ws") + path, proxy=None, compression=None)


async def test_an_idle_connection_is_kept_while_places_are_free(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await feed(publisher, 0)
    sections: dict[str, Any] = {"limits": {"first_subscribe_s": 0.2}, "stream": {"max_connections": 5}}
    async with (
        serving(make_config(redis_server, **sections)) as gateway,
        at(gateway, "/v1/stream") as native,
        at(gateway, "/ws") as idle,
        at(gateway, "/stream") as other,
    ):
        async with asyncio.timeout(WAIT_S):
            await native.wait_closed()
        assert native.close_code == 4003
        # Ten times as long as a client of the native protocol has.
        await asyncio.sleep(2)
        for client in (idle, other):
            await client.send('{"method":"SUBSCRIBE","params":["btcusdt@kline_1m"],"id":1}')
            assert await reply(client) == {"result": None, "id": 1}


async def test_idle_connections_leave_when_places_are_few(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await feed(publisher, 0)
    sections: dict[str, Any] = {"limits": {"first_subscribe_s": 0.2}, "stream": {"max_connections": 5}}
    async with serving(make_config(redis_server, **sections)) as gateway:
        clients = [await at(gateway, "/ws/btcusdt@kline_1m" if n else "/ws") for n in range(4)]
        async with asyncio.timeout(WAIT_S):
            await clients[0].wait_closed()
        assert [client.close_code for client in clients] == [4003, None, None, None]
        for client in clients:
            await client.close()


async def test_the_first_ping_comes_within_the_interval(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await feed(publisher, 0)
    async with serving(make_config(redis_server, stream={"ping_interval_s": 3})) as gateway:
        for _ in range(3):
            async with peer(gateway.port, handshake("x", "/ws")) as client:
                started_s = time.monotonic()
                async with asyncio.timeout(WAIT_S):
                    assert (await client.receive())[0] == PING
                assert time.monotonic() - started_s < 3 + 1


async def test_commands_in_binary_frames_are_executed(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await feed(publisher, 0)
    async with serving(make_config(redis_server)) as gateway, peer(gateway.port, handshake("x", "/ws")) as client:
        client.send(BINARY, b'{"method":"SUBSCRIBE","params":["btcusdt@kline_1m"],"id":7}')
        assert await client.receive() == (TEXT, b'{"result":null,"id":7}')
        client.send(BINARY, b"\xff\xfe")
        code = json.loads((await client.receive())[1])["error"]["code"]
        assert code == 3
        client.send(TEXT, b'{"method":"LIST_SUBSCRIPTIONS","id":8}')
        assert json.loads((await client.receive())[1])["result"] == ["btcusdt@kline_1m"]


async def test_a_command_may_name_a_thousand_streams(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await feed(publisher, 1024)
    async with serving(make_config(redis_server)) as gateway, at(gateway, "/ws") as client:
        await until(lambda: len(gateway.inside.market.symbols()) == 1025, "all symbols")
        for method in ("SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIBE"):
            await client.send(json.dumps({"method": method, "params": NAMES, "id": 1}))
            assert await reply(client) == {"result": None, "id": 1}
        await client.send('{"method":"LIST_SUBSCRIPTIONS","id":2}')
        assert sorted((await reply(client))["result"]) == sorted(NAMES)


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.varied
async def test_a_url_may_name_hundreds_of_streams(
    redis_server: EmbeddedServer, publisher: Publisher, escaped: bool
) -> None:
    await feed(publisher, 1024)
    names = "/".join(NAMES)
    path = "/stream?streams=" + (names.replace("@", "%40").replace("/", "%2F") if escaped else names)
    async with serving(make_config(redis_server)) as gateway:
        await until(lambda: len(gateway.inside.market.symbols()) == 1025, "all symbols")
        for url in (path, f"//ws/{names}"):
            async with at(gateway, url) as client:
                await client.send('{"method":"LIST_SUBSCRIPTIONS","id":2}')
                assert sorted((await reply(client))["result"]) == sorted(NAMES)


async def test_elsewhere_heads_and_messages_stay_small(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await feed(publisher, 0)
    async with serving(make_config(redis_server)) as gateway:
        for path in ("/v1/stream?x=", "/api/v3/klines?x=", "/v1/ws?x="):
            answer = await gateway.get(path + "y" * 9000)
            assert answer.status_code == 431
        with pytest.raises(InvalidStatus) as caught:
            async with at(gateway, "/stream?streams=" + "y" * DialectsConfig().binance_head_bytes):
                pass
        assert caught.value.response.status_code == 431
        for path, size in (("/v1/stream", 9000), ("/ws", DialectsConfig().binance_message_bytes + 1)):
            async with at(gateway, path) as client:
                await client.send("x" * size)
                async with asyncio.timeout(WAIT_S):
                    await client.wait_closed()
                assert client.close_code == 1009


async def test_unfinished_large_heads_are_few(
    redis_server: EmbeddedServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "LARGE_MAX", 2)
    await feed(publisher, 0)
    async with serving(make_config(redis_server)) as gateway:

        async def begin() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET /stream?streams=" + b"y" * 20_000)
            await writer.drain()
            return reader, writer

        first, second = await begin(), await begin()
        await asyncio.sleep(0.2)
        refused, writer = await begin()
        async with asyncio.timeout(WAIT_S):
            assert b" 431 " in await refused.readline()
        writer.close()
        first[1].close()
        await first[1].wait_closed()
        # The end of one makes room for another.
        async with at(gateway, "/stream?streams=btcusdt@kline_1m/" + "y" * 20_000) as client:
            await client.send('{"method":"LIST_SUBSCRIPTIONS","id":2}')
            assert (await reply(client))["result"] == ["btcusdt@kline_1m"]
        second[1].close()


async def test_names_that_nobody_serves_leave_no_channel(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await feed(publisher, 0)
    config = make_config(redis_server, market={"unknown_after_s": 1.5})
    async with serving(config) as gateway:
        # While symbols may still be new, any name may be one of them.
        names = [f"none{n}usdt@kline_1m" for n in range(50)] + ["none1usdt@ticker", "btcusdt@kline_1m"]
        async with at(gateway, "/ws") as client, at(gateway, "/ws/nonesuchusdt@ticker"):
            await client.send(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
            assert await reply(client) == {"result": None, "id": 1}
            assert await gateway.metric("gateway_channels") == 53

        def channels() -> list[str]:
            return [channel.name for channel in gateway.inside.hub.channels if channel.name]

        await until(lambda: channels() == ["btcusdt@kline_1m"], "the end of channels without data")
        assert await gateway.metric("gateway_channels") == 1
        async with at(gateway, "/ws/btcusdt@kline_1m") as client:
            await client.send('{"method":"LIST_SUBSCRIPTIONS","id":2}')
            assert (await reply(client))["result"] == ["btcusdt@kline_1m"]
