"""Who has to go, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.access.connection import Allowances, ConnectionAccess
from gateway.access.grants import Grant
from gateway.access.reaper import ConnectionReaper
from gateway.config import LimitsConfig
from gateway.delivery.close_codes import Close
from gateway.ops.counters import Counters

if TYPE_CHECKING:
    from collections.abc import Callable

WALL_S = 5000.0


class Socket:
    def __init__(self) -> None:
        self.closed: list[Close] = []

    def close(self, reason: Close) -> None:
        self.closed.append(reason)


class Stage:
    def __init__(self) -> None:
        self.counters = Counters()
        self.wall_s = WALL_S
        self.revoked: set[str] | None = None
        self.watch = ConnectionReaper(self.counters, self._revocations, lambda: self.wall_s)
        self.allowances = Allowances(LimitsConfig(first_subscribe_s=30), auth_within_s=10)

    def _revocations(self) -> Callable[[Grant], bool] | None:
        revoked, self.revoked = self.revoked, None
        return None if revoked is None else lambda grant: grant.id in revoked

    def enter(self, grant: Grant | None = None, *, open: bool = True) -> tuple[ConnectionAccess, Socket]:
        visitor, socket = ConnectionAccess("a", self.allowances, 0.0, open=open), Socket()
        visitor.socket = socket
        if grant is not None:
            visitor.show(grant, 0)
        self.watch.add(visitor, 0.0)
        return visitor, socket

    def sweep(self, now_s: float) -> None:
        self.wall_s = WALL_S + now_s
        self.watch.sweep(now_s)


def test_each_goes_at_his_time_and_it_is_counted() -> None:
    stage = Stage()
    _, silent = stage.enter()
    _, stranger = stage.enter(open=False)
    subscriber, busy = stage.enter()
    subscriber.subscribed = True
    guest, expiring = stage.enter(Grant("jwt:ann", WALL_S + 60))
    guest.subscribed = True
    for now_s, gone in ((9.9, []), (10, [stranger]), (29, [stranger]), (30, [stranger, silent])):
        stage.sweep(now_s)
        assert [socket for socket in (stranger, silent, busy, expiring) if socket.closed] == gone
    stage.sweep(60)
    assert (stranger.closed, silent.closed, busy.closed, expiring.closed) == (
        [Close.UNAUTHORIZED],
        [Close.NO_SUBSCRIPTION],
        [],
        [Close.TOKEN_EXPIRED],
    )
    assert dict(stage.counters.disconnects) == {4003: 1, 4004: 1, 4005: 1}
    stage.sweep(10_000)
    assert busy.closed == []


def test_another_token_in_time_lets_it_stay() -> None:
    stage = Stage()
    guest, socket = stage.enter(Grant("jwt:ann", WALL_S + 60))
    guest.subscribed = True
    guest.show(Grant("jwt:ann", WALL_S + 120), 0)
    stage.watch.add(guest, 50.0)
    stage.sweep(60)
    assert socket.closed == []
    stage.sweep(120)
    assert socket.closed == [Close.TOKEN_EXPIRED]


def test_a_clock_that_was_set_back_does_not_end_a_token_early() -> None:
    stage = Stage()
    guest, socket = stage.enter(Grant("jwt:ann", WALL_S + 60))
    guest.subscribed = True
    stage.wall_s = WALL_S
    stage.watch.sweep(60)
    assert socket.closed == []
    stage.sweep(120)
    assert socket.closed == [Close.TOKEN_EXPIRED]


def test_who_has_left_is_left_alone() -> None:
    stage = Stage()
    visitor, socket = stage.enter(Grant("jwt:ann", WALL_S + 60, id="t1"))
    visitor.gone = True
    stage.watch.forget(visitor)
    stage.sweep(100)
    stage.revoked = {"t1"}
    stage.watch.revoke()
    assert socket.closed == []


def test_a_revoked_token_ends_its_connections_and_no_others() -> None:
    stage = Stage()
    _, first = stage.enter(Grant("jwt:ann", WALL_S + 60, id="t1"))
    _, second = stage.enter(Grant("jwt:ann", WALL_S + 60, id="t2"))
    stage.watch.revoke()
    stage.revoked = {"t1"}
    stage.watch.revoke()
    assert (first.closed, second.closed) == ([Close.UNAUTHORIZED], [])
