"""What keeps an archive in order: which klines are missing, whether what it has is sound, and what it need not keep.

Everything but `Prunes` and `Compacts` works with every archive.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from gateway.archive.blocks import BLOCK_KLINES, block_span
from gateway.archive.engine import ArchiveError
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from gateway.archive.engine import Archive, Coverage, SeriesName
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline


@runtime_checkable
class Prunes(Protocol):
    """An archive that drops what is old."""

    async def prune(self, interval: str, before_ms: int) -> int:
        """Drop klines of all symbols that open before that time, as far as it costs little; returns how many.

        Raises `ArchiveError`."""


@runtime_checkable
class Compacts(Protocol):
    """An archive that can be made smaller."""

    async def compact(self) -> None:
        """Give back what is not used any more. Takes as much room again on disk. Raises `ArchiveError`."""


class Hole(NamedTuple):
    """Klines that are missing between others: open times of the first and the last of them, and how many."""

    first_ms: int
    last_ms: int
    klines: int


def windows(interval: Interval, first_ms: int, last_ms: int) -> int:
    """How many klines there could be between two open times, both included."""
    if interval.length_ms:
        return (last_ms - first_ms) // interval.length_ms + 1
    count = 1
    while first_ms < last_ms:
        first_ms = interval.next_open(first_ms)
        count += 1
    return count


def missing(interval: str, part: Coverage) -> int:
    """How many klines are missing between the first and the last one of a series."""
    return windows(INTERVALS[interval], part.first_ms, part.last_ms) - part.klines


def holes(klines: Sequence[Kline], interval: Interval) -> Iterator[Hole]:
    """What is missing between klines, ascending."""
    for before, after in pairwise(kline.open_time_ms for kline in klines):
        first_ms = interval.next_open(before)
        if first_ms < after:
            last_ms = interval.previous_open(after)
            yield Hole(first_ms, last_ms, windows(interval, first_ms, last_ms))


def unsound(kline: Kline, interval: Interval) -> str:
    """What is wrong with a kline of a series; "": nothing."""
    if interval.open_time(kline.open_time_ms) != kline.open_time_ms:
        return "opens at no edge of the interval"
    low, high = Decimal(kline.low), Decimal(kline.high)
    if not (low <= Decimal(kline.open) <= high and low <= Decimal(kline.close) <= high):
        return f"prices contradict each other: o={kline.open} h={high} l={low} c={kline.close}"
    return ""


async def pages(archive: Archive, series: SeriesName, part: Coverage) -> AsyncIterator[list[Kline] | ArchiveError]:
    """The klines of a series, some at a time; in the place of those that cannot be read the error."""
    interval = INTERVALS[series[1]]
    span_ms = block_span(interval)
    for start_ms in range(part.first_ms // span_ms * span_ms, part.last_ms + 1, span_ms):
        try:
            klines = await archive.read(*series, BLOCK_KLINES, start_ms, start_ms + span_ms - 1)
        except ArchiveError as error:
            yield error
            continue
        if klines:
            yield klines
