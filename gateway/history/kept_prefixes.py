"""Bounds the memory that encoded series keep for later: the oldest is dropped, and made again when asked for."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Hashable

KEPT_MAX_BYTES = 128 * 1024 * 1024
"""Of all series: a thousand answers of 500 klines."""

OTHER_BYTES = 1024
"""Of a prefix besides its text."""


UNPACKED_MAX = 16
"""Series that keep their klines unpacked until somebody asks for text; 500 klines are some 350 KB. Who reads a series
asks for its text next."""


class Owner(Protocol):
    """What keeps prefixes, each under a key, and at first its klines unpacked."""

    def drop(self, key: Hashable, /) -> None:
        """Keep a prefix no longer, if it is still there."""

    def pack(self) -> None:
        """Keep the klines unpacked no longer, if they still are."""


class KeptPrefixes:
    """Counts prefixes by size. Those of owners that are gone count until it is their turn, as they are the oldest."""

    def __init__(self, max_bytes: int = KEPT_MAX_BYTES) -> None:
        self.bytes = 0
        """What is counted: at least as many as are kept."""
        self._max = max_bytes
        self._kept: deque[tuple[ref[Owner], Hashable, int]] = deque()
        self._unpacked: deque[ref[Owner]] = deque()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, owner: Owner, key: Hashable, text_bytes: int) -> None:
        """Count a prefix. Its text counts twice: compressed text and an ending may be kept beside it."""
        size = 2 * text_bytes + OTHER_BYTES
        self._kept.append((ref(owner), key, size))
        self.bytes += size
        while self.bytes > self._max:
            oldest, other, freed = self._kept.popleft()
            self.bytes -= freed
            if (found := oldest()) is not None:
                found.drop(other)

    def add_unpacked(self, owner: Owner) -> None:
        """Count a series that keeps its klines unpacked."""
        self._unpacked.append(ref(owner))
        if len(self._unpacked) > UNPACKED_MAX and (oldest := self._unpacked.popleft()()) is not None:
            oldest.pack()
