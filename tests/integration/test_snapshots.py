"""Snapshots of many series: one at a time for each client, as fast as it reads, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.model.interval import INTERVALS
from loadtest.protocol.websocket import handshake
from simulator.encode import kline_member
from tests.builders import T0, kline
from tests.fakes import Folder
from tests.integration.live import WAIT_S, client, make_config, serving, until
from tests.integration.raw import peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
