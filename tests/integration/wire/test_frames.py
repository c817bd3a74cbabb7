"""RFC 6455 sections 5.2 to 5.6 over raw sockets: lengths, masks, reserved bits and opcodes, fragments, pings."""

from __future__ import annotations

import pytest

from gateway.protocol.frame import FRAGMENTS_MAX
from gateway.server.control_limit import CONTROL_BURST
from loadtest.protocol.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, RSV1, RSV2, RSV3, TEXT
from tests.integration.wire.raw_client import MASK, MAX_BYTES, Wire, closed, closing, exchange, framed, head, more, text

BYE = closed(1000)
SIZES = (0, 1, 2, 125, 126, 127, 128, 255, 65_535, 65_536, MAX_BYTES)


class TestLengths:
    @pytest.mark.parametrize("size", SIZES)
    def test_a_text_of_any_length_is_echoed(self, port: int, size: int) -> None:
        assert exchange(port, text(b"*" * size)) == [(TEXT, b"*" * size), BYE]

    @pytest.mark.parametrize("chop", [1, 2, 3, 4, 5, 6, 7, 13, 64, 125])
    def test_messages_are_parsed_however_the_bytes_are_split(self, port: int, chop: int) -> None:
        data = text(b"first") + framed(PING, b"!") + text(b"second" * 25, final=False) + more("☃".encode())
        expected = [(TEXT, b"first"), (PONG, b"!"), (TEXT, b"second" * 25 + "☃".encode()), BYE]
        assert exchange(port, data, chop=chop) == expected

    @pytest.mark.parametrize("chop", [997, 1460, 4096])
    @pytest.mark.parametrize("size", [65_535, 65_536])
    def test_large_texts_may_arrive_in_packets_of_any_size(self, port: int, size: int, chop: int) -> None:
        assert exchange(port, text(b"*" * size), chop=chop) == [(TEXT, b"*" * size), BYE]

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(head(TEXT, MAX_BYTES + 1), id="before any of its payload"),
            pytest.param(head(TEXT, (1 << 63) - 1), id="as large as can be said"),
            pytest.param(text(b"*" * MAX_BYTES, final=False) + more(b"*"), id="by its last fragment"),
            pytest.param(head(BINARY, MAX_BYTES + 1), id="binary"),
        ],
    )
    def test_a_message_beyond_the_limit_ends_with_1009(self, port: int, data: bytes) -> None:
        assert exchange(port, data, bye=False) == [closed(1009)]

    def test_the_first_bit_of_a_length_must_not_be_set(self, port: int) -> None:
        assert exchange(port, bytes((0x81, 0xFF)) + (1 << 63).to_bytes(8), bye=False) == [closed(1002)]

    @pytest.mark.parametrize("length", [b"\xfe\x00\x05", b"\xff\x00\x00\x00\x00\x00\x00\x00\x05"], ids=["2", "8"])
    def test_a_length_in_more_bytes_than_needed_is_accepted(self, port: int, length: bytes) -> None:
        data = b"\x81" + length + MASK + text(b"hello")[6:]
        assert exchange(port, data) == [(TEXT, b"hello"), BYE]

    def test_binary_messages_end_with_1003(self, port: int) -> None:
        assert exchange(port, framed(BINARY, b"x")) == [closed(1003)]


class TestMasks:
    @pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"])
    def test_any_mask_is_removed(self, port: int, mask: bytes) -> None:
        assert exchange(port, framed(TEXT, b"hello", mask=mask)) == [(TEXT, b"hello"), BYE]

    @pytest.mark.parametrize("opcode", [TEXT, PING, CLOSE])
    def test_a_frame_without_a_mask_ends_with_1002(self, port: int, opcode: int) -> None:
        assert exchange(port, framed(opcode, b"\x03\xe8", mask=None), bye=False) == [closed(1002)]


class TestPings:
    @pytest.mark.parametrize("size", [0, 1, 124, 125])
    def test_a_ping_is_answered_with_its_own_payload(self, port: int, size: int) -> None:
        payload = bytes(range(256))[-size:] if size else b""
        assert exchange(port, framed(PING, payload)) == [(PONG, payload), BYE]

    @pytest.mark.parametrize("chop", [0, 1, 7])
    def test_pings_in_a_row_are_answered_in_order(self, port: int, chop: int) -> None:
        payloads = [b"ping-%d" % number for number in range(10)]
        data = b"".join(framed(PING, payload) for payload in payloads)
        assert exchange(port, data, chop=chop) == [*((PONG, payload) for payload in payloads), BYE]

    @pytest.mark.parametrize("opcode", [PING, PONG])
    def test_a_payload_of_126_bytes_is_too_long(self, port: int, opcode: int) -> None:
        assert exchange(port, framed(opcode, b"x" * 126)) == [closed(1002)]

    @pytest.mark.parametrize("payload", [b"", b"nobody asked", b"\xff" * 125])
    def test_an_unsolicited_pong_is_ignored(self, port: int, payload: bytes) -> None:
        assert exchange(port, framed(PONG, payload) + framed(PING, b"?")) == [(PONG, b"?"), BYE]

    @pytest.mark.parametrize("opcode", [PING, PONG])
    def test_a_flood_ends_with_1008(self, port: int, opcode: int) -> None:
        received = exchange(port, framed(opcode, b"x") * (3 * CONTROL_BURST))
        assert received[-1] == closed(1008)
        assert CONTROL_BURST <= len(received) + (CONTROL_BURST if opcode == PONG else 0) < 2 * CONTROL_BURST

    def test_a_flood_from_a_client_that_does_not_read_ends_too(self, port: int) -> None:
        with Wire(port, receive_buffer=4096) as wire:
            wire.upgrade()
            # More comes back than the kernel takes, so that pongs would have to wait.
            wire.send(text(b"*" * MAX_BYTES) * 20)
            wire.send(framed(PING, b"x" * 125) * 1000)
            assert wire.cut()


@pytest.mark.parametrize("chop", [0, 1])
class TestReserved:
    @pytest.mark.parametrize("reserved", [bits << 4 for bits in range(1, 8)])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
    def test_reserved_bits_end_with_1002_after_what_came_before(
        self, port: int, opcode: int, reserved: int, chop: int
    ) -> None:
        data = text(b"before") + framed(opcode, b"", reserved=reserved) + framed(PING)
        assert exchange(port, data, chop=chop) == [(TEXT, b"before"), closed(1002)]

    @pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF])
    @pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "not empty"])
    def test_reserved_opcodes_end_with_1002_after_what_came_before(
        self, port: int, opcode: int, payload: bytes, chop: int
    ) -> None:
        data = text(b"before") + framed(opcode, payload) + framed(PING)
        assert exchange(port, data, chop=chop) == [(TEXT, b"before"), closed(1002)]


PING_ = framed(PING, b"!")
PONG_ = (PONG, b"!")
WHOLE = (TEXT, b"onetwothree")
ONE, TWO, THREE = text(b"one", final=False), more(b"two", final=False), more(b"three")


@pytest.mark.parametrize("chop", [0, 1])
class TestFragments:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            pytest.param(ONE + TWO + THREE, [WHOLE, BYE], id="three fragments"),
            pytest.param(ONE + PING_ + TWO + PING_ + THREE, [PONG_, PONG_, WHOLE, BYE], id="pings between"),
            pytest.param(ONE + framed(PONG) + TWO + THREE, [WHOLE, BYE], id="a pong between"),
            pytest.param(PING_ + ONE + TWO + THREE + PING_, [PONG_, WHOLE, PONG_, BYE], id="pings around"),
            pytest.param(text(b"", final=False) + more(b"", final=False) + more(b""), [(TEXT, b""), BYE], id="empty"),
            pytest.param(ONE + more(b"", final=False) + TWO + THREE, [WHOLE, BYE], id="an empty one between"),
            pytest.param((ONE + TWO + THREE) * 2, [WHOLE, WHOLE, BYE], id="two messages"),
            pytest.param(ONE + closing(1001) + THREE, [closed(1001)], id="a goodbye between"),
            pytest.param(ONE + TWO, [BYE], id="never finished"),
            pytest.param(framed(PING, b"x", final=False) + more(b"y"), [closed(1002)], id="a fragmented ping"),
            pytest.param(framed(PONG, b"x", final=False) + more(b"y"), [closed(1002)], id="a fragmented pong"),
            pytest.param(framed(CLOSE, final=False) + more(b""), [closed(1002)], id="a fragmented goodbye"),
            pytest.param(THREE, [closed(1002)], id="an end without a beginning"),
            pytest.param(TWO + THREE, [closed(1002)], id="a middle without a beginning"),
            pytest.param(text(b"x") + THREE, [(TEXT, b"x"), closed(1002)], id="an end after a whole message"),
            pytest.param(ONE + text(b"x"), [closed(1002)], id="a whole message inside"),
            pytest.param(ONE + ONE, [closed(1002)], id="another beginning inside"),
            pytest.param(ONE + framed(BINARY, b"x"), [closed(1002)], id="binary inside"),
            pytest.param(ONE + TWO + THREE + THREE, [WHOLE, closed(1002)], id="one end too many"),
            pytest.param(framed(BINARY, b"\xff", final=False) + more(b"\xfe"), [closed(1003)], id="binary"),
            *(
                pytest.param(ONE + framed(CONTINUATION, b"x", reserved=bit), [closed(1002)], id=f"reserved bit {bit}")
                for bit in (RSV1, RSV2, RSV3)
            ),
        ],
    )
    def test_fragments_are_joined_in_order_or_refused(
        self, port: int, data: bytes, expected: list[tuple[int, bytes | int]], chop: int
    ) -> None:
        assert exchange(port, data, chop=chop) == expected

    def test_the_number_of_frames_per_message_is_limited(self, port: int, chop: int) -> None:
        some = text(b"x", final=False) + more(b"x", final=False) * (FRAGMENTS_MAX - 2)
        assert exchange(port, some + more(b"x"), chop=chop) == [(TEXT, b"x" * FRAGMENTS_MAX), BYE]
        assert exchange(port, some + more(b"", final=False) * 2, chop=chop, bye=False) == [closed(1008)]
