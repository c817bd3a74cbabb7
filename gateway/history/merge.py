"""Rules for joining stored klines, those in memory and the forming one into one ascending list. Pure.

- A closed kline beats a forming one of the same open time.
- Of two closed klines of the same open time the newer wins, by `model.kline.rank`. (A rewritten kline is a second
  member of the sorted set and carries no event time; a kline only grows.) Where none is newer, the first one counts.
- The forming kline comes last or not at all: one that is older than a closed kline is out of date.
- No kline is ever invented: a hole in the source stays a hole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model.kline import rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.model.kline import Kline


def unique(klines: Iterable[Kline]) -> list[Kline]:
    """Closed klines in any order and number -> ascending by open time, the newest of each."""
    best: dict[int, Kline] = {}
    for kline in klines:
        known = best.get(kline.open_time_ms)
        # Without the last element of the rank, the kline itself: of two equally new ones the first counts.
        if known is None or rank(kline)[:-1] > rank(known)[:-1]:
            best[kline.open_time_ms] = kline
    return [best[open_time_ms] for open_time_ms in sorted(best)]


def follows(closed_ms: Sequence[int], forming: Kline | None) -> bool:
    """Whether the forming kline belongs after closed ones with these open times."""
    return forming is not None and (not closed_ms or forming.open_time_ms > closed_ms[-1])


def within(kline: Kline, start_ms: int | None, end_ms: int | None) -> bool:
    """Whether the kline opens within both ends, included."""
    return (start_ms is None or start_ms <= kline.open_time_ms) and (end_ms is None or kline.open_time_ms <= end_ms)
