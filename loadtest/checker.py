"""Proves the protocol's promise about klines from what clients saw. Pure; used while a run lasts and on recordings.

The promise, per client and channel: every closed kline exactly once and in order, or inside a later snapshot that
covers it; open times never go backwards outside of a snapshot; a closed kline comes before anything of the next bar;
and no price is shown as live that is older than the run allows.
The feeder publishes every bar of a series, so the successor of a bar is known without asking anybody.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gateway.model.interval import INTERVALS
from loadtest.recording import Closed, Forming, Joined, Left, Shown, Snapshot
from loadtest.stamps import volume_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model.interval import Interval
    from loadtest.recording import Event, Ledger

_EXAMPLES = 20
# More is not remembered of one channel: a series that is silent for an hour is told as well by so many.
_OWED = 1000

FAULTS = {
    "hole": "a closed kline never came, and no snapshot covered it while the connection lasted",
    "duplicate": "a closed kline came again, or an older one after a newer",
    "late": "a closed kline came after news of a newer bar",
    "reopened": "a forming bar that had been closed already",
    "backwards": "a forming bar older than the one before",
    "wrong_value": "a closed kline with values of another bar, or of a bar not yet final",
    "unordered_snapshot": "a snapshot that is not ascending or has a hole",
    "declared_hole": "a reconnect was told that its gap cannot be filled",
    "old_as_live": "a price was shown as live that was older than the limit",
    "missing_at_end": "the newest closed klines had not come when the run ended",
}


class _Place:
    """Where one client is in one channel. None: not known yet. `owed`: klines left out so far, and how that showed."""

    __slots__ = ("forming", "interval", "last", "owed")

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        self.last: int | None = None
        self.forming: int | None = None
        self.owed: dict[int, str] = {}

    def skip(self, first: int, before: int, example: str) -> None:
        """The klines from one open time to before another have not come."""
        while first < before and len(self.owed) < _OWED:
            self.owed[first] = example
            first = self.interval.next_open(first)

    def forget_ahead(self) -> None:
        """A resume asks for what lies after the cursor: that is not lost with the connection."""
        if self.last is not None:
            self.owed = {open_time_ms: how for open_time_ms, how in self.owed.items() if open_time_ms < self.last}


class Checker:
    """Takes events in the order they were seen; counts what breaks the promise, and keeps the first examples."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.examples: list[str] = []
        self.checked = 0
        """Closed klines looked at, one by one."""
        self.looks = 0
        """Looks at what was shown as live."""
        self._places: dict[tuple[int, str], _Place] = {}
        self._gone: set[int] = set()

    def see(self, event: Event) -> None:
        match event:
            case Joined(client):
                self._gone.discard(client)
            case Left(client):
                places = [place for (owner, _), place in self._places.items() if owner == client]
                for place in places:
                    place.forget_ahead()
                # The cursor has passed over what is owed still: a resume will not bring it.
                self._count_holes(places)
                self._gone.add(client)
            case Snapshot(client, channel):
                self._snapshot(self._place(client, channel), event)
            case Closed(client, channel, open_time_ms, volume):
                self._closed(self._place(client, channel), event, open_time_ms, volume)
            case Forming(client, channel, open_time_ms):
                self._forming(self._place(client, channel), event, open_time_ms)
            case Shown(_, _, age_ms, limit_ms):
                self.looks += 1
                if age_ms > limit_ms:
                    self._fault("old_as_live", f"{event!r}")

    def finish(self, ledger: Ledger) -> None:
        """The feed has stopped and the pipes have drained: everybody must have everything."""
        self._count_holes(self._places.values())
        for (client, channel), place in self._places.items():
            published = ledger.published.get(place.interval.name)
            if published is None or client in self._gone:
                continue
            first, last = published
            if first <= last and (place.last is None or place.last < last):
                self._fault("missing_at_end", f"client {client} {channel}: has {place.last}, published {last}")

    def _place(self, client: int, channel: str) -> _Place:
        place = self._places.get((client, channel))
        if place is None:
            interval = INTERVALS[channel.rpartition(":")[2]]
            place = self._places[client, channel] = _Place(interval)
        return place

    def _snapshot(self, place: _Place, event: Snapshot) -> None:
        opens = [open_time_ms for open_time_ms, _ in event.closed]
        for before, after in zip(opens, opens[1:], strict=False):
            if after != place.interval.next_open(before):
                self._fault("unordered_snapshot", f"{event!r}: {after} after {before}")
        for open_time_ms, volume in event.closed:
            self._value(place, event, open_time_ms, volume)
            place.owed.pop(open_time_ms, None)
        first = opens[0] if opens else event.forming
        if place.last is not None and first is not None:
            expected = place.interval.next_open(place.last)
            if first > expected:
                if event.mode == "unrecovered":
                    self._fault("declared_hole", f"{event!r}: after {place.last}")
                else:
                    place.skip(expected, first, f"{event!r}: after {place.last}")
            elif event.mode == "recovered" and opens and first < expected:
                self._fault("duplicate", f"{event!r}: after {place.last}")
        if opens:
            place.last = opens[-1]
        elif event.forming is not None and (place.last is None or event.mode in ("replace", "unrecovered")):
            place.last = place.interval.previous_open(event.forming)
        place.forming = event.forming

    def _closed(self, place: _Place, event: Closed, open_time_ms: int, volume: float) -> None:
        self._value(place, event, open_time_ms, volume)
        if place.last is not None:
            if open_time_ms <= place.last:
                self._fault("duplicate", f"{event!r}: after {place.last}")
                return
            place.skip(place.interval.next_open(place.last), open_time_ms, f"{event!r}: after {place.last}")
        if place.forming is not None and place.forming > open_time_ms:
            self._fault("late", f"{event!r}: after news of {place.forming}")
        place.last = open_time_ms

    def _forming(self, place: _Place, event: Forming, open_time_ms: int) -> None:
        if place.last is not None and open_time_ms <= place.last:
            self._fault("reopened", f"{event!r}: after closed {place.last}")
        elif place.forming is not None and open_time_ms < place.forming:
            self._fault("backwards", f"{event!r}: after {place.forming}")
        else:
            place.forming = open_time_ms

    def _value(self, place: _Place, event: Event, open_time_ms: int, volume: float) -> None:
        self.checked += 1
        if volume != volume_of(open_time_ms, place.interval.length_ms):
            self._fault("wrong_value", f"{event!r}: volume {volume} at {open_time_ms}")

    def _count_holes(self, places: Iterable[_Place]) -> None:
        for place in places:
            for open_time_ms, example in place.owed.items():
                self._fault("hole", f"{open_time_ms}: {example}")
            place.owed.clear()

    def _fault(self, name: str, example: str) -> None:
        self.faults[name] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{name}: {example[:400]}")
