"""Which connections are closed, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.access.connection import IDLE_CHECK_S, ConnectionAccess, ConnectionLimits
from gateway.access.grants import Grant
from gateway.access.reaper import ConnectionReaper
from gateway.config import LimitsConfig
from gateway.delivery.close_codes import Close

if TYPE_CHECKING:
    from collections.abc import Callable

WALL_S = 5000.0


class Socket:
    def __init__(self) -> None:
        self.closed: list[Close] = []

    def close(self, reason: Close) -> None:
        self.closed.append(reason)


class Connections:
    def __init__(self) -> None:
        self.wall_s = WALL_S
        self.revoked: set[str] | None = None
        self.scarce = False
        self.reaper = ConnectionReaper(self._revocations, lambda: self.scarce, lambda: self.wall_s)
        self.limits = ConnectionLimits(LimitsConfig(first_subscribe_s=30), auth_within_s=10)

    def _revocations(self) -> Callable[[Grant], bool] | None:
        revoked, self.revoked = self.revoked, None
        return None if revoked is None else lambda grant: grant.id in revoked

    def open(
        self, grant: Grant | None = None, *, open: bool = True, may_idle: bool = False
    ) -> tuple[ConnectionAccess, Socket]:
        connection = ConnectionAccess("a", self.limits, 0.0, open=open, may_idle=may_idle)
        socket = Socket()
        connection.socket = socket
        if grant is not None:
            connection.set_grant(grant, 0)
        self.reaper.add(connection, 0.0)
        return connection, socket

    def close_overdue(self, now_s: float) -> None:
        self.wall_s = WALL_S + now_s
        self.reaper.close_overdue(now_s)


def test_a_connection_that_may_be_idle_stays_until_its_place_is_needed() -> None:
    connections = Connections()
    _, idle = connections.open(may_idle=True)
    subscriber, busy = connections.open(may_idle=True)
    subscriber.subscribed = True
    for now_s in (30, 300, 3000):
        connections.close_overdue(now_s)
        assert idle.closed == []
    connections.scarce = True
    connections.close_overdue(3000 + IDLE_CHECK_S)
    assert (idle.closed, busy.closed) == ([Close.NO_SUBSCRIPTION], [])


def test_a_connection_that_may_be_idle_has_its_time_even_where_places_are_few() -> None:
    connections = Connections()
    _, idle = connections.open(may_idle=True)
    connections.scarce = True
    connections.close_overdue(29)
    assert idle.closed == []
    connections.close_overdue(30)
    assert idle.closed == [Close.NO_SUBSCRIPTION]


def test_each_connection_is_closed_at_its_deadline_and_counted() -> None:
    connections = Connections()
    _, silent = connections.open()
    _, unauthorized = connections.open(open=False)
    subscriber, busy = connections.open()
    subscriber.subscribed = True
    connection, expiring = connections.open(Grant("jwt:ann", WALL_S + 60))
    connection.subscribed = True
    for now_s, gone in ((9.9, []), (10, [unauthorized]), (29, [unauthorized]), (30, [unauthorized, silent])):
        connections.close_overdue(now_s)
        assert [socket for socket in (unauthorized, silent, busy, expiring) if socket.closed] == gone
    connections.close_overdue(60)
    assert (unauthorized.closed, silent.closed, busy.closed, expiring.closed) == (
        [Close.UNAUTHORIZED],
        [Close.NO_SUBSCRIPTION],
        [],
        [Close.TOKEN_EXPIRED],
    )
    connections.close_overdue(10_000)
    assert busy.closed == []


def test_another_token_before_the_deadline_extends_it() -> None:
    connections = Connections()
    connection, socket = connections.open(Grant("jwt:ann", WALL_S + 60))
    connection.subscribed = True
    connection.set_grant(Grant("jwt:ann", WALL_S + 120), 0)
    connections.reaper.add(connection, 50.0)
    connections.close_overdue(60)
    assert socket.closed == []
    connections.close_overdue(120)
    assert socket.closed == [Close.TOKEN_EXPIRED]


def test_a_clock_set_back_does_not_expire_a_token_early() -> None:
    connections = Connections()
    connection, socket = connections.open(Grant("jwt:ann", WALL_S + 60))
    connection.subscribed = True
    connections.wall_s = WALL_S
    connections.reaper.close_overdue(60)
    assert socket.closed == []
    connections.close_overdue(120)
    assert socket.closed == [Close.TOKEN_EXPIRED]


def test_a_released_connection_is_not_closed() -> None:
    connections = Connections()
    connection, socket = connections.open(Grant("jwt:ann", WALL_S + 60, id="t1"))
    connection.released = True
    connections.reaper.remove(connection)
    connections.close_overdue(100)
    connections.revoked = {"t1"}
    connections.reaper.close_revoked()
    assert socket.closed == []


def test_a_revoked_token_closes_its_connections_only() -> None:
    connections = Connections()
    _, first = connections.open(Grant("jwt:ann", WALL_S + 60, id="t1"))
    _, second = connections.open(Grant("jwt:ann", WALL_S + 60, id="t2"))
    connections.reaper.close_revoked()
    connections.revoked = {"t1"}
    connections.reaper.close_revoked()
    assert (first.closed, second.closed) == ([Close.UNAUTHORIZED], [])
