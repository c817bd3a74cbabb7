"""The closed klines of one series together with their encoded text, so that an answer is a slice and not an encoding.

Pure values: `EncodedKlines` is never changed; updates make a new one that takes over what is already encoded.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from gateway.history.answer_prefix import AnswerPrefix
from gateway.history.merge import unique
from gateway.model.kline import Kline

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from gateway.history.kept_prefixes import KeptPrefixes
    from gateway.model.interval import Interval

_PREFIXES_MAX = 4
"""Answer prefixes kept per encoding of a series: clients ask for few different limits, and each is some 10-100 KB."""

_LEVEL = 1
"""Of what is kept in memory: 500 klines shrink to a fifth in 0.4 ms; more effort saves little."""


class PackedKlines(Sequence[Kline]):
    """An immutable sequence of closed klines, kept as one compressed text.

    500 klines take some 20 KB instead of 350, and half a millisecond to pack or to unpack: all at once, so read a slice
    or iterate, and do not index in a loop.
    """

    __slots__ = ("_count", "_packed")

    def __init__(self, klines: Iterable[Kline], before: Sequence[str] = ()) -> None:
        """`before`: rows of other klines, which come before these."""
        rows = [*before, *map(_pack, klines)]
        self._count = len(rows)
        self._packed = zlib.compress("\n".join(rows).encode(), _LEVEL)

    @overload
    def __getitem__(self, index: int) -> Kline: ...
    @overload
    def __getitem__(self, index: slice) -> list[Kline]: ...
    def __getitem__(self, index: int | slice) -> Kline | list[Kline]:
        if isinstance(index, slice):
            return unpack(self.rows()[index])
        return _unpack(self.rows()[index])

    def __iter__(self) -> Iterator[Kline]:
        return map(_unpack, self.rows())

    def __len__(self) -> int:
        return self._count

    def rows(self) -> list[str]:
        """Each kline as text, for `before` and `unpack`."""
        return zlib.decompress(self._packed).decode().split("\n") if self._count else []


class EncodedKlines:
    """Invariant: `klines` ascend, each open time once; `open_times_ms[i]` is the open time of `klines[i]`.

    The text is made when it is first asked for: clients of one dialect do not pay for those of another.
    """

    __slots__ = (
        *("_encode", "_ends", "_hole", "_kept", "_other_encodings", "_packed_text", "_prefixes", "_unencoded"),
        *("__weakref__", "complete", "derived", "from_memory", "from_store", "klines", "open_times_ms"),
    )

    def __init__(
        self,
        klines: Sequence[Kline],
        complete: bool,
        encode: Callable[[Kline], bytes],
        *,
        derived: bool = False,
        from_memory: tuple[Kline, ...] = (),
        kept: KeptPrefixes | None = None,
    ) -> None:
        """`klines`: ascending, each open time once. `complete`: nothing older is stored. `derived`: aggregated.

        `encode`: one kline -> its JSON. `from_memory`: the newest closed klines of the live market, where they are
        merged with those read from the store. `kept`: bounds the prefixes of this and other series.
        """
        self.klines = PackedKlines(klines)
        self.open_times_ms = array("q", [kline.open_time_ms for kline in klines])
        self.complete = complete
        self.derived = derived
        self.from_memory = from_memory
        self.from_store = bool(klines)
        """Whether anything is stored: not all of the klines are those of memory."""
        self._encode = encode
        self._kept = kept
        self._hole: tuple[int | None] | None = None
        self._prefixes: dict[Hashable, AnswerPrefix] = {}
        self._other_encodings: dict[Callable[[Kline], bytes], EncodedKlines] = {}
        self._unencoded: Iterable[Kline] = klines
        """The klines as they were given, until the first text is made of them; for another one they are unpacked."""
        if kept is not None and klines:
            kept.add_unpacked(self)
        self._packed_text: bytes | None = None
        self._ends = array("l")

    def __len__(self) -> int:
        return len(self.klines)

    def with_memory(self, memory: tuple[Kline, ...], klines_max: int, interval: Interval) -> EncodedKlines:
        """These klines merged with the newest closed ones in memory, the last `klines_max` of them; itself where that
        changes nothing. A hole that these have stays one until memory fills it."""
        if memory == self.from_memory:
            return self
        rows = self.klines.rows()
        # What is older than memory is taken over as it is: usually all but the last few.
        kept = self.index_range(None, memory[0].open_time_ms - 1)[1] if memory else len(rows)
        newest = unique((*memory, *unpack(rows[kept:])))[-klines_max:]
        first = max(0, kept + len(newest) - klines_max)
        klines = PackedKlines(newest, before=rows[first:kept])
        open_times_ms = self.open_times_ms[first:kept] + array("q", [kline.open_time_ms for kline in newest])
        merged = self._copy(klines, open_times_ms, self._encode)
        merged.complete = self.complete and not first
        merged.from_memory = memory
        merged._hole = (merged._find_hole(interval, self.hole_after(interval)),)
        merged._take_over(self, first, kept, newest)
        for encode, other in self._other_encodings.items():
            also = merged._other_encodings[encode] = merged._copy(klines, open_times_ms, encode)
            also._take_over(other, first, kept, newest)
        return merged

    def encoded_by(self, encode: Callable[[Kline], bytes]) -> EncodedKlines:
        """The same klines in another dialect's encoding, kept for the next call with the same function."""
        other = self._other_encodings.get(encode)
        if other is None:
            other = self._other_encodings[encode] = self._copy(self.klines, self.open_times_ms, encode)
            other._unencoded, self._unencoded = self._unencoded, self.klines
        return other

    def hole_after(self, interval: Interval) -> int | None:
        """Open time of the last stored kline before a hole: where the klines in memory do not continue the stored ones.

        `None` where they do.
        """
        if self._hole is None:
            self._hole = (self._find_hole(interval, None),)
        return self._hole[0]

    def _find_hole(self, interval: Interval, known_ms: int | None) -> int | None:
        """The hole before those in memory, else the one of before these were merged in (`known_ms`), if it is left."""
        opens_ms = self.open_times_ms
        ends_ms = [self.from_memory[0].open_time_ms - 1] if self.from_memory else []
        for end_ms in (*ends_ms, *(() if known_ms is None else (known_ms,))):
            after = self.index_range(None, end_ms)[1]
            if 0 < after < len(self) and interval.next_open(opens_ms[after - 1]) < opens_ms[after]:
                return opens_ms[after - 1]
        return None

    def index_range(self, start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
        """Indices [first, last) of the klines that open within both ends, included."""
        first = 0 if start_ms is None else bisect_left(self.open_times_ms, start_ms)
        last = len(self.open_times_ms) if end_ms is None else bisect_right(self.open_times_ms, end_ms)
        return first, max(first, last)

    def text(self, first: int, last: int) -> bytes:
        """The klines [first, last) as JSON, comma-separated."""
        if first >= last:
            return b""
        if self._packed_text is None:
            self._append(b"", array("l"), self._unencoded)
            self._unencoded = self.klines
        assert self._packed_text is not None
        begin = self._ends[first - 1] + 1 if first else 0
        return zlib.decompress(self._packed_text)[begin : self._ends[last - 1]]

    def prefix(self, opening: bytes, first: int, last: int) -> AnswerPrefix:
        """`opening` followed by the klines [first, last); kept for the next request of the same."""
        key = (opening, first, last)
        prefix = self._prefixes.get(key)
        if prefix is None:
            if len(self._prefixes) >= _PREFIXES_MAX:
                del self._prefixes[next(iter(self._prefixes))]
            prefix = self._prefixes[key] = AnswerPrefix(opening + self.text(first, last))
            if self._kept is not None:
                self._kept.add(self, key, len(prefix.text))
        return prefix

    def drop(self, key: Hashable) -> None:
        """Keep a prefix no longer, for `KeptPrefixes`."""
        self._prefixes.pop(key, None)

    def pack(self) -> None:
        """Keep the klines unpacked no longer, for `KeptPrefixes`."""
        self._unencoded = self.klines

    def _copy(self, klines: PackedKlines, open_times_ms: array[int], encode: Callable[[Kline], bytes]) -> EncodedKlines:
        """One with these klines, which are shared, and without text."""
        copy = EncodedKlines(
            (), self.complete, encode, derived=self.derived, from_memory=self.from_memory, kept=self._kept
        )
        copy.klines, copy.open_times_ms, copy.from_store = klines, open_times_ms, self.from_store
        copy._unencoded = klines
        return copy

    def _take_over(self, before: EncodedKlines, first: int, last: int, newest: Iterable[Kline]) -> None:
        """Make the text of the klines [first, last) of another one and the newest, if the other one has its text."""
        if before._packed_text is not None:
            begin = before._ends[first - 1] + 1 if first else 0
            ends = array("l", [end - begin for end in before._ends[first:last]])
            self._append(before.text(first, last), ends, newest)

    def _append(self, text: bytes, ends: array[int], klines: Iterable[Kline]) -> None:
        """Encode klines after the text of others. `ends[i]`: where kline i of those ends in it."""
        parts = [text] if ends else []
        position = len(text)
        for kline in klines:
            part = self._encode(kline)
            position += len(part) + (1 if parts else 0)
            parts.append(part)
            ends.append(position)
        self._packed_text = zlib.compress(b",".join(parts), _LEVEL)
        self._ends = ends


def unpack(rows: Iterable[str]) -> list[Kline]:
    """The klines of packed rows."""
    return [_unpack(row) for row in rows]


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
