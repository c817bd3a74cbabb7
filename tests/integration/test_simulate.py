"""The simulated collector against a real server: the contract holds, in quiet times and through outages."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.archive.sqlite import SqliteArchive
from gateway.archive.upkeep import missing
from gateway.config import RedisConfig
from gateway.feed.decode import decode_kline, decode_stored_kline, decode_stored_ticker
from gateway.model.interval import INTERVALS
from gateway.model.kline import KlineUpdate
from gateway.runtime.archiving import plain
from simulator import collector as collector_module
from simulator.exchange import Activity
from simulator.past import Job
from simulator.server import EmbeddedServer
from simulator.simulate import COLLECTED, Simulation, make_collector, run_demo, run_simulate, wall_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from simulator.collector import Collector

BOUNDARY = 1_732_309_200_000  # a full hour, when bars of all lengths close
SYMBOLS = ("BTCUSDT", "1000SATSUSDT")
INTERVAL_NAMES = ("1s", "1m", "5m")
SIMULATION = Simulation(symbols=SYMBOLS, intervals=INTERVAL_NAMES, activity=Activity(rate=10.0, forming_s=0.2))
KLINE_FIELDS = {"t", "T", "s", "i", "o", "c", "h", "l", "v", "n", "x", "q"}
TICKER_FIELDS = {"s", "c", "o", "h", "l", "v", "q", "p", "P", "n"}
SERIES = [(symbol, interval) for symbol in SYMBOLS for interval in INTERVAL_NAMES]


def settings(server: EmbeddedServer) -> RedisConfig:
    return RedisConfig(url=server.url, connect_timeout_s=1.0, command_timeout_s=1.0, retry_s=(0.05,))


def connect(url: str) -> Any:
    """A client; its replies are data to look at, so its types are not of interest."""
    return Redis.from_url(url)


def clock_before(boundary_ms: int, lead_ms: int) -> Callable[[], int]:
    """A clock that strikes the boundary soon after the test began."""
    offset_ms = boundary_ms - lead_ms - wall_ms()
    return lambda: wall_ms() + offset_ms


@asynccontextmanager
async def collecting(
    server: EmbeddedServer, simulation: Simulation = SIMULATION, *, lead_ms: int = 1_500, seeded: bool = True
) -> AsyncIterator[Collector]:
    now_ms = clock_before(BOUNDARY, lead_ms)
    collector = make_collector(simulation, settings(server), now_ms=now_ms)
    running = asyncio.create_task(collector.run())
    try:
        if seeded:
            await collector.seeded.wait()
        yield collector
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.02)


class PubSubFeed:
    """Everything published, in order; of each closed kline whether it could be read when its news arrived."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.unreadable: list[str] = []

    async def listen(self, url: str) -> None:
        async with connect(url) as link, link.pubsub() as pubsub:
            await pubsub.psubscribe("*")
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    channel, event = message["channel"].decode(), json.loads(message["data"])
                    self.received.append((channel, event))
                    if event["e"] == "kline" and event["k"]["x"]:
                        try:
                            found = await link.zrangebyscore(channel, event["k"]["T"], event["k"]["T"])
                        except RedisConnectionError:
                            # A test has all connections killed: the next one is made by itself.
                            found = await link.zrangebyscore(channel, event["k"]["T"], event["k"]["T"])
                        if [json.loads(member) for member in found] != [event["k"]]:
                            self.unreadable.append(channel)

    def klines(self, *, closed: bool) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for channel, event in self.received:
            if event["e"] == "kline" and event["k"]["x"] == closed:
                found[channel].append(event["k"])
        return found


@asynccontextmanager
async def listening(server: EmbeddedServer) -> AsyncIterator[PubSubFeed]:
    listener = PubSubFeed()
    task = asyncio.create_task(listener.listen(server.url))
    async with connect(server.url) as link:

        async def subscribed() -> bool:
            return bool(await link.pubsub_numpat())

        await until(subscribed)
    try:
        yield listener
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def stored(link: Any, symbol: str, interval: str) -> list[dict[str, Any]]:
    """The series, checked against the contract."""
    key = f"klines:{symbol}:{interval}"
    rows = await link.zrange(key, 0, -1, withscores=True)
    klines = [json.loads(member) for member, _ in rows]
    assert len(rows) == 500
    window = INTERVALS[interval]
    for kline, (_, score) in zip(klines, rows, strict=True):
        assert set(kline) == KLINE_FIELDS
        assert (kline["s"], kline["i"], kline["x"]) == (symbol, interval, True)
        assert kline["T"] == score == window.close_time(kline["t"])
    for before, kline in pairwise(klines):
        assert kline["t"] == before["T"] + 1, f"{key}: a hole, or a kline twice"
    assert 86_300 < await link.ttl(key) <= 86_400
    assert int(await link.get(f"lastClosed:{symbol}:{interval}")) == klines[-1]["T"]
    return klines


def assert_reported_in_order(listener: PubSubFeed) -> None:
    """Per channel: a closed kline once, before anything of the next bar and after everything of its own."""
    newest: dict[str, tuple[int, bool]] = {}
    for channel, event in listener.received:
        if event["e"] == "kline":
            now = (event["k"]["t"], event["k"]["x"])
            before = newest.get(channel, (0, False))
            assert now >= before, channel
            assert not (before[1] and now[0] == before[0]), f"{channel}: news of a closed bar"
            newest[channel] = now


async def test_the_contract_holds_across_a_close() -> None:
    async with EmbeddedServer() as server, connect(server.url) as link, listening(server) as listener:
        async with collecting(server) as collector:
            assert {len(await stored(link, *series)) for series in SERIES} == {500}
            await until(lambda: len(listener.klines(closed=True)["klines:1000SATSUSDT:5m"]) == 1)
            await until(lambda: len(listener.klines(closed=True)["klines:BTCUSDT:1s"]) >= 3)
            assert collector.progress.connected
            keys = {key.decode() for key in await link.keys()}
        expected = {f"{kind}:{s}:{i}" for kind in ("klines", "lastClosed") for s, i in SERIES}
        expected |= {name for s in SYMBOLS for name in (f"ticker:{s}", f"ticker:{s}:lastUpdate")}
        assert keys == expected
        series = {f"klines:{s}:{i}": await stored(link, s, i) for s, i in SERIES}
        closed = listener.klines(closed=True)
        assert {channel for channel, event in listener.received if event["e"] == "kline"} == set(series)
        for channel, reported in closed.items():
            assert reported == series[channel][-len(reported) :], "everything told is stored, nothing is stored untold"
        assert closed["klines:BTCUSDT:5m"][0]["T"] == BOUNDARY - 1
        assert listener.unreadable == []
        assert_reported_in_order(listener)
        for s in SYMBOLS:
            assert 50 < await link.ttl(f"ticker:{s}") <= 60
            ticker = json.loads(await link.get(f"ticker:{s}"))
            updated_ms = int(await link.get(f"ticker:{s}:lastUpdate"))
            reported = [event for channel, event in listener.received if channel == f"ticker:{s}"]
            assert len(reported) >= 15
            assert set(ticker) == TICKER_FIELDS
            assert reported[-1] == {"e": "24hrTicker", "E": updated_ms, **ticker}
            assert [event["E"] for event in reported] == sorted(event["E"] for event in reported)


async def test_the_gateway_decodes_every_message() -> None:
    async with EmbeddedServer() as server, listening(server) as listener:
        async with collecting(server, Simulation(SYMBOLS, INTERVAL_NAMES, Activity(rate=10.0), extended=True)):
            await until(lambda: bool(listener.klines(closed=True)["klines:BTCUSDT:5m"]))
        for channel, event in listener.received:
            _, symbol, *interval = channel.split(":")
            payload = json.dumps(event).encode()
            if interval:
                update = decode_kline(payload, symbol, interval[0], 0)
                assert isinstance(update, KlineUpdate)
                kline = update.kline
                assert (kline.open, kline.volume, kline.taker_volume) == (
                    event["k"]["o"], event["k"]["v"], event["k"]["V"],
                )  # fmt: skip
            else:
                assert decode_stored_ticker(payload, symbol, 0).last == event["c"]


async def test_a_frozen_server_loses_no_closed_kline_and_repeats_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # So rarely that every round trip has closed klines in it, the one that fails too: the server carries it out later.
    monkeypatch.setattr(collector_module, "_INTERVAL_S", 1.0)
    async with EmbeddedServer() as server, connect(server.url) as link, listening(server) as listener:
        async with collecting(server, lead_ms=1_500) as collector:
            await until(lambda: bool(listener.received))
            server.freeze()
            await until(lambda: collector.progress.outages == 1)
            await until(lambda: collector.progress.waiting >= 8)
            server.thaw()
            await until(lambda: collector.progress.connected and collector.progress.waiting == 0)
            closed = collector.progress.closed
            await until(lambda: collector.progress.closed > closed)
        for symbol, interval in SERIES:
            klines = await stored(link, symbol, interval)
            assert klines[-1]["T"] >= BOUNDARY - 1
            reported = listener.klines(closed=True)[f"klines:{symbol}:{interval}"]
            assert reported == klines[-len(reported) :], "each once, none left out"
        assert_reported_in_order(listener)


async def test_a_server_that_lost_its_data_gets_all_of_it_again() -> None:
    async with EmbeddedServer() as server:
        async with collecting(server, lead_ms=1_500) as collector, connect(server.url) as link:
            await until(lambda: collector.progress.closed >= 2)
            before = await stored(link, "BTCUSDT", "1s")
            server.kill()
            await until(lambda: not collector.progress.connected)
            await asyncio.sleep(1.0)
            await server.start_async()
            await until(lambda: collector.progress.connected)
            closed = collector.progress.closed
            await until(lambda: collector.progress.closed > closed)
        async with connect(server.url) as link:
            for symbol, interval in SERIES:
                assert (await stored(link, symbol, interval))[-1]["T"] >= BOUNDARY - 1
            after = await stored(link, "BTCUSDT", "1s")
        lasting = [kline for kline in before if kline["t"] >= after[0]["t"]]
        assert after[: len(lasting)] == lasting, "the same history as before"


async def test_a_lost_connection_is_made_again() -> None:
    async with EmbeddedServer() as server, connect(server.url) as link, listening(server) as listener:
        async with collecting(server) as collector:
            await link.client_kill_filter(_type="normal", skipme=True)
            await until(lambda: collector.progress.outages == 1 and collector.progress.connected)
            await until(lambda: bool(listener.klines(closed=True)["klines:BTCUSDT:5m"]))
        for series in SERIES:
            await stored(link, *series)
        assert_reported_in_order(listener)


async def test_a_collector_may_start_before_its_server() -> None:
    server = EmbeddedServer()
    try:
        async with collecting(server, seeded=False) as collector:
            await until(lambda: collector.progress.outages == 1)
            assert not collector.seeded.is_set()
            await server.start_async()
            await until(collector.seeded.is_set)
    finally:
        server.stop()


async def test_a_collector_that_never_publishes_writes_the_same_keys() -> None:
    async with EmbeddedServer() as server, connect(server.url) as link, listening(server) as listener:
        simulation = Simulation(SYMBOLS, INTERVAL_NAMES, Activity(rate=10.0), publish=False)
        async with collecting(server, simulation) as collector:
            await until(lambda: collector.progress.closed >= 6)
        for series in SERIES:
            await stored(link, *series)
        assert await link.exists("ticker:BTCUSDT")
        assert listener.received == []


async def test_series_do_not_expire_between_two_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_module, "_RENEW_S", 0.1)
    async with EmbeddedServer() as server, connect(server.url) as link, collecting(server, lead_ms=100_000):
        await link.expire("klines:BTCUSDT:5m", 10)

        async def alive() -> bool:
            return bool(await link.ttl("klines:BTCUSDT:5m") > 86_000)

        await until(alive)


async def test_a_second_start_replaces_the_data_of_the_first() -> None:
    async with EmbeddedServer() as server, connect(server.url) as link:
        async with collecting(server, lead_ms=3_600_000):
            pass
        async with collecting(server, lead_ms=30_000):
            for series in SERIES:
                await stored(link, *series)


async def test_simulate_prints_progress_and_ends_when_cancelled() -> None:
    lines: list[str] = []
    async with EmbeddedServer() as server:
        task = asyncio.create_task(run_simulate(SIMULATION, settings(server), print_line=lines.append))
        await until(lambda: "history of 2/2 symbols stored" in lines)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert lines[0] == f"simulating into {server.url}"


async def test_a_collector_ends_whenever_it_is_cancelled() -> None:
    simulation = Simulation(("BTCUSDT",), ("1h",), Activity(rate=50.0))
    async with EmbeddedServer() as server:
        for steps in range(40):
            task = asyncio.create_task(make_collector(simulation, settings(server)).run())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=2)
            assert task.cancelled(), f"not after {steps} steps of the loop"


def server_pids() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


async def test_a_demo_serves_a_market_with_a_past_and_leaves_nothing() -> None:
    seen: list[Path] = []

    async def serve(url: str, path: str) -> None:
        seen.append(Path(path))
        archive = SqliteArchive(Path(path))
        async with connect(url) as link:
            members = await link.zrange("klines:BTCUSDT:1m", 0, -1)
            assert len(members) == 500
            updated = await link.get("ticker:BTCUSDT:lastUpdate")

            async def moves() -> bool:
                return bool(await link.get("ticker:BTCUSDT:lastUpdate") != updated)

            await until(moves)
        klines = [plain(kline) for member in members if (kline := decode_stored_kline(member, "BTCUSDT", "1m"))]

        async def has_days() -> bool:
            coverage = await archive.coverage()
            found = [coverage.get((symbol, "1m")) for symbol in SYMBOLS]
            return all(part is not None and part.klines > 3 * 1440 for part in found)

        try:
            await until(has_days, within_s=30)
            for (_, name), part in (await archive.coverage()).items():
                assert missing(name, part) == 0
            assert await archive.read("BTCUSDT", "1m", 500, klines[0].open_time_ms) == klines
        finally:
            await archive.aclose()

    before = server_pids()
    # As the command: archives keep what an exchange says of takers, too.
    simulation = replace(SIMULATION, intervals=COLLECTED, extended=True)
    await run_demo(serve, simulation, RedisConfig(), print_line=lambda line: None)
    assert server_pids() == before
    assert not seen[0].parent.exists()


async def test_a_demo_that_is_cancelled_while_its_past_is_made_leaves_nothing() -> None:
    serving: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(_url: str, path: str) -> None:
        serving.set_result(path)
        await asyncio.Event().wait()

    before = server_pids()
    task = asyncio.create_task(run_demo(serve, SIMULATION, RedisConfig(), print_line=lambda line: None))
    async with asyncio.timeout(10):
        path = Path(await serving)
    assert server_pids() != before
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server_pids() == before
    assert not path.parent.exists()


def test_the_past_is_not_made_any_longer_when_its_process_is_killed(tmp_path: Path) -> None:
    job = Job(str(tmp_path / "archive.db"), 50, COLLECTED, 1, BOUNDARY)
    code = f"from simulator.past import *\nwith filling({job!r}):\n    print('filling', flush=True)\n    input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (child,) = psutil.Process(process.pid).children()
        process.kill()
    assert psutil.wait_procs([child], timeout=10)[0] == [child]


async def test_a_failing_demo_raises_and_leaves_no_process() -> None:
    async def serve(_url: str, _path: str) -> None:
        raise RuntimeError("no port left")

    before = server_pids()
    with pytest.raises(ExceptionGroup) as caught:
        await run_demo(serve, SIMULATION, RedisConfig(), print_line=lambda line: None)
    assert caught.group_contains(RuntimeError, match="no port left")
    assert server_pids() == before


async def test_a_hundred_symbols_are_stored_and_published() -> None:
    simulation = Simulation(symbols=100, intervals=("1h",), activity=Activity(rate=2.0))
    async with (
        EmbeddedServer() as server,
        connect(server.url) as link,
        collecting(server, simulation, lead_ms=30_000) as collector,
    ):
        await until(lambda: collector.progress.messages > 500)
        assert await link.dbsize() == 100 * 4
