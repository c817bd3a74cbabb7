"""RFC 6455 section 8.1 over raw sockets: text is UTF-8 (RFC 3629), and is refused as soon as it cannot become it."""

from __future__ import annotations

import pytest

from loadtest.protocol.websocket import TEXT
from tests.integration.wire.raw_client import MASK, Wire, closed, exchange, framed, head, more, text

BYE = closed(1000)

VALID = {
    "every length": "κόσμε $¢€𐍈".encode(),
    "first of each length": "\0\x80ࠀ\U00010000".encode(),
    "last of each length": "\x7f\u07ff\uffff\U0010ffff".encode(),
    "around the surrogates": "\ud7ff\ue000".encode(),
    "no characters": "\ufffe\uffff\ufdd0\U0001fffe".encode(),
    "a byte order mark": "\ufefftext".encode(),
}
INVALID = {
    "a continuation alone": b"\x80",
    "continuations alone": b"ok\x80\xbf\x80",
    "start without continuation": b"\xc3(",
    "start at the end": b"ok\xe2\x98",
    "two starts": b"\xe2\xe2",
    "overlong of two": b"\xc0\xaf",
    "overlong of two, highest": b"\xc1\xbf",
    "overlong of three": b"\xe0\x80\xaf",
    "overlong of three, highest": b"\xe0\x9f\xbf",
    "overlong of four": b"\xf0\x80\x80\xaf",
    "overlong of four, highest": b"\xf0\x8f\xbf\xbf",
    "first surrogate": b"\xed\xa0\x80",
    "last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond the last": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "impossible fe": b"\xfe",
    "impossible ff": b"\xff",
    "far into a text": b"x" * 5000 + b"\xed\xa0\x80",
}
PREFIX = "κόσμε".encode()


def each(cases: dict[str, bytes]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("payload", cases.values(), ids=cases.keys())


def by_bytes(payload: bytes) -> bytes:
    """A message with every byte in a fragment of its own."""
    middle = b"".join(more(payload[at : at + 1], final=False) for at in range(1, len(payload)))
    return text(payload[:1], final=False) + middle + more(b"")


@each(VALID)
def test_valid_text_is_echoed_however_it_is_split(port: int, payload: bytes) -> None:
    for data in (text(payload), by_bytes(payload)):
        for chop in (0, 1):
            assert exchange(port, data, chop=chop) == [(TEXT, payload), BYE]


@each(INVALID)
def test_invalid_text_ends_with_1007_however_it_is_split(port: int, payload: bytes) -> None:
    assert exchange(port, text(payload)) == [closed(1007)]
    if len(payload) < 100:
        assert exchange(port, text(payload), chop=1) == [closed(1007)]
        assert exchange(port, by_bytes(payload)) == [closed(1007)]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(head(TEXT, 100) + framed(TEXT, PREFIX + b"\xed\xa0")[6:], id="inside a frame"),
        pytest.param(head(TEXT, 100) + framed(TEXT, PREFIX + b"\xf4\x90")[6:], id="beyond the last character"),
        pytest.param(head(TEXT, 65_000) + framed(TEXT, b"\xff")[6:], id="first byte of a large frame"),
        pytest.param(text(PREFIX + b"\xed\xa0", final=False), id="a fragment"),
        pytest.param(text(PREFIX + b"\xed", final=False) + more(b"\xa0", final=False), id="across fragments"),
        pytest.param(text(PREFIX, final=False) + head(0, 50) + framed(0, b"\xff")[6:], id="inside a later fragment"),
    ],
)
def test_text_is_refused_as_soon_as_it_cannot_become_utf8(port: int, sent: bytes) -> None:
    # The rest never comes: only what is here already can be what ends the connection.
    assert exchange(port, sent, bye=False) == [closed(1007)]


def test_an_incomplete_character_is_not_refused_yet(port: int) -> None:
    whole = text("☃".encode())
    assert whole[2:6] == MASK
    with Wire(port) as wire:
        wire.upgrade()
        wire.send(whole[:-1])
        # A second text after it: were the first refused, or let through, this would show another order.
        wire.send(whole[-1:] + text(b"next") + framed(8))
        assert wire.frames() == [(TEXT, "☃".encode()), (TEXT, b"next"), closed(1005)]


def test_a_close_reason_must_be_utf8_too(port: int) -> None:
    assert exchange(port, framed(8, b"\x03\xe8\xed\xa0\x80"), bye=False) == [closed(1007)]
