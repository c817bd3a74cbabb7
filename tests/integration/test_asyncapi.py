"""Holds `/v1/asyncapi.json` against a running gateway: every frame of a varied session is one it describes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.request
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import jsonschema
import websockets
from websockets.typing import Subprotocol

from gateway.app import serve
from gateway.config import load_config
from simulator.exchange import Activity
from simulator.server import EmbeddedServer
from simulator.simulate import Simulation, make_collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from websockets.asyncio.client import ClientConnection

REPLIES = {"list": "listed", "set": "settings"}
"""Messages whose name is not their `op`."""

WAIT_S = 20.0


def name_of(message: Any) -> str:
    """The document's name of a message of the gateway's."""
    if isinstance(message, list):
        return "compactUpdate"
    op: str = message["op"]
    return REPLIES.get(op, op)


class Observed:
    """A client that checks each frame against the document as it comes, and keeps it by message."""

    def __init__(self, document: dict[str, Any], connection: ClientConnection) -> None:
        components = document["components"]
        self._validators = {
            name: jsonschema.Draft7Validator(
                {"$ref": f"#/components/messages/{name}/payload", "components": components}
            )
            for name in components["messages"]
        }
        self._connection = connection
        self.seen: dict[str, list[Any]] = defaultdict(list)

    async def send(self, command: object) -> None:
        await self._connection.send(command if isinstance(command, str) else json.dumps(command))

    async def until(self, name: str, holds: Callable[[Any], bool] = lambda message: True) -> Any:
        """The next message of that name for which it holds."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message: Any = json.loads(await self._connection.recv())
                received = name_of(message)
                self._validators[received].validate(message)
                self.seen[received].append(message)
                if received == name and holds(message):
                    return message


@asynccontextmanager
async def running(**stream: Any) -> AsyncIterator[tuple[str, EmbeddedServer]]:
    """A gateway fed by a lively market of two pairs with bars of one second; its address, and its Redis."""
    intervals = ("1s", "1m")
    async with EmbeddedServer() as redis:
        config = load_config(
            None,
            {},
            {
                "server": {"port": 0, "shutdown_s": 1},
                "redis": {"url": redis.url, "watchdog_s": 1.0, "retry_s": [0.1]},
                "market": {"intervals": intervals, "unknown_after_s": 0.0},
                "stream": stream,
            },
        )
        simulation = Simulation(("BTCUSDT", "ETHUSDT"), intervals, Activity(rate=20, forming_s=0.2))
        collector = make_collector(simulation, config.redis)
        collecting = asyncio.create_task(collector.run())
        await collector.seeded.wait()
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(config, on_ready=address.set_result))
        try:
            yield await address, redis
        finally:
            for task in (serving, collecting):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        assert answer.headers["content-type"].startswith("application/json")
        return json.load(answer)


async def test_every_frame_of_a_varied_session_is_described() -> None:
    # The server hands the signal at the end on when it is done with it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    async with running(heartbeat_s=0.3) as (address, redis):
        document = await asyncio.to_thread(fetch, f"{address}/v1/asyncapi.json")
        url = address.replace("http", "ws", 1) + document["channels"]["stream"]["address"]
        async with websockets.connect(url) as connection:
            client = Observed(document, connection)
            await client.until("hello")
            await client.until("heartbeat")

            channels = [
                "kline:BTCUSDT:1s",
                "kline:ETHUSDT:1m",
                "ticker:BTCUSDT",
                "ticker:NONE",
                "kline:BTCUSDT:2m",
                "x",
            ]
            await client.send({"op": "subscribe", "id": 1, "channels": channels, "history": 5})
            subscribed = await client.until("subscribed")
            errors = {
                name: found["error"]["code"] for name, found in subscribed["channels"].items() if "error" in found
            }
            assert errors == {
                "ticker:NONE": "INVALID_SYMBOL",
                "kline:BTCUSDT:2m": "INVALID_INTERVAL",
                "x": "INVALID_CHANNEL",
            }
            for _ in range(3):
                await client.until("snapshot")
            assert [len(found["klines"]) for found in client.seen["snapshot"] if "klines" in found] == [5, 5]

            def closes(message: dict[str, Any]) -> bool:
                return any(news.get("isClosed") for _, news in message["u"])

            def differs(message: dict[str, Any]) -> bool:
                return any("close" in news and "openTime" not in news for _, news in message["u"])

            bar = next(news for _, news in (await client.until("update", closes))["u"] if news.get("isClosed"))
            await client.until("update", differs)

            await client.send({"op": "set", "event_times": True})
            assert (await client.until("settings"))["event_times"] is True
            await client.until(
                "update", lambda message: differs(message) and all("E" in news for _, news in message["u"])
            )

            resume = {"kline:BTCUSDT:1s": bar["openTime"]}
            await client.send({"op": "subscribe", "id": "again", "channels": list(resume), "resume": resume})
            assert (await client.until("snapshot"))["recovered"] is True

            await client.send({"op": "list", "id": 2})
            assert len((await client.until("listed"))["channels"]) == 3
            await client.send(
                {"op": "set", "id": 3, "max_rate": 5, "closed_only": False, "max_bytes_per_min": 50_000_000}
            )
            assert (await client.until("settings"))["max_rate"] == 5
            await client.send({"op": "set", "max_rate": None})
            assert (await client.until("settings"))["max_rate"] is None
            await client.send({"op": "ping", "id": "p"})
            assert (await client.until("pong"))["id"] == "p"

            for wrong, code in {
                "{": "BAD_JSON",
                "[]": "BAD_REQUEST",
                '{"op":"dance"}': "UNKNOWN_OP",
                '{"op":"subscribe","channels":[]}': "BAD_REQUEST",
            }.items():
                await client.send(wrong)
                assert (await client.until("error"))["code"] == code

            await asyncio.to_thread(redis.stop)
            stale = await client.until("status")
            assert set(stale["channels"].values()) == {"stale"}
            assert "since" in stale
            await asyncio.to_thread(redis.start)
            await client.until("status", lambda message: set(message["channels"].values()) == {"live"})

            await client.send({"op": "unsubscribe", "id": 4, "channels": channels[:1]})
            assert (await client.until("unsubscribed"))["channels"] == channels[:1]

            os.kill(os.getpid(), signal.SIGTERM)
            await client.until("shutdown")

            # Only a client that is slow, or a gateway under load, is told so, and only one with a token that it holds:
            # see the tests of those.
            described = {
                ref["$ref"].rpartition("/")[2]
                for operation in document["operations"].values()
                for ref in (operation if operation["action"] == "send" else operation["reply"])["messages"]
            }
            assert described - set(client.seen) <= {"throttle", "compactUpdate", "authenticated", "replayEnd"}


async def test_every_frame_of_the_compact_variant_is_described() -> None:
    async with running() as (address, _):
        document = await asyncio.to_thread(fetch, f"{address}/v1/asyncapi.json")
        url = address.replace("http", "ws", 1) + document["channels"]["stream"]["address"]
        async with websockets.connect(url, subprotocols=[Subprotocol("kline.v1.compact")]) as connection:
            client = Observed(document, connection)
            await client.send({"op": "subscribe", "channels": ["kline:BTCUSDT:1s", "ticker:BTCUSDT"]})
            await client.until("snapshot")

            def has(length: int) -> Callable[[Any], bool]:
                return lambda message: any(isinstance(news, list) and len(news) == length for news in message[2::2])

            await client.until("compactUpdate", has(9))
            await client.until("compactUpdate", has(7))
            await client.until("compactUpdate", lambda message: any(isinstance(news, float) for news in message[2::2]))
            await client.send({"op": "set", "event_times": True})
            assert (await client.until("settings"))["event_times"] is True
            for length in (2, 8, 10):
                await client.until("compactUpdate", has(length))
            # What a schema cannot say: numbers of channels and their news take turns.
            for message in client.seen["compactUpdate"]:
                assert len(message) % 2 == 1
                assert {type(n) for n in message[1::2]} == {int}
            assert "update" not in client.seen
