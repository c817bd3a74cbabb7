"""Requests answered while they are parsed, over raw sockets: order, what has to wait, and clients that do not read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gateway.http.at_once import Answered
from gateway.http.unread import UnreadAnswers
from tests.integration.wire.conftest import Deferred, serving
from tests.integration.wire.raw_client import WAIT_S, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"


class Kept:
    """Answers `/kept?n` with n bytes, unless n is 0; notes whom it has answered."""

    def __init__(self) -> None:
        self.unread = UnreadAnswers()
        self.asked: list[tuple[bytes, tuple[bytes, ...]]] = []

    def serves(self, path: bytes) -> bool:
        return path == b"/kept"

    def answer(
        self, path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]], peer: tuple[str, int] | None
    ) -> Answered | None:
        self.asked.append((query, tuple(name for name, _ in headers)))
        size = int(query or 1)
        if not size:
            return None
        lines = b"content-length: %d\r\nx-kept: yes\r\n" % size
        return Answered(b"HTTP/1.1 200 OK\r\n", lines, b"k" * size, peer[0] if peer else "")


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture(params=[None, Deferred()], ids=["at once", "deferred"])
def kept_port(request: pytest.FixtureRequest, kept: Kept) -> Iterator[int]:
    with serving(at_once=kept, turns=request.param, head_s=0.5, exchange_s=2.0) as port:
        yield port


@pytest.fixture
def patient_port(kept: Kept) -> Iterator[int]:
    with serving(at_once=kept) as port:
        yield port


def bodies(wire: Wire, *sizes: int) -> list[bytes]:
    """The bodies of the next answers, each checked for its length."""
    found = []
    for size in sizes:
        head = wire.answer()
        assert b"content-length: %d" % size in head.lower(), head
        found.append(wire.read(size))
    return found


def test_an_answer_has_a_date_and_the_connection_goes_on(kept_port: int, kept: Kept) -> None:
    with Wire(kept_port) as wire:
        for _ in range(3):
            wire.send(GET % b"/kept?5")
            head = wire.answer()
            assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: "), head
            assert head.endswith(b"content-length: 5\r\nx-kept: yes")
            assert wire.read(5) == b"kkkkk"
    assert kept.asked == [(b"5", (b"host",))] * 3


def test_requests_of_one_read_are_answered_in_their_order(kept_port: int) -> None:
    with Wire(kept_port) as wire:
        wire.send(b"".join(GET % target for target in (b"/kept?3", b"/?4", b"/kept?2", b"/kept?0", b"/kept?7")))
        # Behind one that the application answers the others wait for it, and then it is their turn.
        assert bodies(wire, 3, 4, 2, 0, 7) == [b"kkk", b"xxxx", b"xx", b"", b"xxxxxxx"]
        wire.send(GET % b"/kept?2")
        assert bodies(wire, 2) == [b"kk"]


def test_bytes_may_come_one_by_one(kept_port: int) -> None:
    with Wire(kept_port) as wire:
        wire.send((GET % b"/kept?3") * 2, chop=1)
        assert bodies(wire, 3, 3) == [b"kkk", b"kkk"]


@pytest.mark.parametrize(
    "request_head",
    [
        pytest.param(b"HEAD /kept?3 HTTP/1.1\r\nHost: x\r\n\r\n", id="another method"),
        pytest.param(b"GET /kept?3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", id="the last request"),
        pytest.param(b"GET /kept?3 HTTP/1.0\r\n\r\n", id="HTTP/1.0"),
        pytest.param(b"GET /kept?3#4 HTTP/1.1\r\nHost: x\r\n\r\n", id="a fragment"),
        pytest.param(b"GET /other?3 HTTP/1.1\r\nHost: x\r\n\r\n", id="another path"),
        pytest.param(b"GET /kep%74?3 HTTP/1.1\r\nHost: x\r\n\r\n", id="an escaped path"),
    ],
)
def test_other_requests_reach_the_application(kept_port: int, kept: Kept, request_head: bytes) -> None:
    with Wire(kept_port) as wire:
        wire.send(request_head)
        assert b"x-kept" not in wire.answer()
    assert kept.asked == []


def test_a_client_that_does_not_read_is_counted_until_it_does(patient_port: int, kept: Kept) -> None:
    size = 8_000_000
    with Wire(patient_port, receive_buffer=65_536) as wire:
        wire.send(GET % b"/kept?%d" % size)
        wait_until(kept, size)
        # What it asks now has to wait: for the application, since the connection is busy.
        wire.send(GET % b"/kept?4")
        assert bodies(wire, size, 4) == [b"k" * size, b"xxxx"]
        wait_until(kept, 0)
        wire.send(GET % b"/kept?4")
        assert bodies(wire, 4) == [b"kkkk"]


def test_a_client_that_leaves_is_counted_no_longer(kept_port: int, kept: Kept) -> None:
    with Wire(kept_port, receive_buffer=4096) as wire:
        wire.send(GET % b"/kept?8000000")
        wait_until(kept, 8_000_000)
    wait_until(kept, 0)


def test_limits_hold_after_an_answer(kept_port: int) -> None:
    with Wire(kept_port) as wire:
        wire.send(GET % b"/kept?1")
        assert bodies(wire, 1) == [b"k"]
        wire.send(b"GET /kept?1 HTTP/1.1\r\n")
        assert wire.answer().startswith(b"HTTP/1.1 408 "), "half a head is waited for as long as the first one"
        assert wire.rest() == b""


def test_an_answer_that_is_not_read_ends_in_time(kept_port: int) -> None:
    with Wire(kept_port, receive_buffer=4096) as wire:
        wire.send(GET % b"/kept?8000000")
        assert wire.cut()


def test_a_large_head_is_refused(kept_port: int, kept: Kept) -> None:
    with Wire(kept_port) as wire:
        wire.send(b"GET /kept?1 HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n")
        assert wire.answer().startswith(b"HTTP/1.1 431 ")
    assert kept.asked == []


def wait_until(kept: Kept, size: int) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while kept.unread.total_bytes != size:
        assert time.monotonic() < deadline_s, kept.unread.total_bytes
        time.sleep(0.005)
