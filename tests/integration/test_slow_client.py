"""A client that stops reading, among others who do not: they notice nothing, it costs little, and it loses nothing."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from loadtest.protocol.websocket import handshake
from tests.builders import MINUTE_MS, T0
from tests.fakes import Folder
from tests.integration.live import BARS, WAIT_S, client, make_config, serving, until
from tests.integration.raw import Peer, peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.delivery.session import Session
    from simulator.server import EmbeddedServer
    from tests.integration.live import Client, Publisher, Serving

SYMBOLS = [f"SYM{number:02}USDT" for number in range(40)]
PRICES = [f"ticker:{symbol}" for symbol in SYMBOLS]
BUDGET_BYTES = 4096
OTHERS = 20


class Feed:
    """Prices that count up, all symbols at once, and a bar that closes with every tenth of them."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._stopping = False
        self.price = 0
        self.closed = 0

    async def run(self) -> None:
        for self.price in itertools.count(1):
            await asyncio.gather(*(self._publisher.ticker(str(self.price), symbol) for symbol in SYMBOLS))
            if self.price % 10 == 0:
                self.closed += 1
                await self._publisher.closed(self.closed)
            if self._stopping:
                return
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        self._stopping = True


@asynccontextmanager
async def feeding(publisher: Publisher) -> AsyncIterator[Feed]:
    feed = Feed(publisher)
    running = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        feed.stop()
        await running


@asynccontextmanager
async def up(redis_server: EmbeddedServer, publisher: Publisher, slow_abort_s: float) -> AsyncIterator[Serving]:
    for symbol in SYMBOLS:
        await publisher.ticker("0.5", symbol)
    await publisher.closed(0)
    small = dict.fromkeys(("budget_bytes", "send_buffer_bytes", "unsent_bytes"), BUDGET_BYTES)
    stream = {"slow_abort_s": slow_abort_s, **small}
    async with serving(make_config(redis_server, stream=stream)) as found:
        yield found


def newest(folder: Folder) -> set[str]:
    return {(folder.views[name].ticker or {"c": ""})["c"] for name in PRICES}


async def fold(someone: Peer, folder: Folder, enough: Callable[[], bool] = lambda: False) -> None:
    """Read frame by frame, until it is enough."""
    while not enough():
        async with asyncio.timeout(WAIT_S):
            frame = await someone.frame()
        folder.read(frame)


def only_session(serving: Serving, but: set[Session]) -> Session:
    (session,) = serving.inside.hub.sessions - but
    return session


async def test_others_go_on_and_the_stalled_one_gets_the_newest_and_every_closed_kline(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    async with up(redis_server, publisher, slow_abort_s=60) as gateway, AsyncExitStack() as stack:
        others: list[Client] = [await stack.enter_async_context(client(gateway)) for _ in range(OTHERS)]
        for other in others:
            await other.subscribe(BARS, *PRICES)
        known = set(gateway.inside.hub.sessions)
        folder = Folder()
        stalled = await stack.enter_async_context(peer(gateway.port, handshake("x", "/v1/stream"), receive_buffer=4096))
        stalled.command(op="subscribe", channels=[BARS, *PRICES], id=1)
        session = only_session(gateway, known)
        await until(lambda: session.subscription_set.ns, "the subscription")
        async with feeding(publisher) as feed:
            # From here on it reads nothing.
            await until(session.sink.busy, "the stall")
            await until(lambda: session.pace.tier == 4, "the slowest tier")
            held = 0
            received = [len(other.said("update")) for other in others]

            def gone_on() -> bool:
                nonlocal held
                held = max(held, session.sink.transport.get_write_buffer_size())  # type: ignore[attr-defined]
                return feed.closed >= 5 and all(
                    len(other.said("update")) > before + 10 for other, before in zip(others, received, strict=True)
                )

            await until(gone_on, "the others to be served")
            assert session.sink.busy()
        # One flush, whatever the market did meanwhile, and no replies or notices beside it.
        assert held <= 2 * BUDGET_BYTES
        assert session.control == []
        assert len(session.pending) <= 1 + len(SYMBOLS)
        for other in others:
            await other.until(lambda other=other: newest(other.folder) == {str(feed.price)})  # type: ignore[misc]

        last = T0 + feed.closed * MINUTE_MS
        await fold(
            stalled,
            folder,
            lambda: (
                len(folder.views) > len(PRICES)
                and newest(folder) == {str(feed.price)}
                and folder.views[BARS].cursor == last
            ),
        )
        opens = [(kline.open_time - T0) // MINUTE_MS for kline in folder.views[BARS].closed]
        assert opens == list(range(1, feed.closed + 1))
        # It was told that it is served more slowly.
        assert folder.throttled_ms is not None
        assert folder.throttled_ms > 20
        assert gateway.inside.counters.missed_flushes > 0


async def test_who_reads_nothing_for_too_long_is_cut_off_and_can_resume(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    async with up(redis_server, publisher, slow_abort_s=0.5) as gateway, feeding(publisher) as feed:
        folder = Folder()
        async with peer(gateway.port, handshake("x", "/v1/stream"), receive_buffer=4096) as stalled:
            stalled.command(op="subscribe", channels=[BARS, *PRICES], id=1)
            await until(lambda: gateway.inside.hub.sessions, "the session")
            await until(lambda: not gateway.inside.hub.sessions, "its end")
            assert await gateway.metric('gateway_disconnects_total{code="4000"}') == 1
            # What had left the gateway by then may still be read; then the connection is gone.
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await fold(stalled, folder)
        had = folder.views[BARS].cursor if BARS in folder.views else None
        async with client(gateway, folder) as back:
            await back.subscribe(BARS, history=500, **({"resume": {BARS: had}} if had is not None else {}))
            await back.until(lambda: len(folder.views[BARS].closed) >= feed.closed)
            opens = [(kline.open_time - T0) // MINUTE_MS for kline in folder.views[BARS].closed]
            assert opens == list(range(opens[0], opens[-1] + 1))


async def test_a_client_that_talks_and_does_not_read_is_not_listened_to(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    async with (
        up(redis_server, publisher, slow_abort_s=60) as gateway,
        peer(gateway.port, handshake("x", "/v1/stream"), receive_buffer=4096) as chatty,
    ):
        (session,) = gateway.inside.hub.sessions

        async def talk() -> None:
            for number in itertools.count():
                chatty.command(op="subscribe", channels=PRICES, id=number)
                await chatty.writer.drain()

        talking = asyncio.create_task(talk())
        # Its commands end up waiting on its own side.
        await until(lambda: session.commands_paused, "the pause")
        talking.cancel()
        await asyncio.sleep(0.2)
        waiting = sum(map(len, session.control))
        await asyncio.sleep(0.2)
        assert sum(map(len, session.control)) == waiting < 1_000_000
        # Whoever reads again is listened to again.
        reading = asyncio.create_task(fold(chatty, Folder()))
        await until(lambda: not session.commands_paused or reading.done(), "the end of the pause")
        assert not reading.done(), reading.exception()
        reading.cancel()
        await asyncio.gather(talking, reading, return_exceptions=True)
