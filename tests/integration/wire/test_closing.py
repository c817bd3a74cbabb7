"""RFC 6455 sections 5.5.1 and 7 over raw sockets: close frames, their codes, and data after them."""

from __future__ import annotations

import pytest

from loadtest.protocol.websocket import CLOSE, PING, TEXT
from tests.integration.wire.raw_client import MAX_BYTES, Wire, closed, closing, exchange, framed, text

VALID = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
INVALID = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)


@pytest.mark.parametrize("code", VALID)
def test_an_allowed_close_code_is_echoed(port: int, code: int) -> None:
    assert exchange(port, closing(code, b"bye"), bye=False) == [closed(code)]


@pytest.mark.parametrize("code", INVALID)
def test_a_forbidden_close_code_ends_with_1002(port: int, code: int) -> None:
    assert exchange(port, closing(code), bye=False) == [closed(1002)]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        pytest.param(b"", 1005, id="no payload"),
        pytest.param(b"\x03", 1002, id="half a code"),
        pytest.param(b"\x03\xe8", 1000, id="no reason"),
        pytest.param(b"\x03\xe8" + b"*" * 123, 1000, id="longest reason"),
        pytest.param(b"\x03\xe8" + b"*" * 124, 1002, id="a reason too long"),
        pytest.param(b"\x03\xe8" + "☃".encode() * 41, 1000, id="a reason in UTF-8"),
        pytest.param(b"\x03\xe8\xce\xba\xe1\xbd", 1007, id="a reason that breaks off"),
    ],
)
@pytest.mark.parametrize("chop", [0, 1])
def test_payloads_of_a_close_frame(port: int, payload: bytes, code: int, chop: int) -> None:
    assert exchange(port, framed(CLOSE, payload), chop=chop, bye=False) == [closed(code)]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(text(b"late"), id="a text"),
        pytest.param(framed(PING, b"late"), id="a ping"),
        pytest.param(closing(1001), id="another goodbye"),
        pytest.param(b"\xff" * 100, id="garbage"),
        pytest.param(text(b"x" * MAX_BYTES), id="a large text"),
    ],
)
def test_data_after_a_close_frame_is_ignored(port: int, after: bytes) -> None:
    assert exchange(port, text(b"before") + closing(1000) + after, bye=False) == [(TEXT, b"before"), closed(1000)]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(text(b"x" * 300)[:200], id="half a frame"),
        pytest.param(text(b"x", final=False), id="half a message"),
    ],
)
def test_a_half_closed_connection_is_closed(port: int, sent: bytes) -> None:
    with Wire(port) as wire:
        wire.upgrade()
        wire.send(text(b"before") + sent)
        wire.half_close()
        assert wire.frames() in ([(TEXT, b"before")], [])


def test_a_close_frame_from_a_client_that_does_not_read_ends_in_a_reset(port: int) -> None:
    with Wire(port, receive_buffer=4096) as wire:
        wire.upgrade()
        wire.send(text(b"*" * MAX_BYTES) * 20 + closing(1000))
        assert wire.cut()
