"""One series on its way from an exchange to Redis: its order, what is missing, what was corrected. Pure.

- Closed klines leave in order, each once; one that comes before an older one has to wait for it.
- What should have closed and did not come is asked for (`wanted`). Where the exchange does not say when a kline is
  closed, it is closed by the clock (`close_by_clock`), provisionally until the exchange confirms it.
- A kline that has left is passed on again only when a newer report has other values.
- A forming kline never leaves before the closed one that comes before it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from collector.events import HISTORY_KLINES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

GRACE_MS = 2000
"""How long after its close time a kline may come by itself before it is asked for."""

BY_CLOCK_MS = 10_000
"""How long after its close time a kline that neither came nor was found is closed by the clock."""

RECENT_KLINES = 16
"""Closed klines that are remembered, to tell a correction from a repetition."""

# Enough for every close that can come while a question is under way; what is dropped is asked for again.
_HELD_MAX = 16

_NEVER_MS = sys.maxsize


class Span(NamedTuple):
    """Open times of klines: from `start_ms`, and before `end_ms`."""

    start_ms: int
    end_ms: int


class Series:
    """The klines of one symbol and interval. Times are ms since the epoch, by the exchange's clock."""

    def __init__(self, interval: Interval) -> None:
        self._interval = interval
        self._next_ms = 0
        self._overdue_ms = _NEVER_MS
        # Closed klines that came before an older one, by open time.
        self._held: dict[int, Kline] = {}
        # The newest forming state of all, and of each kline that has not left closed, by open time.
        self._newest: Kline | None = None
        self._forming: dict[int, Kline] = {}
        # The newest closed klines as they left, by open time.
        self._recent: dict[int, Kline] = {}
        # Closed by the clock and not confirmed by the exchange.
        self._unconfirmed: set[int] = set()

    @property
    def next_ms(self) -> int:
        """Open time of the first kline that has not left closed; 0 before `start`."""
        return self._next_ms

    @property
    def overdue_ms(self) -> int:
        """The time from which something is missing. Cheap, because thousands of series are asked several times a
        second."""
        return 0 if self._unconfirmed else self._overdue_ms

    @property
    def seen_ms(self) -> int:
        """Open time of the newest kline that was streamed and waits for an older one; 0 where there is none."""
        return max(max(self._forming, default=0), max(self._held, default=0))

    def start(self, next_ms: int) -> list[Kline]:
        """Begin (again) with the kline that opens at `next_ms`: what opens before it is stored already.

        Returns the klines that may leave now, in order.
        """
        self._unconfirmed.clear()
        self._go_on(next_ms)
        return self._released()

    def take(self, kline: Kline) -> list[Kline]:
        """A kline as the exchange streams it; returns those that may leave now, in order."""
        if kline.closed:
            return self._closed(kline)
        if kline.open_time_ms < self._next_ms:
            return []
        newest = self._newest
        # Two connections overlap while one replaces the other, so that a state may come twice, and late.
        if newest is not None and (
            kline == newest or (kline.open_time_ms, kline.event_time_ms) < (newest.open_time_ms, newest.event_time_ms)
        ):
            return []
        self._newest = self._forming[kline.open_time_ms] = kline
        if len(self._forming) > _HELD_MAX:
            del self._forming[min(self._forming)]
        return [kline] if kline.open_time_ms == self._next_ms else []

    def wanted(self, now_ms: int) -> Span | None:
        """The klines to ask the exchange for at this time; `None` when nothing is missing."""
        if self.overdue_ms > now_ms:
            return None
        # The exchange may still be about to finish what has just closed.
        end_ms = self._interval.open_time(now_ms - GRACE_MS)
        if self._unconfirmed:
            return Span(min(self._unconfirmed), max(end_ms, self._next_ms))
        return Span(self._next_ms, end_ms)

    def fill(self, klines: Iterable[Kline], span: Span, *, settled: bool) -> list[Kline]:
        """What the exchange answered for `span`; returns those that may leave now, in order.

        What is missing before the last kline of the answer does not exist. `settled`: nor does what is missing after
        it. Otherwise the exchange may still be about to make the newest of them, so that it stays wanted.
        """
        found = {kline.open_time_ms: kline for kline in klines if kline.open_time_ms < span.end_ms}
        answered_ms = self._interval.next_open(max(found)) if found else span.start_ms
        # What was streamed exists, whether or not the answer has it.
        known = {opened_ms: kline for opened_ms, kline in self._held.items() if opened_ms < answered_ms} | found
        leaving: list[Kline] = []
        for opened_ms, kline in sorted(known.items()):
            if opened_ms < self._next_ms:
                leaving += self._corrected(kline)
            else:
                leaving.append(self._left(kline))
                self._go_on(self._interval.next_open(opened_ms))
        if settled:
            answered_ms = span.end_ms
            self._go_on(max(self._next_ms, span.end_ms))
        self._unconfirmed = {opened_ms for opened_ms in self._unconfirmed if opened_ms >= answered_ms}
        return leaving + self._released()

    def recent(self) -> Span | None:
        """The newest klines that have left, to be compared with what the exchange says of them now."""
        if not self._next_ms:
            return None
        return Span(self._interval.back(self._next_ms, RECENT_KLINES), self._next_ms)

    def compare(self, klines: Iterable[Kline]) -> list[Kline]:
        """What the exchange says of klines that have left; returns those that it has changed since, in order.

        How a kline left before this process began is not known: then the answer is what later ones are compared with.
        """
        oldest_ms = min(self._recent, default=self._next_ms)
        leaving: list[Kline] = []
        for kline in klines:
            if kline.open_time_ms < oldest_ms:
                self._left(kline)
            elif kline.open_time_ms < self._next_ms:
                leaving += self._corrected(kline)
        return leaving

    def close_by_clock(self, now_ms: int) -> list[Kline]:
        """Close the kline that is long overdue, as it was last seen, and mark it provisional until it is confirmed."""
        if (kline := self._forming.get(self._next_ms)) is None:
            return []
        if self._interval.next_open(self._next_ms) + BY_CLOCK_MS > now_ms:
            return []
        self._unconfirmed.add(self._next_ms)
        if len(self._unconfirmed) > HISTORY_KLINES:
            self._unconfirmed.remove(min(self._unconfirmed))
        self._go_on(self._interval.next_open(self._next_ms))
        return [self._left(kline._replace(closed=True, provisional=True)), *self._released()]

    def _go_on(self, next_ms: int) -> None:
        self._next_ms = next_ms
        self._overdue_ms = self._interval.next_open(next_ms) + GRACE_MS

    def _closed(self, kline: Kline) -> list[Kline]:
        opened_ms = kline.open_time_ms
        if not self._next_ms or opened_ms > self._next_ms:
            self._held[opened_ms] = kline
            if len(self._held) > _HELD_MAX:
                del self._held[min(self._held)]
            return []
        if opened_ms < self._next_ms:
            return self._corrected(kline)
        self._go_on(self._interval.next_open(opened_ms))
        return [self._left(kline), *self._released()]

    def _corrected(self, kline: Kline) -> list[Kline]:
        """A closed kline older than the newest that has left: passed on if it says something new."""
        opened_ms = kline.open_time_ms
        if opened_ms not in self._unconfirmed and opened_ms < min(self._recent, default=self._next_ms):
            # Nobody knows how it left.
            return []
        self._unconfirmed.discard(opened_ms)
        before = self._recent.get(opened_ms)
        if before is not None:
            # The stream says when a kline is closed; an answer may have had it a little earlier than that. So only of
            # two messages of the stream, which have trade ids, an older one is late.
            is_late = before.first_trade_id >= 0 and kline.event_time_ms < before.event_time_ms
            if is_late or _values(before) == _values(kline):
                return []
        return [self._left(kline)]

    def _released(self) -> list[Kline]:
        """What has waited for the klines that have just left."""
        leaving: list[Kline] = []
        while kline := self._held.pop(self._next_ms, None):
            leaving.append(self._left(kline))
            self._go_on(self._interval.next_open(self._next_ms))
        self._held = {opened_ms: kline for opened_ms, kline in self._held.items() if opened_ms > self._next_ms}
        self._forming = {opened_ms: kline for opened_ms, kline in self._forming.items() if opened_ms >= self._next_ms}
        if (forming := self._forming.get(self._next_ms)) is not None:
            leaving.append(forming)
        return leaving

    def _left(self, kline: Kline) -> Kline:
        self._recent[kline.open_time_ms] = kline
        if len(self._recent) > RECENT_KLINES:
            del self._recent[min(self._recent)]
        return kline


def _values(kline: Kline) -> Kline:
    """What two reports of one kline must have in common to be the same: everything but when they were made.

    REST answers carry no trade ids.
    """
    return kline._replace(event_time_ms=0, first_trade_id=-1, last_trade_id=-1)
