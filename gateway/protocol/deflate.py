"""permessage-deflate (RFC 7692) without a compressor per connection. Pure.

No context is taken over between messages (section 7.1.1), so a compressed frame depends only on its payload: it is made
once and written to every client that negotiated the extension, and an idle connection keeps no state for it.
"""

from __future__ import annotations

import zlib
from struct import pack

EXTENSION = "permessage-deflate"
WINDOW_BITS = 12
"""The compressor's window: 4 KiB holds a flush and is cheap to set up. Every client accepts a smaller window."""
LEVEL = 1
"""Flushes are short and repetitive: higher levels take twice the time for a few percent."""

_TAIL = b"\x00\x00\xff\xff"
# An empty block marked as the last one: appended, it ends a complete stream, but not one that was cut.
_END = b"\x01\x00\x00\xff\xff"
_RESPONSE = f"{EXTENSION}; server_no_context_takeover; client_no_context_takeover"


def negotiate(offers: str) -> str | None:
    """The answer to a client's `Sec-WebSocket-Extensions`; None if no offer can be accepted (section 7.1)."""
    for offer in offers.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name == EXTENSION and (answer := _accept(parameters)):
            return answer
    return None


def _accept(parameters: list[str]) -> str | None:
    seen: set[str] = set()
    answer = _RESPONSE
    for parameter in parameters:
        key, equals, value = (part.strip() for part in parameter.partition("="))
        value = value.strip('"')
        if key in seen or (equals and not value):
            return None
        seen.add(key)
        match key:
            case "server_no_context_takeover" | "client_no_context_takeover" if not value:
                pass
            case "client_max_window_bits" if not value or _is_window(value):
                pass
            case "server_max_window_bits" if _is_window(value) and int(value) >= WINDOW_BITS:
                answer += f"; server_max_window_bits={WINDOW_BITS}"
            case _:
                return None
    return answer


def _is_window(value: str) -> bool:
    return value.isascii() and value.isdigit() and not value.startswith("0") and 8 <= int(value[:3]) <= 15


def deflated_frame(opcode: int, payload: bytes) -> bytes:
    """A final server frame with a compressed payload, marked by RSV1 (section 7.2.1)."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS, 5)
    # The sync flush ends with four bytes that are removed (section 7.2.1).
    text = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    size = len(text)
    if size <= 125:
        return pack("!BB", 0xC0 | opcode, size) + text
    if size <= 0xFFFF:
        return pack("!BBH", 0xC0 | opcode, 126, size) + text
    return pack("!BBQ", 0xC0 | opcode, 127, size) + text


def inflate(payload: bytes, max_bytes: int) -> bytes | None:
    """Inflate a client's message (section 7.2.2); None if it would be larger than `max_bytes`.

    Never allocates more than that. Raises `zlib.error` for a payload that is not a complete deflate stream.
    """
    if not payload:
        # It should be one zero byte (section 7.2.3.6), but some compressors omit it.
        return b""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    text = inflater.decompress(payload + _TAIL + _END, max_bytes + 1)
    if len(text) > max_bytes:
        return None
    # A sender may set BFINAL on its last block (section 7.2.3.4); then only empty blocks follow.
    if not inflater.eof or inflater.unused_data not in (b"", b"\x00" + _TAIL + _END):
        raise zlib.error("the stream is incomplete")
    return text
