from __future__ import annotations

import itertools

import msgspec
import pytest

from gateway.config import Config
from gateway.delivery.close_codes import Close
from gateway.delivery.session import Session
from gateway.protocol.frame import KEEPALIVE
from gateway.runtime.keepalive import END_JITTER, Keepalive
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import STYLE
from tests.unit.runtime.rig import Stop


class Connections:
    def __init__(self, count: int, **stream: float) -> None:
        self.now_s = 0.0
        self.end_s = 0.0
        self.sockets = [FakeSocket() for _ in range(count)]
        for id, socket in enumerate(self.sockets):
            socket.id = id
        self.pings: dict[float, int] = {}
        self.ends: list[float] = []
        self.pause_s = 0.0
        config = msgspec.structs.replace(Config().stream, **{"ping_interval_s": 20.0, "ping_timeout_s": 60.0, **stream})
        sessions = [Session(socket, STYLE) for socket in self.sockets]
        self.keepalive = Keepalive(config, sessions, lambda: self.now_s, self._sleep)

    async def run(self, seconds: float) -> None:
        self.end_s = seconds
        with pytest.raises(Stop):
            await self.keepalive.run()

    async def _sleep(self, seconds: float) -> None:
        pinged = sum(KEEPALIVE in socket.written for socket in self.sockets)
        for socket in self.sockets:
            socket.written.clear()
        ended = sum(socket.closing for socket in self.sockets)
        self.ends += [self.now_s] * (ended - len(self.ends))
        if pinged:
            self.pings[round(self.now_s, 3)] = pinged
        self.now_s += seconds + self.pause_s
        self.pause_s = 0.0
        if self.now_s > self.end_s:
            raise Stop


async def test_every_client_is_pinged_once_an_interval_a_share_each_second() -> None:
    connections = Connections(100)
    for socket in connections.sockets:
        socket.last_message_s = 1e9
    await connections.run(41)
    assert sum(connections.pings.values()) == pytest.approx(200, abs=10)
    assert max(connections.pings.values()) <= 6


async def test_a_single_client_is_not_pinged_more_often_than_asked() -> None:
    connections = Connections(1)
    connections.sockets[0].last_message_s = 1e9
    await connections.run(65)
    assert len(connections.pings) == 3


@pytest.mark.parametrize("interval_s", [20.0, 2.5, 1.0, 0.4])
async def test_the_first_ping_comes_within_the_interval_whenever_a_client_connects(interval_s: float) -> None:
    for id in range(25):
        connections = Connections(1, ping_interval_s=interval_s)
        (socket,) = connections.sockets
        socket.id, socket.last_message_s = id, 1e9
        await connections.run(4 * interval_s)
        times = list(connections.pings)
        assert times[0] <= interval_s + 0.001
        steps = [after - before for before, after in itertools.pairwise(times)]
        assert steps == pytest.approx([interval_s] * len(steps), abs=0.01)
        assert len(steps) >= 2


async def test_after_a_pause_of_the_process_each_client_is_pinged_once() -> None:
    connections = Connections(40)
    for socket in connections.sockets:
        socket.last_message_s = 1e9
    connections.pause_s = 3600.0
    await connections.run(3600.0 + 21)
    assert sum(connections.pings.values()) <= 50


async def test_a_client_that_sends_nothing_for_long_is_closed() -> None:
    connections = Connections(2)
    connections.sockets[1].last_message_s = 1e9
    await connections.run(130)
    assert [socket.closed_for for socket in connections.sockets] == [Close.NO_PONG, None]


async def test_a_closing_connection_is_left_alone() -> None:
    connections = Connections(1)
    connections.sockets[0].closing = True
    await connections.run(100)
    assert connections.pings == {}
    assert connections.sockets[0].closed_for is None


async def test_connections_end_near_their_age_and_not_all_at_once() -> None:
    connections = Connections(50, max_age_s=1000.0)
    for socket in connections.sockets:
        socket.last_message_s = 1e9
    await connections.run(1100)
    assert len(connections.ends) == 50
    assert min(connections.ends) >= 1000 * (1 - END_JITTER)
    assert max(connections.ends) - min(connections.ends) > 20


async def test_new_limits_hold_from_the_next_check_on() -> None:
    connections = Connections(1)
    connections.keepalive.configure(
        msgspec.structs.replace(Config().stream, ping_interval_s=20.0, ping_timeout_s=1000.0)
    )
    await connections.run(500)
    assert connections.sockets[0].closed_for is None
