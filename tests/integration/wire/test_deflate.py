"""RFC 7692 over raw sockets: negotiation, and valid and invalid compressed messages."""

from __future__ import annotations

import pytest

from gateway.protocol.deflate import WINDOW_BITS
from loadtest.protocol.websocket import CLOSE, CONTINUATION, PING, PONG, RSV1, RSV2, TEXT
from tests.integration.wire.raw_client import MAX_BYTES, Wire, closed, compressed, exchange, framed, head, more, text

BYE = closed(1000)
NAME = "permessage-deflate"
ANSWER = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
JSON = b'{"op":"subscribe","channels":["kline:BTCUSDT:1m"]}'


def agreed(port: int, *offers: str) -> str | None:
    """The answer to `Sec-WebSocket-Extensions`, one header for each of the offers."""
    with Wire(port) as wire:
        wire.send(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            + b"".join(b"Sec-WebSocket-Extensions: %s\r\n" % offer.encode() for offer in offers)
            + b"\r\n"
        )
        answer = wire.answer().decode()
        assert answer.startswith("HTTP/1.1 101 "), answer
        found = [line for line in answer.splitlines() if line.lower().startswith("sec-websocket-extensions:")]
        return found[0].partition(":")[2].strip() if found else None


PARAMETERS = ["", "server_no_context_takeover", "client_no_context_takeover", "client_max_window_bits"]
WINDOWS = [f"client_max_window_bits={bits}" for bits in range(8, 16)]
SERVER_WINDOWS = [f"server_max_window_bits={bits}" for bits in range(WINDOW_BITS, 16)]
OTHERS = [
    "server_max_window_bits",
    "server_max_window_bits=7",
    "server_max_window_bits=8",
    f"server_max_window_bits={WINDOW_BITS - 1}",
    "server_max_window_bits=16",
    "server_max_window_bits=010",
    "server_max_window_bits=",
    "client_max_window_bits=7",
    "client_max_window_bits=16",
    "client_max_window_bits=1000",
    "client_max_window_bits=-9",
    "client_max_window_bits=",
    "server_no_context_takeover=true",
    "server_no_context_takeover=",
    "server_no_context_takeover; server_no_context_takeover",
    "client_max_window_bits=10; client_max_window_bits=10",
    "unheard_of",
    "unheard_of=1; server_no_context_takeover",
    "=",
]


class TestNegotiation:
    @pytest.mark.parametrize("first", PARAMETERS + WINDOWS)
    @pytest.mark.parametrize("second", ["", *SERVER_WINDOWS])
    def test_every_supported_offer_is_accepted(self, port: int, first: str, second: str) -> None:
        offer = "; ".join(word for word in (NAME, first, second) if word)
        window = f"; server_max_window_bits={WINDOW_BITS}" if second else ""
        assert agreed(port, offer) == ANSWER + window

    @pytest.mark.parametrize("words", OTHERS)
    def test_an_unsupported_offer_is_declined_and_the_next_one_tried(self, port: int, words: str) -> None:
        assert agreed(port, f"{NAME}; {words}") is None
        assert agreed(port, f"{NAME}; {words}, {NAME}") == ANSWER
        assert agreed(port, f"{NAME}; {words}", NAME) == ANSWER

    @pytest.mark.parametrize("offer", ["x-webkit-deflate-frame", "permessage-bzip2", NAME[:-1], NAME + "2"])
    def test_unknown_extensions_are_declined(self, port: int, offer: str) -> None:
        assert agreed(port, offer) is None


class TestMessages:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 1000, 65_535, 65_536, MAX_BYTES])
    @pytest.mark.parametrize("bits", [9, 12, 15])
    def test_compressed_texts_of_any_size_are_echoed(self, port: int, size: int, bits: int) -> None:
        payload = (JSON * (size // len(JSON) + 1))[:size]
        sent = framed(TEXT, compressed(payload, bits), reserved=RSV1)
        assert exchange(port, sent, deflate=True) == [(TEXT, payload), BYE]

    @pytest.mark.parametrize("chop", [0, 1])
    def test_compressed_and_plain_messages_may_alternate(self, port: int, chop: int) -> None:
        sent = framed(TEXT, compressed(JSON), reserved=RSV1)
        data = sent + text(b"plain") + framed(PING, b"!") + sent
        expected = [(TEXT, JSON), (TEXT, b"plain"), (PONG, b"!"), (TEXT, JSON), BYE]
        assert exchange(port, data, chop=chop, deflate=True) == expected

    @pytest.mark.parametrize("size", [1, 3, 16])
    def test_only_the_first_fragment_may_be_marked(self, port: int, size: int) -> None:
        payload = compressed(JSON)
        pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
        data = framed(TEXT, pieces[0], final=False, reserved=RSV1)
        data += b"".join(framed(PING, b"!") + more(piece, final=False) for piece in pieces[1:]) + more(b"")
        assert exchange(port, data, deflate=True) == [*[(PONG, b"!")] * (len(pieces) - 1), (TEXT, JSON), BYE]

    @pytest.mark.parametrize(
        ("payload", "expected"),
        [
            pytest.param("f248cdc9c90700", b"Hello", id="one block"),
            pytest.param("f248050000 00ffff cac9c90700", b"Hello", id="two blocks"),
            pytest.param("000500faff48656c6c6f00", b"Hello", id="a block that is not compressed"),
            pytest.param("f348cdc9c9070000", b"Hello", id="a block marked as the last"),
            pytest.param("00", b"", id="empty"),
            pytest.param("", b"", id="empty, without the byte"),
        ],
    )
    def test_all_forms_of_the_standard_are_accepted(self, port: int, payload: str, expected: bytes) -> None:
        sent = framed(TEXT, bytes.fromhex(payload), reserved=RSV1)
        assert exchange(port, sent, deflate=True) == [(TEXT, expected), BYE]

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            pytest.param(framed(TEXT, b"\xff" * 20, reserved=RSV1), 1007, id="garbage"),
            pytest.param(framed(TEXT, compressed(JSON)[:-9], reserved=RSV1), 1007, id="a stream that breaks off"),
            pytest.param(framed(TEXT, compressed(JSON) + b"\x55", reserved=RSV1), 1007, id="a byte too many"),
            pytest.param(framed(TEXT, b"\xf3H\xcd\xc9\xc9\x07\0" * 2, reserved=RSV1), 1007, id="more after the last"),
            pytest.param(framed(TEXT, bytes.fromhex("f200110000"), reserved=RSV1), 1007, id="the context before"),
            pytest.param(framed(TEXT, compressed(b"\xff"), reserved=RSV1), 1007, id="not UTF-8"),
            pytest.param(framed(TEXT, compressed(b"0" * 10**7), reserved=RSV1), 1009, id="a bomb"),
            pytest.param(framed(TEXT, compressed(b"0" * (MAX_BYTES + 1)), reserved=RSV1), 1009, id="a byte too large"),
            pytest.param(head(TEXT, MAX_BYTES + 1, reserved=RSV1), 1009, id="too large as it comes"),
            pytest.param(framed(PING, b"", reserved=RSV1), 1002, id="a marked ping"),
            pytest.param(framed(CLOSE, b"", reserved=RSV1), 1002, id="a marked goodbye"),
            pytest.param(framed(TEXT, b"", reserved=RSV1 | RSV2), 1002, id="another bit"),
            pytest.param(
                framed(TEXT, b"\0", final=False, reserved=RSV1) + framed(CONTINUATION, b"\0", reserved=RSV1),
                1002,
                id="a marked fragment",
            ),
        ],
    )
    def test_violations_end_with_their_code(self, port: int, data: bytes, code: int) -> None:
        assert exchange(port, text(b"before") + data, deflate=True) == [(TEXT, b"before"), closed(code)]

    def test_rsv1_without_negotiation_ends_with_1002(self, port: int) -> None:
        assert exchange(port, framed(TEXT, compressed(JSON), reserved=RSV1)) == [closed(1002)]
