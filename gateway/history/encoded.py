"""The closed klines of one series together with their encoded text, so that an answer is a slice and not an encoding.

Pure values: a past is never changed, news makes a new one that takes over what is already encoded.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from hashlib import blake2b
from typing import TYPE_CHECKING

from gateway.history.merge import unique
from gateway.history.packed import PackedKlines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

_HEADS_MAX = 4
"""Beginnings kept per past: clients ask for few different limits, and each is some 10-100 KB."""

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class Head:
    """The beginning of an answer, which is the same for many of them: hashed once, compressed once."""

    __slots__ = ("_checksum", "_deflated", "_hash", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._hash = blake2b(text, digest_size=12)
        self._checksum = 0
        self._deflated: bytes | None = None

    @property
    def packed(self) -> bool:
        return self._deflated is not None

    def pack(self) -> None:
        """The slow part of `gzip`, some ms for 500 klines: meant for a thread."""
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        # A full flush ends on a byte and forgets the window: any other deflate stream may follow.
        self._checksum = zlib.crc32(self.text)
        self._deflated = deflate.compress(self.text) + deflate.flush(zlib.Z_SYNC_FLUSH)

    def gzip(self, tail: bytes) -> bytes:
        """Head and tail as one gzip member (RFC 1952). The tail (some hundred bytes, below 64 KiB) goes in as it is:
        setting up a compressor for it costs more (20 us) than all the rest, and gains nothing."""
        assert self._deflated is not None
        return b"".join(
            (
                _GZIP_HEADER,
                self._deflated,
                # The last block, stored (RFC 1951, 3.2.4).
                struct.pack("<BHH", 1, len(tail), len(tail) ^ 0xFFFF),
                tail,
                struct.pack("<II", zlib.crc32(tail, self._checksum), (len(self.text) + len(tail)) & 0xFFFFFFFF),
            )
        )

    def digest(self, tail: bytes) -> str:
        """Hex digest of head and tail."""
        total = self._hash.copy()
        total.update(tail)
        return total.hexdigest()


class EncodedKlines:
    """Invariant: `bars` ascend, each open time once; `opens[i]` is the open time of `bars[i]`."""

    __slots__ = ("_encode", "_ends", "_heads", "_text", "bars", "complete", "derived", "memory", "opens")

    def __init__(
        self, stored: Sequence[Kline], complete: bool, encode: Callable[[Kline], bytes], *, derived: bool = False
    ) -> None:
        """`stored`: ascending, each open time once. `complete`: nothing older is stored. `derived`: made of others."""
        self.bars = PackedKlines(stored)
        self.opens = array("q", [bar.open_time_ms for bar in stored])
        self.complete = complete
        self.derived = derived
        self.memory: tuple[Kline, ...] = ()
        self._encode = encode
        self._text = b""
        self._ends: array[int] | None = None
        self._heads: dict[tuple[bytes, int, int], Head] = {}

    def __len__(self) -> int:
        return len(self.bars)

    def with_memory(self, memory: tuple[Kline, ...], most: int) -> EncodedKlines:
        """This with the newest closed klines in memory stitched in, at most `most` bars; itself if they are no news."""
        if memory == self.memory:
            return self
        bars = unique((*memory, *self.bars))
        news = EncodedKlines(bars[-most:], self.complete and len(bars) <= most, self._encode, derived=self.derived)
        news.memory = memory
        news._take_over(self)
        return news

    def torn_after(self, span: Interval) -> int | None:
        """Open time of the bar before a hole where what was stored and what is in memory should meet; `None` where
        they do."""
        joint = self.span(None, self.memory[0].open_time_ms - 1)[1] if self.memory else 0
        if joint and span.next_open(self.opens[joint - 1]) < self.memory[0].open_time_ms:
            return self.opens[joint - 1]
        return None

    def span(self, start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
        """Indices [first, last) of the bars that open within both ends, included."""
        first = 0 if start_ms is None else bisect_left(self.opens, start_ms)
        last = len(self.opens) if end_ms is None else bisect_right(self.opens, end_ms)
        return first, max(first, last)

    def text(self, first: int, last: int) -> bytes:
        """The bars [first, last) as JSON objects, comma-separated."""
        if self._ends is None:
            self._encode_rest(b"", array("l"))
        assert self._ends is not None
        if first >= last:
            return b""
        begin = self._ends[first - 1] + 1 if first else 0
        return self._text[begin : self._ends[last - 1]]

    def head(self, opening: bytes, first: int, last: int) -> Head:
        """`opening` followed by the bars [first, last); kept for the next one who asks the same."""
        key = (opening, first, last)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= _HEADS_MAX:
                del self._heads[next(iter(self._heads))]
            head = self._heads[key] = Head(opening + self.text(first, last))
        return head

    def _take_over(self, old: EncodedKlines) -> None:
        """Reuse the text of the bars both have at their beginning: usually all but one."""
        if old._ends is None or not self.bars:
            return
        skip = bisect_left(old.opens, self.opens[0])
        same = 0
        while same < min(len(self), len(old) - skip) and self.bars.same(same, old.bars, skip + same):
            same += 1
        text = old.text(skip, skip + same)
        begin = old._ends[skip - 1] + 1 if skip else 0
        self._encode_rest(text, array("l", [end - begin for end in old._ends[skip : skip + same]]))

    def _encode_rest(self, text: bytes, ends: array[int]) -> None:
        """Encode the bars after the first `len(ends)`, whose text is there. `ends[i]`: where the text of bar i ends."""
        parts = [text] if ends else []
        position = len(text)
        for bar in self.bars[len(ends) :]:
            part = self._encode(bar)
            position += len(part) + (1 if parts else 0)
            parts.append(part)
            ends.append(position)
        self._text = b",".join(parts)
        self._ends = ends
