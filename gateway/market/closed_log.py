"""The newest closed klines of one series: a ring that counts how many klines were ever appended."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gateway.market.change import CORRECTED, UNCHANGED
from gateway.market.rewrites import Rewrites
from gateway.model.kline import rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.market.change import Change
    from gateway.model.kline import Kline


class ClosedLog:
    """An offset is a count of appended klines: pending for a reader at offset n are the klines n, n + 1, … up to `end`.

    Open times rise strictly. A reader whose offset is before `start` has lost klines and needs a resync.
    """

    __slots__ = ("_ring", "begin_ms", "end", "noted_end", "rewrites")

    def __init__(self, size: int) -> None:
        self._ring: deque[Kline] = deque(maxlen=size)
        self.end = self.noted_end = 0
        """`noted_end`: the end that longer klines have been built with, or will be; -1: with less than is held now. The
        market sets it."""
        self.begin_ms = 0
        """Open time of the first kline that may still close before the oldest one held; 0: none. The series sets it."""
        self.rewrites = Rewrites()

    @property
    def size(self) -> int:
        """How many klines it holds at most."""
        return self._ring.maxlen or 0

    @property
    def start(self) -> int:
        return self.end - len(self._ring)

    @property
    def last(self) -> Kline | None:
        return self._ring[-1] if self._ring else None

    @property
    def first_open_time_ms(self) -> int:
        """Open time of the oldest kline held; 0 while there is none."""
        return self._ring[0].open_time_ms if self._ring else 0

    @property
    def since_ms(self) -> int:
        """Open time of the oldest kline that belongs here, held or missing; 0 while there is none."""
        return self.begin_ms or self.first_open_time_ms

    def prepend(self, klines: Iterable[Kline]) -> int:
        """Put those of ascending klines that open before all that are held in front of them, the last ones that there
        is room for; returns the open time of the last of them, 0 without any. They are pending for no reader."""
        before = [kline for kline in klines if kline.open_time_ms < self.first_open_time_ms]
        room = self.size - len(self._ring)
        if not before or not room:
            return 0
        self._ring.extendleft(reversed(before[-room:]))
        self.noted_end = -1
        return before[-1].open_time_ms

    def append(self, kline: Kline) -> None:
        assert self.last is None or kline.open_time_ms > self.last.open_time_ms
        self._ring.append(kline)
        self._grown()

    def merge(self, kline: Kline) -> Change:
        """Apply a closed kline that is not after the newest one: a repetition, a correction, or a missing one."""
        known = {held.open_time_ms for held in self._ring}
        if kline.open_time_ms in known:
            changed = self.correct(kline)
        else:
            # Klines from before the log began are not missing in it.
            changed = kline.open_time_ms >= self.since_ms and self.insert(kline)
        if changed and self.last is not None:
            self.rewrites.note(kline.open_time_ms, self.last.open_time_ms)
        return CORRECTED if changed else UNCHANGED

    def correct(self, kline: Kline) -> bool:
        """Replace a kline of the log by a newer state; returns whether it differs. Readers past it need a resync."""
        for index, known in enumerate(self._ring):
            if known.open_time_ms == kline.open_time_ms and rank(kline) > rank(known):
                self._ring[index] = kline
                return not _same(known, kline)
        return False

    def insert(self, kline: Kline) -> bool:
        """Insert a kline that arrived late among the newer ones; returns whether there was room.

        Every reader needs a resync.
        """
        later = [known for known in self._ring if known.open_time_ms > kline.open_time_ms]
        if len(later) == self._ring.maxlen:
            return False
        for _ in later:
            self._ring.pop()
        self._ring.append(kline)
        self._ring.extend(later)
        self._grown()
        return True

    def drop_after(self, limit_ms: int) -> bool:
        """Drop klines that close after `limit_ms`, and event times after it; returns whether there were any.

        Every reader needs a resync.
        """
        kept = [
            kline._replace(event_time_ms=0) if kline.event_time_ms > limit_ms else kline
            for kline in self._ring
            if kline.close_time_ms <= limit_ms
        ]
        dropped = kept != list(self._ring)
        if dropped:
            self._ring.clear()
            self._ring.extend(kept)
        return dropped

    def _grown(self) -> None:
        self.end += 1
        if len(self._ring) == self._ring.maxlen:
            self.begin_ms = 0

    def since(self, offset: int) -> list[Kline]:
        """The klines from `offset` on; the caller has checked that `offset` is not before `start`."""
        skip = len(self._ring) - (self.end - offset)
        return [kline for index, kline in enumerate(self._ring) if index >= skip]

    def __iter__(self) -> Iterator[Kline]:
        return iter(self._ring)

    def __len__(self) -> int:
        return len(self._ring)


def _same(one: Kline, other: Kline) -> bool:
    return one._replace(event_time_ms=0) == other._replace(event_time_ms=0)
