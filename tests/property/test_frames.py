"""The frame parser against the library it does without: the same bytes mean the same, however they are cut."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from gateway.protocol.deflate import deflated_frame, inflate
from gateway.protocol.frame import BINARY, TEXT, FrameError, FrameParser, Message, close_frame, frame, parse_close
from loadtest.protocol.websocket import server_frames

MAX_BYTES = 300

payloads = st.one_of(st.binary(max_size=MAX_BYTES + 20), st.text(max_size=90).map(str.encode))
short_payloads = st.one_of(st.binary(max_size=125), st.text(max_size=40).map(str.encode))
data_frames = st.builds(Frame, st.sampled_from((Opcode.TEXT, Opcode.BINARY, Opcode.CONT)), payloads, st.booleans())
control_frames = st.builds(Frame, st.sampled_from((Opcode.PING, Opcode.PONG)), short_payloads)
cuts = st.lists(st.integers(1, 40), max_size=200)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data in pieces of these sizes, the rest at once."""
    parts = []
    for size in sizes:
        parts.append(data[:size])
        data = data[size:]
    return [*parts, data]


def received(data: bytes, sizes: list[int], *, deflate: bool = False) -> tuple[list[Message], int | None]:
    """The messages in the data, and the close code if it is broken."""
    parser = FrameParser(MAX_BYTES, deflate=deflate)
    messages: list[Message] = []
    for piece in pieces(data, sizes):
        try:
            parser.feed(piece)
            while (message := parser.next_message()) is not None:
                messages.append(message)
        except FrameError as error:
            return messages, error.close.code
    return messages, None


def reference(data: bytes) -> tuple[list[Message], int | None]:
    """The same from the library: frames joined to messages, text checked."""
    library = Protocol(SERVER, state=OPEN, max_size=MAX_BYTES)
    library.receive_data(data)
    messages: list[Message] = []
    parts: list[Frame] = []
    for event in library.events_received():
        assert isinstance(event, Frame)
        if event.opcode in (Opcode.PING, Opcode.PONG):
            messages.append(Message(event.opcode, bytes(event.data)))
            continue
        parts.append(event)
        whole = b"".join(part.data for part in parts)
        if parts[0].opcode is Opcode.TEXT and not is_utf8(whole, final=event.fin):
            return messages, 1007
        if event.fin:
            messages.append(Message(parts[0].opcode, whole))
            parts = []
    failed = library.close_sent
    return messages, failed.code if failed is not None else None


def is_utf8(text: bytes, *, final: bool) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        # A character that is cut may be finished by the next fragment.
        return not final and error.reason == "unexpected end of data"
    return True


@given(st.lists(data_frames | control_frames, max_size=8), cuts)
def test_frames_are_parsed_as_by_the_library(frames: list[Frame], sizes: list[int]) -> None:
    data = b"".join(each.serialize(mask=True) for each in frames)
    messages, code = received(data, sizes)
    expected, expected_code = reference(data)
    assert code == expected_code
    assert messages == expected


@given(st.binary(max_size=400), cuts)
def test_any_bytes_are_parsed_or_refused_in_bounded_memory(data: bytes, sizes: list[int]) -> None:
    messages, code = received(data, sizes)
    assert code in (None, 1002, 1007, 1009)
    assert all(len(message.payload) <= MAX_BYTES for message in messages)


@given(st.text(max_size=60).map(str.encode), st.integers(1, 3), cuts)
def test_messages_compressed_by_the_library_are_inflated(text: bytes, count: int, sizes: list[int]) -> None:
    client = PerMessageDeflate(True, True, 15, 15)
    sent = [Frame(Opcode.TEXT, text).serialize(mask=True, extensions=[client]) for _ in range(count)]
    messages, code = received(b"".join(sent), sizes, deflate=True)
    assert (messages, code) == ([Message(TEXT, text)] * count, None)


@given(st.sampled_from((TEXT, BINARY)), st.binary(max_size=70_000))
def test_server_frames_are_read_by_the_library(opcode: int, payload: bytes) -> None:
    assert list(server_frames(frame(opcode, payload))) == [(opcode, payload)]
    assert list(server_frames(deflated_frame(opcode, payload))) == [(opcode, payload)]


@given(st.binary(max_size=300), st.integers(0, 400))
def test_inflating_is_bounded(payload: bytes, limit: int) -> None:
    try:
        text = inflate(payload, limit)
    except zlib.error:
        return
    assert text is None or len(text) <= limit


@given(st.integers(3000, 4999), st.text(max_size=200))
def test_a_close_frame_with_any_reason_is_readable(code: int, reason: str) -> None:
    ((_, payload),) = server_frames(close_frame(code, reason))
    assert len(payload) <= 125
    assert parse_close(payload) == code
    assert reason.startswith(payload[2:].decode())
