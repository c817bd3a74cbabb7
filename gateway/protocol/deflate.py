"""permessage-deflate (RFC 7692) without a compressor per connection. Pure.

Both sides start every message afresh (no context takeover), so a compressed frame depends on its payload alone: it is
made once and written to everybody who negotiated the extension, and an idle connection keeps nothing for it.
"""

from __future__ import annotations

import zlib
from struct import pack

EXTENSION = "permessage-deflate"
WINDOW_BITS = 12
"""The compressor's window: 4 KiB holds a beat, and setting it up is cheap. Any client can take a smaller window."""
LEVEL = 1
"""Beats are short and repetitive: higher levels take twice the time for a few percent."""

_TAIL = b"\x00\x00\xff\xff"
# An empty block that is marked as the last: a stream that is whole ends with it, one that was cut does not.
_END = b"\x01\x00\x00\xff\xff"
_RESPONSE = f"{EXTENSION}; server_no_context_takeover; client_no_context_takeover"


def negotiate(offers: str) -> str | None:
    """The answer to a client's `Sec-WebSocket-Extensions`, `None` where no offer can be accepted (section 7.1)."""
    for offer in offers.split(","):
        name, *words = (word.strip() for word in offer.split(";"))
        if name == EXTENSION and (answer := _accept(words)):
            return answer
    return None


def _accept(words: list[str]) -> str | None:
    seen: set[str] = set()
    answer = _RESPONSE
    for word in words:
        key, equals, value = (part.strip() for part in word.partition("="))
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
    """A final server frame with the payload compressed; RSV1 says so (section 7.2.1)."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS, 5)
    # The sync flush ends with an empty block whose four bytes both sides agree to leave out.
    text = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    size = len(text)
    if size <= 125:
        return pack("!BB", 0xC0 | opcode, size) + text
    if size <= 0xFFFF:
        return pack("!BBH", 0xC0 | opcode, 126, size) + text
    return pack("!BBQ", 0xC0 | opcode, 127, size) + text


def inflate(payload: bytes, max_bytes: int) -> bytes | None:
    """A client's compressed message (section 7.2.2); `None` where it would be larger than `max_bytes`.

    Raises `zlib.error` for one that is no deflate stream, or only a part of one. Never holds more than `max_bytes`,
    whatever the bomb.
    """
    if not payload:
        # Should be one zero byte (section 7.2.3.6), but there are compressors that leave that out too.
        return b""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    text = inflater.decompress(payload + _TAIL + _END, max_bytes + 1)
    if len(text) > max_bytes:
        return None
    # A sender may mark its last block as the last (section 7.2.3.4); then an empty one is all that follows.
    if not inflater.eof or inflater.unused_data not in (b"", b"\x00" + _TAIL + _END):
        raise zlib.error("the stream breaks off")
    return text
