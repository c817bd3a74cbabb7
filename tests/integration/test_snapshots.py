"""Snapshots of many series: one at a time for each client, as fast as it reads, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from collector.encode import kline_member
from gateway.history.aggregating_store import AggregatingStore
from gateway.model.interval import INTERVALS
from loadtest.protocol.websocket import handshake
from tests.builders import MINUTE_MS, T0, kline
from tests.fakes import Folder
from tests.integration.live import BARS, SYMBOL, WAIT_S, client, make_config, serving, until
from tests.integration.raw import peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any

    from gateway.delivery.session import Session
    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher, Serving
    from tests.integration.raw import Peer

SYMBOLS = [f"SYM{number:02}USDT" for number in range(30)]
CHANNELS = [f"kline:{symbol}:1m" for symbol in SYMBOLS]
KLINES = 300
LARGEST_BYTES = 80_000
"""More than a snapshot of these klines has."""


@pytest.fixture
async def up(redis_server: EmbeddedServer, publisher: Publisher) -> AsyncIterator[Serving]:
    """A gateway that caches one symbol, so that nearly each snapshot is a read of the store."""
    klines = [kline(number, "100 110 90 105", closed=True) for number in range(KLINES)]
    for symbol in SYMBOLS:
        members = {kline_member(symbol, "1m", one): one.close_time_ms for one in klines}
        await publisher._redis.zadd(f"klines:{symbol}:1m", members)
    config = make_config(redis_server, stream={"slow_abort_s": 60.0}, history={"cache_symbols": 1})
    async with serving(config) as found:
        yield found


async def subscribed(someone: Peer, up: Serving, folder: Folder) -> Session:
    """Have it subscribe to everything and read no more than the reply."""
    (session,) = up.inside.hub.sessions
    someone.command(op="subscribe", channels=CHANNELS, history=KLINES, id=1)
    while b'"subscribed"' not in (frame := await someone.frame()):
        folder.read(frame)
    folder.read(frame)
    return session


async def read_snapshots(someone: Peer, folder: Folder) -> None:
    """Read until every channel has its snapshot."""
    async with asyncio.timeout(WAIT_S):
        while not all(folder.views[name].closed for name in CHANNELS):
            folder.read(await someone.frame())


def opens(folder: Folder, name: str) -> list[int]:
    return [(one.open_time - T0) // INTERVALS["1m"].length_ms for one in folder.views[name].closed]


async def test_no_more_than_one_waits_for_a_client_that_does_not_read(up: Serving) -> None:
    async with peer(up.port, handshake("x", "/v1/stream"), receive_buffer=4096) as someone:
        folder = Folder()
        session = await subscribed(someone, up, folder)
        await until(session.sink.busy, "the stall")
        due = len(session.snapshots_due)
        assert due > 20
        async with client(up) as other:
            # Others are served meanwhile.
            await other.subscribe(CHANNELS[-1], history=KLINES)
        assert session.sink.transport.get_write_buffer_size() < LARGEST_BYTES  # type: ignore[attr-defined]
        assert session.control == []
        assert len(session.snapshots_due) == due
        await read_snapshots(someone, folder)
        assert session.snapshots_due == {}
    for name in CHANNELS:
        assert opens(folder, name) == list(range(KLINES))


async def test_what_closes_before_its_snapshot_is_in_it_and_what_closes_after_it_follows(
    up: Serving, publisher: Publisher
) -> None:
    async with peer(up.port, handshake("x", "/v1/stream"), receive_buffer=4096) as someone:
        folder = Folder()
        session = await subscribed(someone, up, folder)
        await until(session.sink.busy, "the stall")
        closed = 0
        async with asyncio.timeout(WAIT_S):
            while not all(opens(folder, name)[-1:] == [KLINES + closed - 1] for name in CHANNELS):
                if closed < 10:
                    for symbol in SYMBOLS:
                        await publisher.closed(KLINES + closed, symbol=symbol)
                    closed += 1
                folder.read(await someone.frame())
        for name in CHANNELS:
            # A snapshot has the newest klines of its moment; each later one followed, once.
            first = opens(folder, name)[0]
            assert len(opens(folder, name)) >= KLINES
            assert opens(folder, name) == list(range(first, KLINES + closed))


async def test_those_that_the_store_cannot_give_now_come_when_it_can(
    redis_server: EmbeddedServer, up: Serving, publisher: Publisher
) -> None:
    async with peer(up.port, handshake("x", "/v1/stream"), receive_buffer=4096) as someone:
        folder = Folder()
        session = await subscribed(someone, up, folder)
        await until(session.sink.busy, "the stall")
        redis_server.freeze()
        reading = asyncio.create_task(read_snapshots(someone, folder))
        await until(lambda: not session.sink.busy(), "the end of the stall")
        assert session.snapshots_due
        redis_server.thaw()
        await reading
    assert all(len(folder.views[name].closed) == KLINES for name in CHANNELS)


async def test_unsubscribing_ends_what_is_still_due(up: Serving) -> None:
    async with peer(up.port, handshake("x", "/v1/stream"), receive_buffer=4096) as someone:
        folder = Folder()
        session = await subscribed(someone, up, folder)
        await until(session.sink.busy, "the stall")
        assert session.snapshots_due
        someone.command(op="unsubscribe", channels=CHANNELS, id=2)
        await until(lambda: not session.subscription_set.ns, "the command")
        assert session.snapshots_due == {}


async def test_a_client_that_leaves_while_it_reads_nothing_ends_what_is_due(
    up: Serving, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        async with peer(up.port, handshake("x", "/v1/stream"), receive_buffer=4096) as someone:
            session = await subscribed(someone, up, Folder())
            await until(session.sink.busy, "the stall")
            # Flushes find its socket full.
            await publisher.closed(KLINES, symbol=SYMBOLS[0])
            await until(lambda session=session: session.pace.stalled_since_s is not None, "a full socket")  # type: ignore[misc]
        await until(lambda: not up.inside.hub.sessions, "the end")
        await until(lambda: not up.inside.stream.sender._tasks, "the end of its snapshots")
    gc.collect()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_more_rows_than_the_limit_are_refused_with_the_id_of_the_command(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.closed(0)
    limits = {"history_rows_burst": 500, "history_rows_per_s": 0.001}
    async with serving(make_config(redis_server, limits=limits)) as up, client(up) as someone:
        assert (
            "n"
            in (await someone.ask("subscribe", channels=["kline:BTCUSDT:1m"], history=500))["channels"][
                "kline:BTCUSDT:1m"
            ]
        )
        refused = await someone.ask("subscribe", channels=["kline:BTCUSDT:1m"], history=500)
        assert refused["code"] == "RATE_LIMIT"


class TestKlinesThatCloseDuringTheRead:
    """More of them than memory keeps: between what was read and what is in memory there is a hole, for the moment."""

    KEPT = 4
    """Closed klines in memory."""
    STORED = 10
    """Closed klines at the start."""

    @pytest.fixture
    def during_reads(self, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Awaitable[None]]]:
        """What happens during the reads of the store to come, one a read, once the server has answered."""
        events: list[Callable[[], Awaitable[None]]] = []
        read = AggregatingStore.closed_klines

        async def closed_klines(self: AggregatingStore, *args: Any) -> Any:
            found = await read(self, *args)
            if events:
                await events.pop(0)()
            return found

        monkeypatch.setattr(AggregatingStore, "closed_klines", closed_klines)
        return events

    @pytest.fixture
    async def up(self, redis_server: EmbeddedServer, publisher: Publisher) -> AsyncIterator[Serving]:
        for number in range(self.STORED):
            await publisher.closed(number)
        stream = {"history_max": 100, "closed_log": self.KEPT}
        async with serving(make_config(redis_server, stream=stream)) as found:
            yield found

    def close_many(self, up: Serving, publisher: Publisher) -> Callable[[], Awaitable[None]]:
        async def close() -> None:
            log = up.inside.market.get_or_create(SYMBOL).series["1m"].closed
            assert log.last is not None
            first = (log.last.open_time_ms - T0) // MINUTE_MS + 1
            for number in range(first, first + 2 * self.KEPT):
                await publisher.closed(number)
            last_ms = T0 + (first + 2 * self.KEPT - 1) * MINUTE_MS
            await until(lambda: log.last and log.last.open_time_ms == last_ms, "the last close")

        return close

    @pytest.mark.parametrize("reads", [1, 2, 3])
    @pytest.mark.parametrize("how", [{"history": 100}, {"resume": {BARS: T0}}], ids=["history", "resume"])
    async def test_are_in_the_first_snapshot(
        self,
        up: Serving,
        publisher: Publisher,
        during_reads: list[Callable[[], Awaitable[None]]],
        how: dict[str, Any],
        reads: int,
    ) -> None:
        during_reads += [self.close_many(up, publisher)] * reads
        async with client(up) as someone:
            await someone.subscribe(BARS, **how)
            (snapshot,) = someone.said("snapshot")
        assert not during_reads
        assert "resync" not in snapshot
        assert snapshot.get("recovered", True) is True
        first, end = 1 if "resume" in how else 0, self.STORED + 2 * self.KEPT * reads
        sent = [(int(one["openTime"]) - T0) // MINUTE_MS for one in snapshot["klines"]]
        assert sent == list(range(first, end))

    async def test_are_waited_for_though_another_snapshot_is_asked_for_meanwhile(
        self, up: Serving, publisher: Publisher, during_reads: list[Callable[[], Awaitable[None]]]
    ) -> None:
        other = "kline:ETHUSDT:1m"
        for number in range(self.STORED):
            await publisher.closed(number, symbol="ETHUSDT")
        during_reads += [self.close_many(up, publisher)] * 2
        async with client(up) as someone:
            await someone.ask("subscribe", channels=[BARS], history=100)
            for _ in range(3):
                await someone.ask("subscribe", channels=[other], history=100)
            await someone.until(lambda: BARS in {one["channel"] for one in someone.said("snapshot")})
            snapshot = next(one for one in someone.said("snapshot") if one["channel"] == BARS)
        sent = [(int(one["openTime"]) - T0) // MINUTE_MS for one in snapshot["klines"]]
        assert sent == list(range(self.STORED + 4 * self.KEPT))
