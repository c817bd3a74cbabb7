"""A gateway with a lively market of bars closing each second, and a bot's view of Binance's stream dialect on it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from gateway.app import serve
from gateway.config import load_config
from simulator.exchange import Activity
from simulator.server import EmbeddedServer
from simulator.simulate import Simulation, make_collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

WAIT_S = 20.0
QUIET_S = 0.5
"""Many beats long, and many changes of a price."""

SYMBOLS = ("BTCUSDT", "ETHUSDT")
INTERVALS = ("1s", "1m")


class Client:
    """One connection; events are kept until somebody asks for them."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[Any] = []

    async def receive(self) -> Any:
        async with asyncio.timeout(WAIT_S):
            return json.loads(await self.connection.recv())

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The first message that is wanted; those before it are kept as events."""
        while True:
            message = await self.receive()
            if wanted(message):
                return message
            self.events.append(message)

    async def say(self, text: str) -> Any:
        """The reply; what came before it is kept as events."""
        await self.connection.send(text)
        return await self.until(is_reply)

    async def ask(self, method: str, *params: object, id: object = 1) -> Any:
        return await self.say(json.dumps({"method": method, "params": params, "id": id}))

    async def during(self, duration_s: float) -> list[Any]:
        """All that comes within a time."""
        found = []
        with suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                while True:
                    found.append(json.loads(await self.connection.recv()))
        return found


class Series:
    """What a bot may take for granted of the events of one kline stream."""

    def __init__(self) -> None:
        self.last: dict[str, Any] | None = None
        self.event_ms = 0
        self.closed: list[dict[str, Any]] = []
        self.states = 0

    def take(self, event: dict[str, Any]) -> None:
        k, last = event["k"], self.last
        assert event["E"] >= self.event_ms
        assert k["s"] == event["s"]
        assert Decimal(k["l"]) <= min(Decimal(k["o"]), Decimal(k["c"]))
        assert Decimal(k["h"]) >= max(Decimal(k["o"]), Decimal(k["c"]))
        if last is None or last["x"]:
            assert last is None or k["t"] == last["T"] + 1, "a bar is missing, or came again after its closing"
        else:
            assert (k["t"], k["T"], k["o"]) == (last["t"], last["T"], last["o"]), "another bar before this one closed"
            assert Decimal(k["h"]) >= Decimal(last["h"])
            assert Decimal(k["l"]) <= Decimal(last["l"])
            assert Decimal(k["v"]) >= Decimal(last["v"])
            assert k["n"] >= last["n"]
            assert k != last or event["E"] > self.event_ms, "no news"
        if k["x"]:
            self.closed.append(k)
        self.last, self.event_ms = k, event["E"]
        self.states += 1


def is_reply(message: Any) -> bool:
    return isinstance(message, dict) and "id" in message


async def ready(host: str) -> None:
    """Wait until the gateway is fed, and knows which symbols there are."""
    unknown = f"http://{host}/v1/klines?symbol=NONEUSDT&interval={INTERVALS[0]}"
    async with httpx.AsyncClient(timeout=WAIT_S) as http:
        for _ in range(int(WAIT_S / 0.05)):
            if (await http.get(f"http://{host}/v1/health/data")).status_code == 200:
                answer = (await http.get(unknown)).json()
                if answer.get("code") == "INVALID_SYMBOL":
                    return
            await asyncio.sleep(0.05)
    raise TimeoutError


@asynccontextmanager
async def running(*, extended: bool = False, **stream: Any) -> AsyncIterator[str]:
    """A gateway with a lively market; its `host:port`. `extended`: the collector tells all that Binance does."""
    async with EmbeddedServer() as redis:
        config = load_config(
            None,
            {},
            {
                "server": {"port": 0, "shutdown_s": 1},
                "redis": {"url": redis.url},
                "market": {"intervals": INTERVALS, "unknown_after_s": 0.0},
                "stream": stream,
            },
        )
        simulation = Simulation(SYMBOLS, INTERVALS, Activity(rate=20, forming_s=0.2), extended=extended)
        collector = make_collector(simulation, config.redis)
        collecting = asyncio.create_task(collector.run())
        await collector.seeded.wait()
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(config, on_ready=address.set_result))
        try:
            host = (await address).removeprefix("http://")
            await ready(host)
            yield host
        finally:
            for task in (serving, collecting):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


@asynccontextmanager
async def joined(host: str, path: str) -> AsyncIterator[Client]:
    async with connect(f"ws://{host}{path}") as connection:
        yield Client(connection)
