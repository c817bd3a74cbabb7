"""The beginning of an answer: made once, hashed once, compressed once; and what has followed it last."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.kline import Kline

_BLOCK = struct.Struct("<BHH").pack
_BLOCK_MAX = 0xFFFF
_TRAILER = struct.Struct("<II").pack
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


@dataclass(frozen=True, slots=True)
class Ending:
    """What follows a prefix while neither the forming kline nor the reason to be stale changes."""

    forming: Kline | None
    stale_reason: str
    text: bytes
    headers: list[tuple[bytes, bytes]]
    """Of the answer; must not be changed."""
    lines: bytes
    """The headers as HTTP/1.1 has them."""
    etag: str = ""
    packed: bytes = b""
    """The whole answer compressed, where it is kept."""

    def suits(self, forming: Kline | None, stale_reason: str) -> bool:
        """Whether an answer that ends so has this ending."""
        return stale_reason == self.stale_reason and (forming is self.forming or forming == self.forming)


class AnswerPrefix:
    """The beginning of an answer, which is the same for many of them: hashed once, compressed once."""

    __slots__ = ("_checksum", "_deflated", "_hash", "ending", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.ending: Ending | None = None
        """What an answer last had after the prefix; whoever sets it says when it is used again."""
        self._hash = blake2b(text, digest_size=12)
        self._checksum = 0
        self._deflated: bytes | None = None

    @property
    def deflated(self) -> bytes:
        """The text compressed, up to a byte boundary: blocks of anything else may follow; after `compress`."""
        assert self._deflated is not None
        return self._deflated

    @property
    def compressed(self) -> bool:
        """Whether `compress` was called."""
        return self._deflated is not None

    def compress(self) -> None:
        """The slow part of `gzip`, some ms for 500 klines: call it in a thread."""
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._checksum = zlib.crc32(self.text)
        # A sync flush ends on a byte boundary and without the final block: the suffix's deflate stream continues it.
        self._deflated = deflate.compress(self.text) + deflate.flush(zlib.Z_SYNC_FLUSH)

    def gzip(self, suffix: bytes) -> bytes:
        """Prefix and suffix as one gzip member (RFC 1952).

        The suffix is appended as it is, in a block of RFC 1951, section 3.2.4. A copy of the prefix's compressor would
        take 20 us, and 250 KB of memory for each prefix (`loadtest/bench/answer_gzip.py`).
        """
        trailer = _TRAILER(zlib.crc32(suffix, self._checksum), (len(self.text) + len(suffix)) & 0xFFFFFFFF)
        return b"".join((_GZIP_HEADER, self.deflated, stored(suffix, last=True), trailer))

    def digest(self, suffix: bytes) -> str:
        """Hex digest of prefix and suffix."""
        total = self._hash.copy()
        total.update(suffix)
        return total.hexdigest()


def joined_gzip(parts: Sequence[tuple[AnswerPrefix, bytes]], text: bytes) -> bytes:
    """Compressed prefixes, each with what follows it, as one gzip member. `text`: all of them, not compressed.

    No block refers to what another prefix has, so their blocks may stand one after the other.
    """
    last = len(parts) - 1
    blocks = [prefix.deflated + stored(rest, last=place == last) for place, (prefix, rest) in enumerate(parts)]
    return b"".join((_GZIP_HEADER, *blocks, _TRAILER(zlib.crc32(text), len(text) & 0xFFFFFFFF)))


def stored(text: bytes, *, last: bool) -> bytes:
    """A text as deflate has it without compressing it. `last`: it ends the stream."""
    if len(text) <= _BLOCK_MAX:
        return _BLOCK(last, len(text), len(text) ^ _BLOCK_MAX) + text
    deflate = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(text) + deflate.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
