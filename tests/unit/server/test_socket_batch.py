"""Many sockets in one pass; each fake writes into a socket of its own, whose other end the test reads."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest

from gateway.server.socket_batch import SocketBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.server.client_socket import ClientSocket


@dataclass
class FakeMeter:
    """Of a client behind a proxy."""

    watched: bool = False

    def is_watched(self, now_s: float) -> bool:
        return self.watched


class FakeTls:
    """Numbers what it encrypts: no two results are the same."""

    def __init__(self) -> None:
        self._count = 0
        self._ready = b""

    def encrypt_into(self, data: bytes) -> int:
        self._count += 1
        self._ready += b"%d:%b" % (self._count, data)
        return len(data)

    def encrypted(self) -> bytes:
        ready, self._ready = self._ready, b""
        return ready


class FakeClientSocket:
    """What the batch knows of a `ClientSocket`."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self.descriptor = self._ours.fileno()
        self.waiting = 0
        self.ends = False
        self.takes = True
        self.unsent = 0
        self.meter: FakeMeter | None = None
        self.tls: FakeTls | None = None
        self.sent: list[bytes] = []
        self.late = False
        self.asked = 0
        self.offered: list[bytes] = []
        self.kept: list[tuple[bytes, int]] = []

    def buffered(self) -> int:
        return self.waiting

    def ending(self) -> bool:
        return self.ends

    def offer(self, frames: bytes) -> bool:
        self.offered.append(frames)
        return self.takes

    def send(self, frames: bytes) -> bool:
        self.sent.append(frames)
        return self.takes

    def keep(self, frames: bytes, sent: int) -> None:
        self.kept.append((frames, sent))

    def unsent_bytes(self) -> int:
        return self.unsent

    def lags(self, now_s: float) -> bool:
        self.asked += 1
        return self.late

    def received(self) -> bytes:
        """What the other end has got since the last call."""
        try:
            return self._theirs.recv(1 << 20)
        except BlockingIOError:
            return b""

    def fill(self) -> None:
        """Until the kernel takes no more."""
        try:
            while True:
                self._ours.send(b"x" * 65536)
        except BlockingIOError:
            pass

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


@pytest.fixture
def sockets() -> Iterator[list[FakeClientSocket]]:
    sockets = [FakeClientSocket() for _ in range(6)]
    yield sockets
    for each in sockets:
        each.close()


def batch_of(sockets: Sequence[FakeClientSocket]) -> SocketBatch:
    return SocketBatch(cast("Sequence[ClientSocket]", sockets))


@pytest.mark.parametrize("places", [[0], [2, 3, 4], [0, 2, 5], range(6)])
def test_each_frame_goes_to_the_socket_at_its_place(sockets: list[FakeClientSocket], places: Sequence[int]) -> None:
    frames = [b"frame %d" % place for place in places]
    assert batch_of(sockets).offer(places, frames) == []
    expected = [b"frame %d" % place if place in places else b"" for place in range(6)]
    assert [each.received() for each in sockets] == expected
    assert not any(each.offered for each in sockets)


@pytest.mark.parametrize("attribute", ["waiting", "ends"])
def test_a_socket_that_is_not_free_is_asked_itself_and_so_are_the_others(
    sockets: list[FakeClientSocket], attribute: str
) -> None:
    setattr(sockets[3], attribute, True)
    sockets[3].takes = False
    assert batch_of(sockets).offer([1, 3, 5], [b"a", b"b", b"c"]) == [1], "indexes of frames, not places"
    assert [each.offered for each in sockets] == [[], [b"a"], [], [b"b"], [], [b"c"]]


def test_a_socket_that_is_not_free_matters_only_if_it_is_written_to(sockets: list[FakeClientSocket]) -> None:
    sockets[2].waiting = 10
    assert batch_of(sockets).offer([1, 3], [b"a", b"b"]) == []
    assert (sockets[1].received(), sockets[3].received()) == (b"a", b"b")


def test_each_socket_gets_what_its_own_tls_made_of_its_frame(sockets: list[FakeClientSocket]) -> None:
    for each in sockets:
        each.tls = FakeTls()
    batch = batch_of(sockets)
    assert batch.offer([0, 2, 5], [b"a", b"b", b"c"]) == []
    assert batch.offer([2], [b"d"]) == []
    assert [each.received() for each in sockets] == [b"1:a", b"", b"1:b2:d", b"", b"", b"1:c"]


@pytest.mark.parametrize("takes", [True, False])
def test_from_the_first_write_that_fails_on_the_same_bytes_are_sent_singly(
    sockets: list[FakeClientSocket], *, takes: bool
) -> None:
    for each in sockets:
        each.tls = FakeTls()
    sockets[2].fill()
    sockets[2].takes = takes
    assert batch_of(sockets).offer([0, 2, 4], [b"a", b"b", b"c"]) == ([] if takes else [1])
    assert sockets[0].received() == b"1:a"
    # Encrypted once: a record that is left out or sent twice breaks the connection.
    assert (sockets[2].sent, sockets[4].sent) == ([b"1:b"], [b"1:c"])


def test_what_the_kernel_does_not_take_of_a_frame_is_kept(sockets: list[FakeClientSocket]) -> None:
    long = b"x" * (1 << 24)
    assert batch_of(sockets).offer([1, 4], [long, b"b"]) == []
    ((frames, sent),) = sockets[1].kept
    assert frames is long
    assert 0 < sent < len(long)
    assert sockets[4].received() == b"b"
    assert not sockets[4].kept


def test_sockets_that_are_backed_up_are_found_by_their_place(sockets: list[FakeClientSocket]) -> None:
    for place in (0, 2, 4):
        sockets[place].unsent = 9000
    sockets[3].unsent = 100
    sockets[1].ends = True
    assert batch_of(sockets).backed_up(1, 5, 8192) == [2, 4]


async def test_clients_behind_a_proxy_are_backed_up_when_they_do_not_answer(sockets: list[FakeClientSocket]) -> None:
    for place in (1, 2, 4):
        sockets[place].meter = FakeMeter()
    sockets[2].late = sockets[3].late = sockets[4].late = True
    sockets[3].unsent = 9000
    for each in sockets:
        each.ends = True
    batch = batch_of(sockets)
    # The late one that is no proxy's is backed up by what its kernel holds.
    assert batch.backed_up(0, 6, 8192) == [2, 3, 4]
    assert [each.asked for each in sockets] == [0, 1, 1, 0, 1, 0]
    assert batch.backed_up(3, 4, 8192) == [3]
    assert batch.backed_up(0, 3, 8192) == [2]


async def test_clients_that_are_watched_are_asked_in_every_turn(sockets: list[FakeClientSocket]) -> None:
    meters = {place: FakeMeter() for place in (1, 4)}
    for place, meter in meters.items():
        sockets[place].meter = meter
    for each in sockets:
        each.ends = True
    batch = batch_of(sockets)
    meters[4].watched = True
    # All of them once.
    assert batch.backed_up(0, 1, 8192) == []
    assert (sockets[1].asked, sockets[4].asked) == (1, 1)
    sockets[4].late = True
    assert batch.backed_up(2, 3, 8192) == [4]
    assert (sockets[1].asked, sockets[4].asked) == (1, 2)
    meters[4].watched, meters[1].watched = False, True
    assert batch.backed_up(1, 2, 8192) == [4]
    assert batch.backed_up(0, 1, 8192) == []
    assert (sockets[1].asked, sockets[4].asked) == (3, 3)
