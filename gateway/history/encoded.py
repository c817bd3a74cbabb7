"""The closed klines of one series together with their encoded text, so that an answer is a slice and not an encoding.

Pure values: `EncodedKlines` is never changed; updates make a new one that takes over what is already encoded.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, overload

from gateway.history.merge import unique
from gateway.model.kline import Kline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.model.interval import Interval

_PREFIXES_MAX = 4
"""Answer prefixes kept per encoding of a series: clients ask for few different limits, and each is some 10-100 KB."""

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class AnswerPrefix:
    """The beginning of an answer, which is the same for many of them: hashed once, compressed once."""

    __slots__ = ("_checksum", "_deflated", "_hash", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._hash = blake2b(text, digest_size=12)
        self._checksum = 0
        self._deflated: bytes | None = None

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

        The smallest compressor that zlib has appends the suffix as it is, in 3 us. A copy of the prefix's own would
        take 20 us, and 250 KB of memory for each prefix (`loadtest/bench/answer_gzip.py`).
        """
        assert self._deflated is not None
        rest = zlib.compressobj(0, zlib.DEFLATED, -9, 1)
        size = (len(self.text) + len(suffix)) & 0xFFFFFFFF
        trailer = struct.pack("<II", zlib.crc32(suffix, self._checksum), size)
        return b"".join((_GZIP_HEADER, self._deflated, rest.compress(suffix), rest.flush(), trailer))

    def digest(self, suffix: bytes) -> str:
        """Hex digest of prefix and suffix."""
        total = self._hash.copy()
        total.update(suffix)
        return total.hexdigest()


class PackedKlines(Sequence[Kline]):
    """An immutable sequence of closed klines, each kept as one text instead of a tuple of a dozen objects.

    500 klines take a quarter of the memory that the values take. Unpacking one costs about a microsecond.
    """

    __slots__ = ("_rows",)

    def __init__(self, klines: Iterable[Kline]) -> None:
        self._rows: list[str] = klines._rows if isinstance(klines, PackedKlines) else [_pack(kline) for kline in klines]

    @overload
    def __getitem__(self, index: int) -> Kline: ...
    @overload
    def __getitem__(self, index: slice) -> list[Kline]: ...
    def __getitem__(self, index: int | slice) -> Kline | list[Kline]:
        if isinstance(index, slice):
            return [_unpack(row) for row in self._rows[index]]
        return _unpack(self._rows[index])

    def __len__(self) -> int:
        return len(self._rows)

    def equal_at(self, index: int, other: PackedKlines, other_index: int) -> bool:
        """Whether the kline at `index` equals the one at `other_index` of the other sequence."""
        return self._rows[index] == other._rows[other_index]


class EncodedKlines:
    """Invariant: `klines` ascend, each open time once; `open_times_ms[i]` is the open time of `klines[i]`."""

    __slots__ = (
        *("_encode", "_ends", "_other_encodings", "_prefixes", "_text"),
        *("complete", "derived", "from_memory", "klines", "open_times_ms"),
    )

    def __init__(
        self, klines: Sequence[Kline], complete: bool, encode: Callable[[Kline], bytes], *, derived: bool = False
    ) -> None:
        """`klines`: ascending, each open time once. `complete`: nothing older is stored. `derived`: aggregated.

        `encode`: one kline -> its JSON.
        """
        self.klines = PackedKlines(klines)
        self.open_times_ms = array("q", [kline.open_time_ms for kline in klines])
        self.complete = complete
        self.derived = derived
        self.from_memory: tuple[Kline, ...] = ()
        """The newest closed klines of the live market, which were merged with those read from the store."""
        self._encode = encode
        self._text = b""
        self._ends: array[int] | None = None
        self._prefixes: dict[tuple[bytes, int, int], AnswerPrefix] = {}
        self._other_encodings: dict[Callable[[Kline], bytes], EncodedKlines] = {}

    def __len__(self) -> int:
        return len(self.klines)

    def with_memory(self, memory: tuple[Kline, ...], klines_max: int) -> EncodedKlines:
        """These klines merged with the newest closed ones in memory, the last `klines_max` of them; itself where that
        changes nothing."""
        if memory == self.from_memory:
            return self
        klines = unique((*memory, *self.klines))
        complete = self.complete and len(klines) <= klines_max
        merged = EncodedKlines(klines[-klines_max:], complete, self._encode, derived=self.derived)
        merged.from_memory = memory
        merged._reuse_text(self)
        for encode, other in self._other_encodings.items():
            merged.encoded_by(encode)._reuse_text(other)
        return merged

    def encoded_by(self, encode: Callable[[Kline], bytes]) -> EncodedKlines:
        """The same klines in another dialect's encoding, kept for the next call with the same function."""
        other = self._other_encodings.get(encode)
        if other is None:
            other = self._other_encodings[encode] = EncodedKlines((), self.complete, encode, derived=self.derived)
            # Both are immutable, so they are shared.
            other.klines, other.open_times_ms = self.klines, self.open_times_ms
        return other

    def hole_after(self, interval: Interval) -> int | None:
        """Open time of the last stored kline before a hole: where the klines in memory do not continue the stored ones.

        `None` where they do.
        """
        if not self.from_memory:
            return None
        stored = self.index_range(None, self.from_memory[0].open_time_ms - 1)[1]
        if stored and interval.next_open(self.open_times_ms[stored - 1]) < self.from_memory[0].open_time_ms:
            return self.open_times_ms[stored - 1]
        return None

    def index_range(self, start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
        """Indices [first, last) of the klines that open within both ends, included."""
        first = 0 if start_ms is None else bisect_left(self.open_times_ms, start_ms)
        last = len(self.open_times_ms) if end_ms is None else bisect_right(self.open_times_ms, end_ms)
        return first, max(first, last)

    def text(self, first: int, last: int) -> bytes:
        """The klines [first, last) as JSON, comma-separated."""
        if self._ends is None:
            self._encode_rest(b"", array("l"))
        assert self._ends is not None
        if first >= last:
            return b""
        begin = self._ends[first - 1] + 1 if first else 0
        return self._text[begin : self._ends[last - 1]]

    def prefix(self, opening: bytes, first: int, last: int) -> AnswerPrefix:
        """`opening` followed by the klines [first, last); kept for the next request of the same."""
        key = (opening, first, last)
        prefix = self._prefixes.get(key)
        if prefix is None:
            if len(self._prefixes) >= _PREFIXES_MAX:
                del self._prefixes[next(iter(self._prefixes))]
            prefix = self._prefixes[key] = AnswerPrefix(opening + self.text(first, last))
        return prefix

    def _reuse_text(self, old: EncodedKlines) -> None:
        """Copy the text of the klines that both have at the beginning (usually all but one), and encode the rest."""
        if old._ends is None or not self.klines:
            return
        skip = bisect_left(old.open_times_ms, self.open_times_ms[0])
        same = 0
        while same < min(len(self), len(old) - skip) and self.klines.equal_at(same, old.klines, skip + same):
            same += 1
        text = old.text(skip, skip + same)
        begin = old._ends[skip - 1] + 1 if skip else 0
        self._encode_rest(text, array("l", [end - begin for end in old._ends[skip : skip + same]]))

    def _encode_rest(self, text: bytes, ends: array[int]) -> None:
        """Encode the klines after the first `len(ends)`. `text` holds those; `ends[i]`: where kline i ends in it."""
        parts = [text] if ends else []
        position = len(text)
        for kline in self.klines[len(ends) :]:
            part = self._encode(kline)
            position += len(part) + (1 if parts else 0)
            parts.append(part)
            ends.append(position)
        self._text = b",".join(parts)
        self._ends = ends


def _pack(kline: Kline) -> str:
    return " ".join(map(str, kline[:13])) + f" {kline.event_time_ms}"


def _unpack(row: str) -> Kline:
    open_ms, close_ms, open_, high, low, close, volume, quote, trades, taker, taker_quote, first, last, event_ms = (
        row.split(" ")
    )
    return Kline(
        int(open_ms),
        int(close_ms),
        open_,
        high,
        low,
        close,
        volume,
        quote,
        int(trades),
        taker,
        taker_quote,
        int(first),
        int(last),
        closed=True,
        event_time_ms=int(event_ms),
    )
