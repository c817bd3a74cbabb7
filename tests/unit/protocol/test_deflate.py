from __future__ import annotations

import zlib

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

from gateway.protocol.deflate import WINDOW_BITS, deflated_frame, inflate, negotiate
from loadtest.protocol.websocket import server_frames

NO_TAKEOVER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    "offers",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate",
    ],
)
def test_an_offer_is_accepted_without_context_takeover(offers: str) -> None:
    assert negotiate(offers) == NO_TAKEOVER


@pytest.mark.parametrize("bits", ["15", "12", '"13"'])
def test_a_requested_window_is_confirmed_with_ours(bits: str) -> None:
    assert negotiate(f"permessage-deflate; server_max_window_bits={bits}") == (
        f"{NO_TAKEOVER}; server_max_window_bits={WINDOW_BITS}"
    )


@pytest.mark.parametrize(
    "offers",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=012",
        "permessage-deflate; server_max_window_bits=many",
        "permessage-deflate; server_max_window_bits=²",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; unheard_of",
        "permessage-deflate; client_no_context_takeover=",
    ],
)
def test_an_unsupported_offer_is_declined(offers: str) -> None:
    assert negotiate(offers) is None


def test_the_first_supported_offer_is_accepted() -> None:
    assert negotiate("permessage-deflate; server_max_window_bits=8, permessage-deflate") == NO_TAKEOVER


def test_a_client_library_agrees_with_the_answer() -> None:
    factory = ClientPerMessageDeflateFactory(client_max_window_bits=True)
    offer = build_extension([(factory.name, list(factory.get_request_params()))])
    answer = negotiate(offer)
    assert answer is not None
    ((_, params),) = parse_extension(answer)
    extension = factory.process_response_params(params, [])
    assert extension.local_no_context_takeover
    assert extension.remote_no_context_takeover


@pytest.mark.parametrize("size", [10, 300, 1_000_000])
def test_a_frame_is_readable_by_any_inflater(size: int) -> None:
    # Digits of no pattern, so that the compressed sizes pass each form of length.
    text = "".join(str(number * 2654435761) for number in range(size // 10)).encode()
    assert list(server_frames(deflated_frame(1, text))) == [(1, text)]


def test_a_frame_depends_on_its_payload_only() -> None:
    assert deflated_frame(1, b"again" * 20) == deflated_frame(1, b"again" * 20)


def test_a_message_within_the_limit_is_inflated() -> None:
    compressor = zlib.compressobj(wbits=-15)
    payload = (compressor.compress(b"x" * 1000) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert inflate(payload, 1000) == b"x" * 1000
    assert inflate(payload, 999) is None


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param("ffffff", id="no stream"),
        pytest.param("f248cdc9", id="breaks off"),
        pytest.param("f348cdc9c907", id="the last block, and not the empty one"),
        pytest.param("f348cdc9c9070000" * 2, id="more after the last block"),
    ],
)
def test_an_incomplete_deflate_stream_is_an_error(payload: str) -> None:
    with pytest.raises(zlib.error):
        inflate(bytes.fromhex(payload), 100)


@pytest.mark.parametrize(
    ("payload", "text"), [("", b""), ("00", b""), ("f248cdc9c90700", b"Hello"), ("f348cdc9c9070000", b"Hello")]
)
def test_every_valid_end_of_a_stream_is_accepted(payload: str, text: bytes) -> None:
    assert inflate(bytes.fromhex(payload), 5) == text
