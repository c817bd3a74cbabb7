"""What waits for one consumer: the newest value of each channel, or every closed kline. Pure.

- Latest: a value that a newer one has replaced is never given.
- Closed: per channel each closed kline once, in ascending order. What does not fit is not kept: the channel falls
  behind, and goes on from history where it stopped. What history does not have any more is said, not passed over.
- What an inbox holds is bounded by its channels and its size, whatever the consumer does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kline_gateway_client.errors import GatewayError, MissedBars
from kline_gateway_client.intervals import next_open_ms, previous_open_ms
from kline_gateway_client.retry import backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kline_gateway_client.values import Kline, Ticker
    from kline_gateway_client.views import Past, View

GIVE_UP_AFTER = 8
"""Looks into history for a kline that the stream has told of; they lie up to half a second to 30 s apart."""

LOOK_S = 0.05
"""Least time between two of them."""


class Latest:
    """Channels that changed, in the order they did. `notify` is called when there is something to take."""

    history = 0
    """Closed klines to subscribe with."""

    def __init__(self, channels: Iterable[str], notify: Callable[[], None]) -> None:
        self.channels = tuple(dict.fromkeys(channels))
        self.errors: deque[GatewayError] = deque()
        self._notify = notify
        self._changed: dict[str, View] = {}

    def changed(self, channel: str, view: View) -> None:
        self._changed[channel] = view
        self._notify()

    def snapshot(self, channel: str, past: Past) -> None:
        """The view has it."""

    def closed(self, channel: str, kline: Kline) -> None:
        """The view has it, until there is something newer."""

    def cursor_ms(self, channel: str) -> int | None:
        return None

    def fail(self, error: GatewayError) -> None:
        self.errors.append(error)
        self._notify()

    def take(self) -> Kline | Ticker | None:
        """The newest value of the channel that has waited longest; None: nothing is new."""
        while self._changed:
            channel = next(iter(self._changed))
            if (newest := self._changed.pop(channel).newest) is not None:
                return newest
        return None


@dataclass(slots=True)
class Place:
    """Where a consumer is in one channel."""

    channel: str
    symbol: str
    interval: str
    cursor_ms: int | None
    """Open time of the newest kline that was given to it or waits for it; None: not known yet."""
    behind: bool
    """Whether it goes on from history."""
    seen_ms: int | None = None
    """Open time of the newest closed kline that the stream told of."""
    delays: int = 0
    """Looks into history in a row that brought nothing."""
    misses: int = 0
    """Those of them that were answered."""
    next_look_s: float = 0.0

    def next_open_ms(self, open_time_ms: int) -> int:
        return next_open_ms(self.interval, open_time_ms)

    def previous_open_ms(self, open_time_ms: int) -> int:
        return previous_open_ms(self.interval, open_time_ms)


class Closed:
    """Every closed kline. `first` is how many to begin with, `after_ms` an open time to go on from instead."""

    history = 1

    def __init__(
        self,
        symbols: Iterable[str],
        interval: str,
        notify: Callable[[], None],
        *,
        size: int,
        first: int = 0,
        after_ms: int | None = None,
    ) -> None:
        behind = first > 0 or after_ms is not None
        places = [Place(f"kline:{symbol}:{interval}", symbol, interval, after_ms, behind) for symbol in symbols]
        self._places = {place.channel: place for place in places}
        self.channels = tuple(self._places)
        self.errors: deque[GatewayError] = deque()
        self._size = size
        self._first = first
        self._notify = notify
        self._waiting: deque[Kline] = deque()

    def changed(self, channel: str, view: View) -> None:
        """Only closed klines count."""

    def snapshot(self, channel: str, past: Past) -> None:
        place = self._places[channel]
        if past.klines:
            place.seen_ms = past.klines[-1].open_time_ms
        if place.behind:
            return
        if place.cursor_ms is None:
            place.cursor_ms = past.end_ms
        elif past.continues(place.cursor_ms):
            self._offer(place, past.klines)
        else:
            self._fall_behind(place)

    def closed(self, channel: str, kline: Kline) -> None:
        place = self._places[channel]
        place.seen_ms = kline.open_time_ms
        if not place.behind:
            self._offer(place, (kline,))

    def cursor_ms(self, channel: str) -> int | None:
        """Where the stream has to go on; None where it does not matter, or history is asked instead."""
        place = self._places[channel]
        return None if place.behind else place.cursor_ms

    def fail(self, error: GatewayError) -> None:
        self.errors.append(error)
        self._notify()

    def drop(self, channel: str) -> None:
        """The gateway refused the channel: nothing more is to be looked for."""
        self._places[channel].behind = False

    def take(self) -> Kline | None:
        return self._waiting.popleft() if self._waiting else None

    def behind(self) -> Place | None:
        """The place to look into history for first, once nothing waits any more; see its `next_look_s`."""
        return min((place for place in self._places.values() if place.behind), key=_next_look, default=None)

    def filled(self, place: Place, klines: Sequence[Kline], now_s: float, luck: float) -> None:
        """What history has from the cursor on, the kline at the cursor included; without one, all that it has.

        Atomic with what comes from the stream: what closes later is offered later.
        """
        closed = [kline for kline in klines if kline.closed]
        if place.cursor_ms is None:
            closed = closed[-self._first :]
            reached = bool(closed) or place.seen_ms is None
        else:
            closed = [kline for kline in closed if kline.open_time_ms >= place.cursor_ms]
            reached = bool(closed)
        place.behind = False
        self._admit_holes(place, closed)
        before_ms = place.cursor_ms
        self._offer(place, closed)
        if place.behind or not reached or _is_before(place.cursor_ms, place.seen_ms):
            self._fall_behind(place)
            if place.cursor_ms == before_ms:
                self._miss(place, now_s, luck)
                return
        place.delays = place.misses = 0

    def look_later(self, place: Place, now_s: float, luck: float) -> None:
        """History was out of reach, or had nothing new."""
        place.next_look_s = now_s + LOOK_S + backoff_s(place.delays, luck)
        place.delays += 1

    def _miss(self, place: Place, now_s: float, luck: float) -> None:
        place.misses += 1
        if place.misses < GIVE_UP_AFTER or place.seen_ms is None:
            self.look_later(place, now_s, luck)
            return
        after_ms = place.previous_open_ms(place.seen_ms) if place.cursor_ms is None else place.cursor_ms
        before_ms = place.next_open_ms(place.seen_ms)
        self.errors.append(MissedBars(place.symbol, place.interval, after_ms, before_ms))
        place.cursor_ms, place.behind, place.delays, place.misses = place.seen_ms, False, 0, 0

    def _admit_holes(self, place: Place, closed: Sequence[Kline]) -> None:
        """Say so where history no longer reaches back to the cursor."""
        if place.cursor_ms is None or not closed:
            return
        first_ms = closed[0].open_time_ms
        if first_ms not in (place.cursor_ms, place.next_open_ms(place.cursor_ms)):
            self.errors.append(MissedBars(place.symbol, place.interval, place.cursor_ms, first_ms))

    def _offer(self, place: Place, klines: Iterable[Kline]) -> None:
        for kline in klines:
            # Order goes before completeness: what the source delivers after something newer is left to history.
            if place.cursor_ms is not None and kline.open_time_ms <= place.cursor_ms:
                continue
            if len(self._waiting) >= self._size:
                if place.cursor_ms is None:
                    place.cursor_ms = place.previous_open_ms(kline.open_time_ms)
                self._fall_behind(place)
                return
            self._waiting.append(kline)
            place.cursor_ms = kline.open_time_ms
        self._notify()

    def _fall_behind(self, place: Place) -> None:
        place.behind, place.next_look_s = True, 0.0
        self._notify()


Inbox = Latest | Closed


def _next_look(place: Place) -> float:
    return place.next_look_s


def _is_before(cursor_ms: int | None, seen_ms: int | None) -> bool:
    return seen_ms is not None and (cursor_ms is None or cursor_ms < seen_ms)
