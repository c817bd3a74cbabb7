"""What is still to be written to Redis. Pure.

Closed klines keep their order and are never dropped. Of forming klines and tickers only the newest state waits: an
outage or a slow Redis costs none of them, and makes none of them late.
"""

from __future__ import annotations

from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from collector.events import KlineEvent, TickerEvent
from collector.unstored import Unstored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from collector.events import MarketEvent


Event = TypeVar("Event", KlineEvent, TickerEvent)


class Batch(NamedTuple):
    """Events to be written together, in this order."""

    closed: Sequence[KlineEvent]
    forming: Sequence[KlineEvent]
    tickers: Sequence[TickerEvent]


class Outbox:
    """Holds events until they are written."""

    def __init__(self, unstored: Unstored | None = None) -> None:
        self.unstored = Unstored() if unstored is None else unstored
        """Closed klines that have been taken out and are not stored yet."""
        self._closed: deque[KlineEvent] = deque()
        # Close time of the newest kline that `forget_old` has seen.
        self._newest_ms = 0
        self._forming: dict[tuple[str, str], KlineEvent] = {}
        self._tickers: dict[str, TickerEvent] = {}

    def __len__(self) -> int:
        return len(self._closed) + len(self._forming) + len(self._tickers)

    @property
    def closed(self) -> int:
        """How many closed klines wait."""
        return len(self._closed)

    def put(self, event: MarketEvent) -> None:
        """Add an event; it replaces what it makes superfluous."""
        if isinstance(event, TickerEvent):
            self._tickers[event.ticker.symbol] = event
            return
        series = event.symbol, event.interval
        if not event.kline.closed:
            self._forming[series] = event
            return
        self._closed.append(event)
        waiting = self._forming.get(series)
        if waiting is not None and waiting.kline.open_time_ms <= event.kline.open_time_ms:
            del self._forming[series]

    def take(self, limit: int) -> Batch:
        """Take out at most `limit` events, closed klines first."""
        closed = [self._closed.popleft() for _ in range(min(limit, len(self._closed)))]
        # A forming kline must not overtake a closed one of its series that still waits.
        if self._closed:
            return Batch(closed, (), ())
        forming = _taken(self._forming, limit - len(closed))
        return Batch(closed, forming, _taken(self._tickers, limit - len(closed) - len(forming)))

    def give_back(self, batch: Batch) -> None:
        """Put back what was not written: closed klines in front; the others unless something newer has come."""
        self._closed.extendleft(reversed(batch.closed))
        for event in batch.forming:
            self._forming.setdefault((event.symbol, event.interval), event)
        for ticker in batch.tickers:
            self._tickers.setdefault(ticker.ticker.symbol, ticker)

    def waiting_closed(self) -> Iterator[KlineEvent]:
        """The closed klines that wait to be published or stored, those of one series in order."""
        return chain(self.unstored, self._closed)

    def forget_old(self, age_ms: int) -> None:
        """Drop everything that is not closed, and of the closed klines the last one and those in front that closed so
        long before the newest: another collector writes. Call it after each closed kline."""
        self._newest_ms = max(self._newest_ms, self._closed[-1].kline.close_time_ms)
        if self._newest_ms - self._closed[-1].kline.close_time_ms > age_ms:
            self._closed.pop()
        while self._closed and self._newest_ms - self._closed[0].kline.close_time_ms > age_ms:
            self._closed.popleft()
        self._forming.clear()
        self._tickers.clear()

    def keep_closed(self, wanted: Callable[[KlineEvent], bool]) -> None:
        """Drop the closed klines that are not `wanted`: those that turned out to be written."""
        self._closed = deque(event for event in self._closed if wanted(event))
        self.unstored.keep(wanted)


def _taken(waiting: dict[Any, Event], limit: int) -> list[Event]:
    """The first `limit` values, removed."""
    return [waiting.pop(key) for key in list(islice(waiting, limit))]
