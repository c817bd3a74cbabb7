"""What the gateway needs of an archive, whatever keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.model.kline import Kline

SeriesName = tuple[str, str]
"""Symbol and interval."""


class ArchiveError(Exception):
    """The archive cannot be read or written now; the message says why."""


class Coverage(NamedTuple):
    """What the archive has of one series. Times are open times in ms since the epoch."""

    first_ms: int
    last_ms: int
    klines: int


class Archive(Protocol):
    """Closed klines by symbol, interval and open time. Every method raises `ArchiveError`.

    Writing the same klines again changes nothing; of two with one open time the one written last stays.
    """

    async def lead(self) -> bool:
        """Become the one process that writes, unless another one is; returns whether this one is it."""
        ...

    async def write(self, klines: Mapping[SeriesName, Sequence[Kline]]) -> int:
        """Write closed klines, each series ascending; returns how many were new or changed."""
        ...

    async def read(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        """Klines by open time, both ends included, ascending: the first `limit` from the start, or without one the last
        `limit`."""
        ...

    async def coverage(self) -> Mapping[SeriesName, Coverage]:
        """What there is of each series."""
        ...

    async def last(self, symbol: str, interval: str) -> int | None:
        """Open time of the newest kline of a series."""
        ...

    async def has_symbol(self, symbol: str) -> bool:
        """Whether there is any kline of the symbol."""
        ...

    async def size_bytes(self) -> int:
        """Bytes on disk."""
        ...

    async def aclose(self) -> None:
        """Finish what is being written, and close."""
        ...
