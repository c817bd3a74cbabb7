from __future__ import annotations

import struct
import zlib

import pytest

from gateway.delivery.close_codes import Close
from gateway.protocol.frame import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FRAGMENTS_MAX,
    PING,
    PONG,
    SMALL_MESSAGE_BYTES,
    TEXT,
    FrameError,
    FrameParser,
    LargeMessages,
    Message,
    close_frame,
    frame,
    frame_head,
    parse_close,
)

MAX_BYTES = 70_000
MASK = b"\x01\x02\x03\x04"
SNOWMAN = "☃".encode()


def masked(payload: bytes) -> bytes:
    return bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def client_frame(opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0) -> bytes:
    """A frame as clients send them; the length in the shortest form."""
    first = bytes(((0x80 if final else 0) | reserved | opcode,))
    size = len(payload)
    if size <= 125:
        head = bytes((0x80 | size,))
    elif size <= 0xFFFF:
        head = struct.pack("!BH", 0x80 | 126, size)
    else:
        head = struct.pack("!BQ", 0x80 | 127, size)
    return first + head + MASK + masked(payload)


def deflated(payload: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def parse(parser: FrameParser, data: bytes) -> list[Message]:
    """The messages that the data completes."""
    parser.feed(data)
    return list(iter(parser.next_message, None))


def refused(data: bytes, *, deflate: bool = False, max_bytes: int = MAX_BYTES) -> Close:
    """The close code of a parser that does not take the data."""
    with pytest.raises(FrameError) as caught:
        parse(FrameParser(max_bytes, deflate=deflate), data)
    assert str(caught.value) == caught.value.reason
    return caught.value.close


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_server_frame_has_its_length_in_the_shortest_form(size: int) -> None:
    whole = frame(BINARY, b"x" * size)
    assert whole == frame_head(BINARY, size) + b"x" * size
    assert whole[0] == 0x80 | BINARY
    length = whole[1]
    if size <= 125:
        assert length == size
    elif size <= 0xFFFF:
        assert whole[1:4] == bytes((126,)) + size.to_bytes(2)
    else:
        assert whole[1:10] == bytes((127,)) + size.to_bytes(8)


@pytest.mark.parametrize("size", [0, 5, 125, 126, 65_535, 65_536])
def test_a_client_message_of_any_length_is_unmasked(size: int) -> None:
    payload = b"ab" * size
    assert parse(FrameParser(1 << 20), client_frame(TEXT, payload)) == [Message(TEXT, payload)]


@pytest.mark.parametrize("cut", ["byte by byte", "at once", "with the next one's beginning"])
def test_messages_are_parsed_however_the_bytes_are_split(cut: str) -> None:
    sent = [client_frame(TEXT, b'{"op":"ping"}'), client_frame(BINARY, b"x" * 300), client_frame(PING, b"hi")]
    data = b"".join(sent)
    size = {"byte by byte": 1, "at once": len(data), "with the next one's beginning": len(sent[0]) + 3}[cut]
    parser = FrameParser(MAX_BYTES)
    messages = [message for at in range(0, len(data), size) for message in parse(parser, data[at : at + size])]
    assert messages == [Message(TEXT, b'{"op":"ping"}'), Message(BINARY, b"x" * 300), Message(PING, b"hi")]


def test_fragments_are_joined_around_control_frames() -> None:
    parser = FrameParser(MAX_BYTES)
    assert parse(parser, client_frame(TEXT, b"one ", final=False)) == []
    assert parse(parser, client_frame(PONG, b"!")) == [Message(PONG, b"!")]
    assert parse(parser, client_frame(CONTINUATION, b"", final=False)) == []
    assert parse(parser, client_frame(CONTINUATION, b"two")) == [Message(TEXT, b"one two")]
    assert parse(parser, client_frame(TEXT, b"next")) == [Message(TEXT, b"next")]


def test_a_fragmented_binary_message_need_not_be_utf8() -> None:
    parser = FrameParser(MAX_BYTES)
    assert parse(parser, client_frame(BINARY, b"\xff", final=False)) == []
    assert parse(parser, client_frame(CONTINUATION, b"\xfe")) == [Message(BINARY, b"\xff\xfe")]


@pytest.mark.parametrize("at", range(1, 13))
def test_a_frame_may_be_split_anywhere(at: int) -> None:
    data = client_frame(TEXT, SNOWMAN * 3) + client_frame(PING, b"hello")
    parser = FrameParser(MAX_BYTES)
    messages = parse(parser, data[:at]) + parse(parser, data[at:-at]) + parse(parser, data[-at:])
    assert messages == [Message(TEXT, SNOWMAN * 3), Message(PING, b"hello")]
    assert not parser.has_more


def test_messages_are_returned_one_by_one() -> None:
    parser = FrameParser(MAX_BYTES)
    parser.feed(client_frame(TEXT, b"one") + client_frame(TEXT, b"two"))
    assert parser.next_message() == Message(TEXT, b"one")
    assert parser.has_more
    parser.feed(client_frame(TEXT, b"three"))
    assert parse(parser, b"") == [Message(TEXT, b"two"), Message(TEXT, b"three")]
    assert not parser.has_more


def test_only_an_incomplete_header_is_buffered() -> None:
    """What waits is copied with the next bytes: were it more, a message byte by byte would take quadratic time."""
    parser = FrameParser(MAX_BYTES)
    for byte in client_frame(TEXT, b"x" * 70_000)[:-1]:
        assert parse(parser, bytes((byte,))) == []
        assert len(parser._data) < 14


def test_the_number_of_frames_per_message_is_limited() -> None:
    parser = FrameParser(MAX_BYTES)
    assert parse(parser, client_frame(TEXT, b"x", final=False)) == []
    assert parse(parser, client_frame(CONTINUATION, final=False) * (FRAGMENTS_MAX - 1)) == []
    with pytest.raises(FrameError) as caught:
        parse(parser, client_frame(CONTINUATION, final=False))
    assert caught.value.close == Close.POLICY


def test_a_character_may_be_split_between_fragments() -> None:
    parser = FrameParser(MAX_BYTES)
    parse(parser, client_frame(TEXT, SNOWMAN[:1], final=False))
    assert parse(parser, client_frame(CONTINUATION, SNOWMAN[1:])) == [Message(TEXT, SNOWMAN)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(client_frame(TEXT, b"\xff"), id="whole message"),
        pytest.param(client_frame(TEXT, b"ok\xff", final=False), id="first fragment, before the message ends"),
        pytest.param(
            client_frame(TEXT, SNOWMAN[:1], final=False) + client_frame(CONTINUATION), id="ends inside a character"
        ),
        pytest.param(client_frame(TEXT, b"ok\xff?????")[:-5], id="before the frame ends"),
        pytest.param(client_frame(TEXT, b"\xed\xa0?????")[:-5], id="half a surrogate, before the frame ends"),
    ],
)
def test_text_that_is_not_utf8_is_refused(data: bytes) -> None:
    assert refused(data) == Close.BAD_PAYLOAD


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(client_frame(TEXT, b"x", reserved=0x40), id="compressed without an agreement"),
        pytest.param(client_frame(TEXT, b"x", reserved=0x20), id="reserved bit"),
        pytest.param(client_frame(0x3), id="reserved opcode"),
        pytest.param(client_frame(0xB), id="reserved control opcode"),
        pytest.param(b"\x81\x01x", id="unmasked"),
        pytest.param(client_frame(PING, b"x" * 126), id="control frame too long"),
        pytest.param(b"\x81\xff" + (1 << 63).to_bytes(8), id="first bit of the length"),
        pytest.param(client_frame(CLOSE, final=False), id="control frame fragmented"),
        pytest.param(client_frame(CONTINUATION, b"x"), id="continuation of nothing"),
        pytest.param(
            client_frame(TEXT, b"a", final=False) + client_frame(TEXT, b"b"), id="message inside a fragmented one"
        ),
    ],
)
def test_a_broken_frame_is_a_protocol_error(data: bytes) -> None:
    assert refused(data) == Close.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(bytes((0x82, 0x80 | 11)), id="before its payload has come"),
        pytest.param(bytes((0x82, 0x80 | 127)) + (1 << 62).to_bytes(8), id="absurdly large"),
        pytest.param(
            client_frame(TEXT, b"123456", final=False) + client_frame(CONTINUATION, b"78901"), id="by fragments"
        ),
    ],
)
def test_a_too_large_message_is_refused_as_early_as_possible(data: bytes) -> None:
    assert refused(data, max_bytes=10) == Close.TOO_BIG


def test_a_message_of_the_largest_size_is_accepted() -> None:
    assert parse(FrameParser(10), client_frame(TEXT, b"1234567890")) == [Message(TEXT, b"1234567890")]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_compressed_message_is_inflated(opcode: int) -> None:
    text = b'{"op":"list"}' * 20
    parser = FrameParser(MAX_BYTES, deflate=True)
    assert parse(parser, client_frame(opcode, deflated(text), reserved=0x40)) == [Message(opcode, text)]
    assert parse(parser, client_frame(opcode, b"plain")) == [Message(opcode, b"plain")]


def test_a_compressed_message_may_be_fragmented() -> None:
    text = deflated(SNOWMAN * 50)
    parser = FrameParser(MAX_BYTES, deflate=True)
    assert parse(parser, client_frame(TEXT, text[:5], final=False, reserved=0x40)) == []
    assert parse(parser, client_frame(CONTINUATION, text[5:])) == [Message(TEXT, SNOWMAN * 50)]


@pytest.mark.parametrize(
    ("data", "close"),
    [
        pytest.param(client_frame(TEXT, b"\xff\xff\xff", reserved=0x40), Close.BAD_PAYLOAD, id="no deflate stream"),
        pytest.param(client_frame(TEXT, deflated(b"\xff"), reserved=0x40), Close.BAD_PAYLOAD, id="not UTF-8"),
        pytest.param(client_frame(TEXT, deflated(b"x" * 100_000), reserved=0x40), Close.TOO_BIG, id="a bomb"),
        pytest.param(client_frame(PING, b"x", reserved=0x40), Close.PROTOCOL_ERROR, id="control frame"),
        pytest.param(
            client_frame(TEXT, b"x", final=False) + client_frame(CONTINUATION, b"x", reserved=0x40),
            Close.PROTOCOL_ERROR,
            id="continuation",
        ),
    ],
)
def test_invalid_compressed_frames_are_refused(data: bytes, close: Close) -> None:
    assert refused(data, deflate=True) is close


def test_a_close_frame_fits_into_a_control_frame() -> None:
    assert close_frame(1000) == b"\x88\x02\x03\xe8"
    assert close_frame(1012, "restart") == b"\x88\x09\x03\xf4restart"
    long = close_frame(1008, "☃" * 100)
    assert len(long) == 2 + 2 + 123
    assert long[4:].decode() == "☃" * 41


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4000, 4999])
def test_every_close_code_allowed_on_the_wire_is_accepted(code: int) -> None:
    assert parse_close(code.to_bytes(2) + b"bye") == code


def test_a_close_without_a_code_is_1005() -> None:
    assert parse_close(b"") == 1005


@pytest.mark.parametrize(
    ("payload", "close"),
    [
        pytest.param(b"\x03", Close.PROTOCOL_ERROR, id="one byte"),
        *(
            pytest.param(code.to_bytes(2), Close.PROTOCOL_ERROR, id=str(code))
            for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)
        ),
        pytest.param(b"\x03\xe8\xff", Close.BAD_PAYLOAD, id="reason not UTF-8"),
    ],
)
def test_a_broken_close_is_refused(payload: bytes, close: Close) -> None:
    with pytest.raises(FrameError) as caught:
        parse_close(payload)
    assert caught.value.close is close


class TestLargeMessages:
    """Of all clients, only so many may have a large unfinished message at a time."""

    HALF = client_frame(TEXT, b"x" * (SMALL_MESSAGE_BYTES + 1), final=False)

    def test_the_one_too_many_is_refused_and_small_ones_are_not(self) -> None:
        large = LargeMessages(1)
        first, second, third = (FrameParser(MAX_BYTES, large=large) for _ in range(3))
        assert parse(first, self.HALF) == []
        assert parse(second, client_frame(TEXT, b"x" * SMALL_MESSAGE_BYTES, final=False)) == []
        with pytest.raises(FrameError) as caught:
            parse(third, self.HALF)
        assert caught.value.close is Close.OVERLOADED
        third.discard()
        assert large.count == 1

    def test_a_message_that_is_complete_or_given_up_makes_room(self) -> None:
        large = LargeMessages(1)
        for ends in (True, False):
            parser = FrameParser(MAX_BYTES, large=large)
            parse(parser, self.HALF)
            assert large.count == 1
            if ends:
                (message,) = parse(parser, client_frame(CONTINUATION, b"y"))
                assert len(message.payload) == SMALL_MESSAGE_BYTES + 2
            parser.discard()
            assert large.count == 0

    def test_a_message_counts_once_however_many_pieces_it_comes_in(self) -> None:
        large = LargeMessages(2)
        parser = FrameParser(MAX_BYTES, large=large)
        data = client_frame(TEXT, b"x" * 60_000)
        for at in range(0, len(data) - 1, 5000):
            assert parse(parser, data[at : at + 5000][: len(data) - 1 - at]) == []
        assert large.count == 1
        (message,) = parse(parser, data[-1:])
        assert (len(message.payload), large.count) == (60_000, 0)
