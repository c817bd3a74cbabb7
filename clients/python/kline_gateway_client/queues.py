"""What waits for one consumer: the newest value of each channel, or every closed kline. Pure.

- Latest: a value that a newer one has replaced is never returned.
- Closed: per channel each closed kline once, in ascending order. A kline that does not fit is not kept: the channel
  then catches up from history. Klines that history no longer has are reported as `MissedKlines`, not passed over.
- The size of a queue is bounded by its channels and its limit, whatever the consumer does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kline_gateway_client.errors import GatewayError, MissedKlines
from kline_gateway_client.intervals import next_open_ms, previous_open_ms
from kline_gateway_client.retry import backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kline_gateway_client.values import Kline, Ticker
    from kline_gateway_client.views import KlineSnapshot, View

MAX_EMPTY_READS = 8
"""History is read this often for a kline that the stream has announced; the reads are 0.5 to 30 s apart."""

READ_INTERVAL_S = 0.05
"""Least time between two reads of history that bring nothing."""


class LatestQueue:
    """Channels that changed, in order of their oldest change. Calls `notify` when there is something to take."""

    history = 0
    """Closed klines to subscribe with."""

    def __init__(self, channels: Iterable[str], notify: Callable[[], None]) -> None:
        self.channels = tuple(dict.fromkeys(channels))
        self.errors: deque[GatewayError] = deque()
        self._notify = notify
        self._changed: dict[str, View] = {}

    def add_change(self, channel: str, view: View) -> None:
        """Note that the channel has a new value."""
        self._changed[channel] = view
        self._notify()

    def add_snapshot(self, channel: str, snapshot: KlineSnapshot) -> None:
        """Does nothing: the view holds the newest value."""

    def add_closed(self, channel: str, kline: Kline) -> None:
        """Does nothing: the view holds the kline until there is a newer one."""

    def cursor_ms(self, channel: str) -> int | None:
        """None: the newest value needs no resume cursor."""
        return None

    def add_error(self, error: GatewayError) -> None:
        """Queue an error for the consumer."""
        self.errors.append(error)
        self._notify()

    def take(self) -> Kline | Ticker | None:
        """The newest value of the channel that has waited longest; None: nothing has changed."""
        while self._changed:
            channel = next(iter(self._changed))
            if (newest := self._changed.pop(channel).newest) is not None:
                return newest
        return None


@dataclass(slots=True)
class ChannelCursor:
    """How far a consumer of closed klines has come in one channel."""

    channel: str
    symbol: str
    interval: str
    cursor_ms: int | None
    """Open time of the newest kline that was taken or is queued; None: not known yet."""
    catching_up: bool
    """Whether the next klines come from history, not from the stream."""
    announced_ms: int | None = None
    """Open time of the newest closed kline that the stream has announced."""
    fruitless_reads: int = 0
    """Reads of history in a row that failed or brought nothing."""
    empty_reads: int = 0
    """Those that succeeded and brought nothing."""
    next_read_s: float = 0.0

    def next_open_ms(self, open_time_ms: int) -> int:
        """Open time of the next kline of this series."""
        return next_open_ms(self.interval, open_time_ms)

    def previous_open_ms(self, open_time_ms: int) -> int:
        """Open time of the previous kline of this series."""
        return previous_open_ms(self.interval, open_time_ms)


class ClosedQueue:
    """Every closed kline of some symbols.

    `max_klines` bounds what is queued. `first` is how many stored klines to begin with; `after_ms` is an open time to
    continue from instead.
    """

    history = 1

    def __init__(
        self,
        symbols: Iterable[str],
        interval: str,
        notify: Callable[[], None],
        *,
        max_klines: int,
        first: int = 0,
        after_ms: int | None = None,
    ) -> None:
        from_history = first > 0 or after_ms is not None
        cursors = [
            ChannelCursor(f"kline:{name}:{interval}", name, interval, after_ms, from_history) for name in symbols
        ]
        self._cursors = {cursor.channel: cursor for cursor in cursors}
        self.channels = tuple(self._cursors)
        self.errors: deque[GatewayError] = deque()
        self._max_klines = max_klines
        self._first = first
        self._notify = notify
        self._klines: deque[Kline] = deque()

    def add_change(self, channel: str, view: View) -> None:
        """Does nothing: only closed klines count."""

    def add_snapshot(self, channel: str, snapshot: KlineSnapshot) -> None:
        """Queue the closed klines of a snapshot, or catch up from history if the snapshot does not continue here."""
        cursor = self._cursors[channel]
        if snapshot.closed:
            cursor.announced_ms = snapshot.closed[-1].open_time_ms
        if cursor.catching_up:
            return
        if cursor.cursor_ms is None:
            cursor.cursor_ms = snapshot.end_ms
        elif snapshot.continues(cursor.cursor_ms):
            self._append(cursor, snapshot.closed)
        else:
            self._catch_up(cursor)

    def add_closed(self, channel: str, kline: Kline) -> None:
        """Queue a kline that has closed."""
        cursor = self._cursors[channel]
        cursor.announced_ms = kline.open_time_ms
        if not cursor.catching_up:
            self._append(cursor, (kline,))

    def cursor_ms(self, channel: str) -> int | None:
        """Where the stream must resume; None: anywhere, or history is read instead."""
        cursor = self._cursors[channel]
        return None if cursor.catching_up else cursor.cursor_ms

    def add_error(self, error: GatewayError) -> None:
        """Queue an error for the consumer."""
        self.errors.append(error)
        self._notify()

    def drop(self, channel: str) -> None:
        """The gateway refused the channel: do not read its history."""
        self._cursors[channel].catching_up = False

    def take(self) -> Kline | None:
        """The next closed kline; None: none is queued."""
        return self._klines.popleft() if self._klines else None

    def next_to_read(self) -> ChannelCursor | None:
        """The cursor whose history to read first, no sooner than its `next_read_s`; None: all are in sync."""
        return min((cursor for cursor in self._cursors.values() if cursor.catching_up), key=_next_read_s, default=None)

    def add_history(self, cursor: ChannelCursor, klines: Sequence[Kline], now_s: float, jitter: float) -> None:
        """Queue what history has from the cursor on, the kline at the cursor included; without a cursor, all it has.

        Runs without `await`, so no kline can close between the read's end and the return to the stream.
        """
        closed = [kline for kline in klines if kline.closed]
        if cursor.cursor_ms is None:
            closed = closed[-self._first :]
            reached = bool(closed) or cursor.announced_ms is None
        else:
            closed = [kline for kline in closed if kline.open_time_ms >= cursor.cursor_ms]
            reached = bool(closed)
        cursor.catching_up = False
        self._report_missing(cursor, closed)
        before_ms = cursor.cursor_ms
        self._append(cursor, closed)
        if cursor.catching_up or not reached or _is_before(cursor.cursor_ms, cursor.announced_ms):
            self._catch_up(cursor)
            if cursor.cursor_ms == before_ms:
                self._count_empty_read(cursor, now_s, jitter)
                return
        cursor.fruitless_reads = cursor.empty_reads = 0

    def read_later(self, cursor: ChannelCursor, now_s: float, jitter: float) -> None:
        """Set the time of the next read: this one failed or brought nothing."""
        cursor.next_read_s = now_s + READ_INTERVAL_S + backoff_s(cursor.fruitless_reads, jitter)
        cursor.fruitless_reads += 1

    def _count_empty_read(self, cursor: ChannelCursor, now_s: float, jitter: float) -> None:
        cursor.empty_reads += 1
        if cursor.empty_reads < MAX_EMPTY_READS or cursor.announced_ms is None:
            self.read_later(cursor, now_s, jitter)
            return
        after_ms = cursor.previous_open_ms(cursor.announced_ms) if cursor.cursor_ms is None else cursor.cursor_ms
        before_ms = cursor.next_open_ms(cursor.announced_ms)
        self.errors.append(MissedKlines(cursor.symbol, cursor.interval, after_ms, before_ms))
        cursor.cursor_ms, cursor.catching_up = cursor.announced_ms, False
        cursor.fruitless_reads = cursor.empty_reads = 0

    def _report_missing(self, cursor: ChannelCursor, closed: Sequence[Kline]) -> None:
        """Queue an error if history no longer reaches back to the cursor."""
        if cursor.cursor_ms is None or not closed:
            return
        first_ms = closed[0].open_time_ms
        if first_ms not in (cursor.cursor_ms, cursor.next_open_ms(cursor.cursor_ms)):
            self.errors.append(MissedKlines(cursor.symbol, cursor.interval, cursor.cursor_ms, first_ms))

    def _append(self, cursor: ChannelCursor, klines: Iterable[Kline]) -> None:
        for kline in klines:
            # Order has priority over completeness: what the source delivers after a newer kline is in history only.
            if cursor.cursor_ms is not None and kline.open_time_ms <= cursor.cursor_ms:
                continue
            if len(self._klines) >= self._max_klines:
                if cursor.cursor_ms is None:
                    cursor.cursor_ms = cursor.previous_open_ms(kline.open_time_ms)
                self._catch_up(cursor)
                return
            self._klines.append(kline)
            cursor.cursor_ms = kline.open_time_ms
        self._notify()

    def _catch_up(self, cursor: ChannelCursor) -> None:
        cursor.catching_up, cursor.next_read_s = True, 0.0
        self._notify()


Queue = LatestQueue | ClosedQueue


def _next_read_s(cursor: ChannelCursor) -> float:
    return cursor.next_read_s


def _is_before(cursor_ms: int | None, announced_ms: int | None) -> bool:
    return announced_ms is not None and (cursor_ms is None or cursor_ms < announced_ms)
