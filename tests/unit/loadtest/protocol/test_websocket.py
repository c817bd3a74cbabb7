from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from loadtest.protocol.dialects import BINANCE, NATIVE
from loadtest.protocol.websocket import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    HandshakeError,
    client_frame,
    close_code,
    handshake,
    handshake_end,
    scan,
)


def served(payload: bytes, opcode: Opcode = Opcode.TEXT) -> bytes:
    return Frame(opcode, payload).serialize(mask=False)


def update(prices: int, padding: int = 0) -> bytes:
    news = b",".join(b'[%d,{"c":1.5}]' % number for number in range(prices))
    return b'{"op":"update","t":1,"u":[' + news + b"]}" + b" " * padding


@pytest.mark.parametrize("subprotocol", [None, "kline.v1.compact"])
def test_a_real_server_accepts_the_handshake_and_commands(subprotocol: str | None) -> None:
    server = ServerProtocol(subprotocols=["kline.v1.compact"] if subprotocol else None)  # type: ignore[list-item]
    server.receive_data(handshake("localhost:1", "/v1/stream", subprotocol))
    request = server.events_received()[0]
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    answer = b"".join(server.data_to_send())

    assert handshake_end(answer, subprotocol) == len(answer)
    assert server.state is State.OPEN

    for size in (5, 125, 126, 65_535, 65_536):
        server.receive_data(client_frame(b"x" * size))
    frames = [event for event in server.events_received() if isinstance(event, Frame)]
    assert [len(frame.data) for frame in frames] == [5, 125, 126, 65_535, 65_536]
    assert frames[0] == Frame(Opcode.TEXT, b"xxxxx")


def test_an_unfinished_answer_is_waited_for() -> None:
    assert handshake_end(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n", None) == 0


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\r\n", 503),
        (b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n", 101),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 0),
    ],
    ids=["refused", "wrong accept", "no http"],
)
def test_a_refusal_has_its_status(answer: bytes, status: int) -> None:
    with pytest.raises(HandshakeError) as refusal:
        handshake_end(answer, None)
    assert refusal.value.status == status


def test_a_subprotocol_that_is_not_taken_is_a_refusal() -> None:
    server = ServerProtocol()
    server.receive_data(handshake("localhost:1", "/", "kline.v1.compact"))
    request = server.events_received()[0]
    assert isinstance(request, Request)
    server.send_response(server.accept(request))

    with pytest.raises(HandshakeError, match="subprotocol"):
        handshake_end(b"".join(server.data_to_send()), "kline.v1.compact")


def test_updates_are_counted_whatever_their_size() -> None:
    data = bytearray(served(update(2)) + served(update(100)) + served(update(3, padding=70_000)))

    assert scan(data, len(data), NATIVE.update_prefix, NATIVE.count_all) == (len(data), 3, 105, 0, [])


def test_closed_klines_are_counted_beside_tickers() -> None:
    bars = b'[1,{"openTime":5,"isClosed":true}],[1,{"openTime":6,"isClosed":false}]'
    payload = b'{"op":"update","t":1,"u":[[2,{"c":1}],' + bars + b"]}"
    data = bytearray(served(payload))

    assert scan(data, len(data), NATIVE.update_prefix, NATIVE.count_all)[1:4] == (1, 1, 1)


def test_other_messages_are_returned_and_not_counted() -> None:
    snapshot = b'{"op":"snapshot","n":1,"channel":"ticker:A","ticker":{"c":5}}'
    data = bytearray(served(snapshot) + served(update(1)) + served(b"p", Opcode.PING) + served(b"", Opcode.PONG))

    _, frames, tickers, _, others = scan(data, len(data), NATIVE.update_prefix, NATIVE.count_all)

    assert (frames, tickers) == (1, 1)
    assert others == [(TEXT, snapshot), (PING, b"p"), (PONG, b"")]


def test_without_a_counter_updates_are_returned_too() -> None:
    data = bytearray(served(update(2)))

    assert scan(data, len(data), NATIVE.update_prefix, None) == (len(data), 1, 0, 0, [(TEXT, update(2))])


def event(number: int) -> bytes:
    padding = "0" * 100
    return (
        f'{{"stream":"s1@miniTicker","data":{{"e":"24hrMiniTicker","s":"S1","c":"{number}","v":"{padding}"}}}}'.encode()
    )


@given(st.data())
def test_a_row_of_events_is_counted_up_to_the_next_other_frame(data: st.DataObject) -> None:
    stream = b"".join(served(event(n)) for n in range(9)) + served(b"kg", Opcode.PING)
    stream += b"".join(served(event(n)) for n in range(4)) + served(b'{"result":null,"id":0}')
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    rest, sums, others = b"", [0, 0], []

    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer = bytearray(rest + stream[begin:end])
        used, frames, tickers, closed, more = scan(
            buffer, len(buffer), BINANCE.update_prefix, BINANCE.count_tickers, BINANCE.run_pattern
        )
        assert closed == 0
        rest = bytes(buffer[used:])
        sums = [sums[0] + frames, sums[1] + tickers]
        others += more

    assert (sums, rest) == ([13, 13], b"")
    assert others == [(PING, b"kg"), (TEXT, b'{"result":null,"id":0}')]


def test_rows_of_events_are_returned_one_by_one_without_a_counter() -> None:
    data = bytearray(served(event(1)) + served(event(2)))

    assert scan(data, len(data), BINANCE.update_prefix, None, BINANCE.run_pattern)[4] == [
        (TEXT, event(1)),
        (TEXT, event(2)),
    ]


@pytest.mark.parametrize("first", [0x01, 0x80, 0xC1, 0x82, 0x8B], ids=["fragment", "rest", "rsv1", "binary", "opcode"])
def test_frames_the_gateway_must_not_send_are_marked(first: int) -> None:
    data = bytearray(bytes((first, 2)) + b"{}")

    assert scan(data, len(data), NATIVE.update_prefix, None)[4] == [(-1, b"{}")]


@given(st.data())
def test_any_cut_of_the_stream_is_counted_the_same(data: st.DataObject) -> None:
    stream = served(update(3)) + served(update(40)) + served(b"ping", Opcode.PING) + served(update(2, padding=66_000))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    rest, sums = b"", [0, 0, 0]

    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer = bytearray(rest + stream[begin:end])
        used, frames, tickers, _, others = scan(buffer, len(buffer), NATIVE.update_prefix, NATIVE.count_tickers)
        rest = bytes(buffer[used:])
        sums = [sums[0] + frames, sums[1] + tickers, sums[2] + len(others)]

    assert (sums, rest) == ([3, 45, 1], b"")


@pytest.mark.parametrize("size", [10, 300, 70_000])
def test_an_incomplete_frame_is_left_alone(size: int) -> None:
    frame = served(b"x" * size)

    for end in {0, 1, 2, 3, 9, len(frame) - 1}:
        if end < len(frame):
            assert scan(bytearray(frame), end, b"{", None)[0] == 0


def test_bytes_after_the_end_are_not_read() -> None:
    data = bytearray(served(update(1)) + served(update(1)))

    assert scan(data, len(data) // 2, NATIVE.update_prefix, NATIVE.count_all)[:3] == (len(data) // 2, 1, 1)


def test_close_codes() -> None:
    assert close_code((4000).to_bytes(2, "big") + b"slow") == 4000
    assert close_code(b"") == 1005
    assert scan(bytearray(b"\x88\x00"), 2, b"{", None)[4] == [(CLOSE, b"")]
