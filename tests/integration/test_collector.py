"""The collector against an exchange that misbehaves: what arrives in Redis is what the exchange has, to the digit.

Everything is real: a simulated market in one server, a gateway that speaks Binance's dialect, the exchange's faults in
front of it, a collection, and another server that it writes to, on which a subscriber reads along.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from collector.binance.exchange import Binance
from collector.budget import Rates
from collector.collection import Collection
from collector.contract import Contract
from collector.events import HISTORY_KLINES
from gateway.app import Gateway
from gateway.config import CollectConfig, Config, LimitsConfig, MarketConfig, RedisConfig
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis.contract import Topics
from gateway.redis.deployment import make_deployment
from loadtest.exchange_faults.exchange import FaultyExchange
from simulator.exchange import Activity
from simulator.server import EmbeddedServer
from simulator.simulate import Simulation, make_collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from loadtest.exchange_faults.faults import RestFault

SYMBOLS = ("BTCUSDT", "ETHUSDT")
INTERVALS = ("1s", "1m")
SETTINGS = CollectConfig(symbols=SYMBOLS, top=0, intervals=INTERVALS)
WAIT_S = 60.0
ROOM_MS = 60_000
"""Klines of the last minute are compared: what a fault of some seconds touches."""

pytestmark = [pytest.mark.early, pytest.mark.timeout(240)]


def link(server: EmbeddedServer) -> RedisConfig:
    return RedisConfig(url=server.url, retry_s=(0.1,))


@dataclass
class World:
    """A collection that runs, its exchange, and what was published."""

    exchange: FaultyExchange
    collection: Collection
    server: EmbeddedServer
    http: httpx.AsyncClient
    published: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    """Of each series: the klines that were published, in order."""

    def closed(self, symbol: str = "BTCUSDT") -> list[dict[str, Any]]:
        """The closed klines of a second that were published, in order."""
        return [kline for kline in self.published.get((symbol, "1s"), []) if kline["x"]]

    async def until(self, holds: Callable[[], object], what: str) -> None:
        await _until(holds, what)

    async def closes(self, count: int) -> None:
        """Wait until so many more klines of each symbol are closed."""
        wanted = {symbol: len(self.closed(symbol)) + count for symbol in SYMBOLS}
        await self.until(
            lambda: all(len(self.closed(symbol)) >= number for symbol, number in wanted.items()), f"{count} closes"
        )

    async def complete(self) -> None:
        """Wait until nothing is missing, and hold what arrived to what the exchange has."""
        await self.closes(3)
        await self.until(lambda: not self.collection.filler.missing, "nothing is missing")
        await self.until(lambda: not self.collection.writer.waiting_closed, "all is written")
        for symbol in SYMBOLS:
            await self._compare(symbol)

    async def _compare(self, symbol: str) -> None:
        async with Redis.from_url(self.server.url) as client:
            members: Any = await client.zrange(f"klines:{symbol}:1s", 0, -1)
        # Asked afterwards: what is stored has closed by then at the exchange too.
        answer = await self.http.get("/api/v3/klines", params={"symbol": symbol, "interval": "1s", "limit": 1000})
        rows = {row[0]: row for row in answer.json()}
        stored = [json.loads(text) for text in members]
        last_ms = stored[-1]["t"]
        since_ms = max(last_ms - ROOM_MS, min(rows))
        expected = [_digits_of_row(rows[at]) for at in range(since_ms, last_ms + 1, 1000)]
        # A kline that the exchange changed is stored twice: the newest counts.
        newest = {kline["t"]: kline for kline in stored if not kline.get("provisional")}
        assert [_digits(newest[at]) for at in range(since_ms, last_ms + 1, 1000)] == expected
        published = [kline for kline in self.closed(symbol) if not kline.get("provisional")]
        opened = [kline["t"] for kline in published]
        assert opened == list(range(opened[0], opened[-1] + 1, 1000)), "published once each and in order"
        assert [_digits(kline) for kline in published if since_ms <= kline["t"] <= last_ms] == [
            _digits_of_row(rows[at]) for at in opened if since_ms <= at <= last_ms
        ]
        self._forming_comes_after(symbol)

    def _forming_comes_after(self, symbol: str) -> None:
        closed_ms = 0
        for kline in self.published[symbol, "1s"]:
            if kline["x"]:
                closed_ms = max(closed_ms, kline["t"])
            elif closed_ms:
                assert kline["t"] == closed_ms + 1000, "a forming kline follows the closed one before it"


def _digits(kline: dict[str, Any]) -> list[Any]:
    return [kline[letter] for letter in ("t", "o", "h", "l", "c", "v", "T", "q", "n")]


def _digits_of_row(row: list[Any]) -> list[Any]:
    return row[:9]


async def _read_along(server: EmbeddedServer, published: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    while True:
        with suppress(RedisError):
            await _read_on(server, published)
        await asyncio.sleep(0.05)


async def _read_on(server: EmbeddedServer, published: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    async with Redis.from_url(server.url) as client, client.pubsub() as channels:
        await channels.psubscribe("klines:*")
        async for message in channels.listen():
            if message["type"] == "pmessage":
                kline = json.loads(message["data"])["k"]
                published.setdefault((kline["s"], kline["i"]), []).append(kline)


@asynccontextmanager
async def exchange() -> AsyncIterator[FaultyExchange]:
    """A simulated market, served in Binance's dialect, with faults that are off."""
    async with EmbeddedServer() as server, asyncio.TaskGroup() as tasks:
        simulation = Simulation(SYMBOLS, INTERVALS, Activity(rate=5.0, forming_s=0.25), extended=True)
        market = make_collector(simulation, link(server))
        collecting = tasks.create_task(market.run())
        await market.seeded.wait()
        config = Config(
            redis=link(server),
            market=MarketConfig(intervals=INTERVALS, unknown_after_s=0.0),
            limits=LimitsConfig(exempt=("127.0.0.0/8",)),
        )
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ready = asyncio.Event()
            serving = tasks.create_task(Gateway(config).run(listening, ready.set))
            await ready.wait()
            async with FaultyExchange(listening.getsockname()[1]) as found:
                yield found
            serving.cancel()
            collecting.cancel()


@asynccontextmanager
async def collecting(
    found: FaultyExchange, server: EmbeddedServer, settings: CollectConfig = SETTINGS
) -> AsyncIterator[Collection]:
    """A collection of the exchange into the server, which may use all of its limit."""
    deployment = make_deployment(link(server))
    contract = Contract(Topics(link(server), INTERVALS, DEFAULT_SYMBOL_PATTERN), extended=True)
    collection = Collection(
        Binance("binance", rest_url=found.rest_url, stream_url=found.stream_url, weight_share=1.0),
        deployment,
        contract,
        Rates(),
        settings,
        (0.1,),
    )
    running = asyncio.create_task(collection.run())
    try:
        yield collection
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await deployment.aclose()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A collection that has stored the history and follows the market."""
    async with exchange() as found, EmbeddedServer() as server:
        published: dict[tuple[str, str], list[dict[str, Any]]] = {}
        reading = asyncio.create_task(_read_along(server, published))
        address = f"http://{found._behind}"
        async with collecting(found, server) as collection, httpx.AsyncClient(base_url=address) as http:
            present = World(found, collection, server, http, published)
            await present.until(collection.stored.is_set, "the history is stored")
            await present.closes(2)
            yield present
        reading.cancel()


async def test_what_an_exchange_without_faults_has_arrives() -> None:
    async with world() as present:
        await present.complete()
        assert not present.exchange.counts.statuses.keys() & {418, 429}


async def test_closes_that_come_late_arrive_once_and_in_order() -> None:
    async with world() as present:
        present.exchange.faults.late_s = 1.3
        await present.closes(5)
        present.exchange.faults.late_s = 4.0
        await present.closes(5)
        present.exchange.faults.late_s = 0.0
        await present.complete()


@pytest.mark.long
async def test_closes_that_never_come_are_asked_for() -> None:
    async with world() as present:
        present.exchange.faults.loses_closes = True
        asked = present.collection.filler.asked
        await present.closes(5)
        present.exchange.faults.loses_closes = False
        await present.complete()
        assert present.collection.filler.asked > asked


@pytest.mark.long
async def test_messages_that_come_twice_or_are_garbage_change_nothing() -> None:
    async with world() as present:
        present.exchange.faults.doubles = present.exchange.faults.garbage = True
        await present.closes(5)
        await present.complete()
        assert present.collection.keeper.refused["from_the_future"] > 0
        assert present.collection.exchange.status().refused["bad_json"] > 0


@pytest.mark.long
async def test_a_connection_that_is_cut_is_opened_again_and_nothing_is_lost() -> None:
    async with world() as present:
        present.exchange.cut()
        await present.closes(2)
        present.exchange.cut()
        await present.complete()
        assert present.collection.exchange.status().lost == 2


@pytest.mark.long
async def test_a_connection_whose_end_is_announced_is_replaced_before_it() -> None:
    async with world() as present:
        connections = present.exchange.counts.connections
        present.exchange.shut_down(5.0)
        await present.until(lambda: present.exchange.counts.connections > connections, "a new connection")
        await present.closes(6)
        await present.complete()
        assert present.collection.exchange.status().lost == 0


async def test_a_frozen_connection_is_given_up_and_what_was_missed_is_asked_for() -> None:
    async with world() as present:
        connections = present.exchange.counts.connections
        present.exchange.faults.frozen = True
        await present.until(lambda: present.collection.exchange.status().lost, "the connection is given up")
        present.exchange.faults.frozen = False
        await present.until(lambda: present.exchange.counts.connections > connections, "a new connection")
        await present.complete()


async def test_streams_that_are_subscribed_and_silent_are_subscribed_again() -> None:
    async with world() as present:
        commands = present.exchange.counts.subscriptions
        present.exchange.deafen(["btcusdt@kline_1m"])
        await present.until(lambda: present.exchange.counts.subscriptions > commands, "a new subscription")
        seen = len(present.published["BTCUSDT", "1m"])
        await present.until(lambda: len(present.published["BTCUSDT", "1m"]) > seen, "it is heard again")


@pytest.mark.parametrize(
    "fault", ["part", *(pytest.param(fault, marks=pytest.mark.long) for fault in ("error", "garbage", "empty", "cut"))]
)
@pytest.mark.long
async def test_answers_that_fail_are_asked_for_again(fault: RestFault) -> None:
    async with world() as present:
        present.exchange.faults.loses_closes = True
        present.exchange.faults.rest = fault
        await asyncio.sleep(4)
        present.exchange.faults.loses_closes = False
        await asyncio.sleep(2)
        present.exchange.faults.rest = ""
        await present.complete()


@pytest.mark.long
async def test_an_exchange_that_asks_for_silence_gets_it() -> None:
    async with world() as present:
        present.exchange.ask_for_silence(5)
        present.exchange.faults.loses_closes = True
        await asyncio.sleep(4)
        present.exchange.faults.loses_closes = False
        await present.complete()
        assert present.exchange.counts.ignored_silence == 0
        assert 429 in present.exchange.counts.statuses
        assert 418 not in present.exchange.counts.statuses


@pytest.mark.long
async def test_questions_wait_for_the_next_minute_and_the_limit_is_never_passed() -> None:
    async with exchange() as found, EmbeddedServer() as server:
        # The listing alone costs 100.
        found.faults.weight_limit = 103
        async with collecting(found, server) as collection:
            deadline_s = time.monotonic() + 100
            while not collection.stored.is_set():
                assert time.monotonic() < deadline_s
                await asyncio.sleep(0.1)
        assert found.counts.peak_weight <= 103
        assert not found.counts.statuses.keys() & {418, 429}


async def _full(client: Redis, key: str) -> None:
    """Wait until a series has all that is kept of it. What the exchange itself had dropped by the time it was asked, a
    second or two, is made up by what closes then."""
    async with asyncio.timeout(30):
        while (size := await client.zcard(key)) < HISTORY_KLINES:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert size == HISTORY_KLINES


async def test_klines_that_redis_loses_are_loaded_anew() -> None:
    async with world() as present:
        present.server.kill()
        await present.until(lambda: present.collection.writer.counts.failures, "the writer sees it")
        await present.server.start_async()
        await present.until(present.collection.writer.connected.is_set, "it is written again")
        await present.closes(3)
        async with Redis.from_url(present.server.url) as client:
            await present.until(lambda: not present.collection.filler.missing, "nothing is missing")
            await asyncio.sleep(0.5)
            await _full(client, "klines:BTCUSDT:1s")


async def test_klines_that_somebody_deletes_between_two_writes_are_loaded_anew() -> None:
    async with world() as present, Redis.from_url(present.server.url) as client:
        await _full(client, "klines:BTCUSDT:1s")
        await client.flushall()
        await present.closes(3)
        await present.until(lambda: not present.collection.filler.missing, "nothing is missing")
        await _full(client, "klines:BTCUSDT:1s")
        assert await client.zcard("klines:BTCUSDT:1m") == HISTORY_KLINES


@pytest.mark.long
async def test_pairs_come_and_go_as_the_exchange_lists_them() -> None:
    settings = CollectConfig(symbols=(), top=5, intervals=INTERVALS, listing_s=0.5)
    async with exchange() as found, EmbeddedServer() as server, Redis.from_url(server.url) as client:
        found.faults.unlisted = frozenset(["ETHUSDT"])
        async with collecting(found, server, settings) as collection:
            await _until(collection.stored.is_set, "the first pair is stored")
            assert collection.symbols == ["BTCUSDT"]
            found.faults.unlisted = frozenset(["BTCUSDT"])
            await _until(lambda: collection.symbols == ["ETHUSDT"], "the other pair")
            await _until(lambda: not collection.keeper.not_started() and not collection.filler.missing, "its history")
            await _until(lambda: not collection.writer.waiting_closed, "it is written")
            await _full(client, "klines:ETHUSDT:1s")
            stored: Any = await client.get("lastClosed:ETHUSDT:1s")
            await asyncio.sleep(2.5)
            assert await client.get("lastClosed:ETHUSDT:1s") != stored
            # Nothing of the other one is streamed any more.
            stored = await client.get("lastClosed:BTCUSDT:1s")
            await asyncio.sleep(2.5)
            assert await client.get("lastClosed:BTCUSDT:1s") == stored


async def _until(holds: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {WAIT_S:g} s: {what}"
        await asyncio.sleep(0.05)
