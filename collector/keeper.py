"""Holds the series of all pairs: passes on what may leave, and compares with what Redis holds.

Knows no exchange and opens no connection: events come in, events go to the writer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from collector.events import HISTORY_KLINES, Correction, KlineEvent
from collector.series import Series
from gateway.model.interval import DAY_MS, INTERVALS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from collector.events import MarketEvent, TickerEvent
    from collector.series import Span
    from collector.writer import Writer
    from gateway.model.kline import Kline

logger = logging.getLogger(__name__)

AHEAD_MS = 600_000
"""How far ahead of the exchange's clock a time may be. One bad message from far ahead would make all correct ones after
it count as old."""


class Name(NamedTuple):
    """Names a series."""

    symbol: str
    interval: str


class Missing(NamedTuple):
    """Klines that the exchange has to be asked for."""

    name: Name
    span: Span
    seen_ms: int
    """Open time of the newest kline that was streamed and waits for these; 0 where there is none."""


class Keeper:
    """Series come and go with `follow`; those of the largest pairs and the shortest intervals come first everywhere."""

    def __init__(self, writer: Writer, intervals: Collection[str], now_ms: Callable[[], int]) -> None:
        """`intervals`: names. `now_ms`: the exchange's clock."""
        self._writer = writer
        self._intervals = [name for name in INTERVALS if name in intervals]
        self._now_ms = now_ms
        self._series: dict[Name, Series] = {}
        # Event time of the newest ticker of each symbol.
        self._ticker_ms: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        """Events that were not used, by reason: `not_followed`, `from_the_future`, `misaligned`."""
        self.corrections = 0
        """Closed klines that were written again because the exchange changed them."""

    @property
    def names(self) -> list[Name]:
        """All series."""
        return list(self._series)

    def follow(self, symbols: Sequence[str]) -> list[Name]:
        """Keep the series of these symbols and no others; returns those that are new."""
        wanted = [Name(symbol, interval) for interval in self._intervals for symbol in symbols]
        new = [name for name in wanted if name not in self._series]
        self._series = {name: self._series.get(name) or Series(INTERVALS[name.interval]) for name in wanted}
        self._ticker_ms = {symbol: self._ticker_ms.get(symbol, 0) for symbol in symbols}
        return new

    def not_started(self) -> list[Name]:
        """Series of which it is not known yet where to go on: see `reconcile`."""
        return [name for name, series in self._series.items() if not series.next_ms]

    def take(self, event: MarketEvent) -> None:
        """An event of the exchange."""
        if not isinstance(event, KlineEvent):
            self._take_ticker(event)
            return
        name, kline = Name(event.symbol, event.interval), event.kline
        if (series := self._series.get(name)) is None:
            self._refuse("not_followed")
        elif max(kline.open_time_ms, kline.event_time_ms) > self._now_ms() + AHEAD_MS:
            self._refuse("from_the_future")
        elif kline.closed and INTERVALS[name.interval].open_time(kline.open_time_ms) != kline.open_time_ms:
            self._refuse("misaligned")
        else:
            next_ms = series.next_ms
            self._pass_on(name, series.take(kline), next_ms)

    async def reconcile(self, names: Collection[Name] | None = None) -> None:
        """Compare with what Redis holds: go on there, do not write twice, and load anew what was lost.

        `names`: only these, if they are not started. Nothing may be written to other series meanwhile. Raises
        `RedisError` or `OSError`.
        """
        listed = self.names if names is None else list(names)
        stored = await self._writer.stored(listed)
        first_waiting: dict[Name, int] = {}
        for event in self._writer.outbox.waiting_closed():
            if not isinstance(event, Correction):
                first_waiting.setdefault(Name(event.symbol, event.interval), event.kline.open_time_ms)
        # Open time of the first kline that is not stored; nothing that waits is needed where a series begins anew.
        next_stored: dict[Name, int] = {}
        anew: dict[Name, int] = {}
        lost = 0
        for name, (last_ms, size) in zip(listed, stored, strict=True):
            if (series := self._series.get(name)) is None or (names is not None and series.next_ms):
                continue
            next_ms = next_stored[name] = self._next_stored(name, last_ms if size else 0)
            is_lost = next_ms < first_waiting.get(name, series.next_ms)
            # What is stored is ahead where another collector has written meanwhile.
            if not series.next_ms or is_lost or next_ms > series.next_ms:
                lost += is_lost
                interval = INTERVALS[name.interval]
                oldest_ms = interval.back(interval.open_time(self._now_ms()), HISTORY_KLINES)
                anew[name] = max(next_ms, oldest_ms)
        self._writer.outbox.keep_closed(lambda event: self._is_needed(event, next_stored, anew))
        for name, next_ms in anew.items():
            self._pass_on(name, self._series[name].start(next_ms), next_ms)
        if lost:
            logger.warning("redis has lost klines series=%d: loading them anew", lost)

    def long(self) -> list[Name]:
        """The series whose klines close about as rarely as their keys expire."""
        return [name for name in self._series if not 0 < INTERVALS[name.interval].length_ms < DAY_MS // 2]

    def missing(self) -> Iterator[Missing]:
        """What the exchange has to be asked for now."""
        now_ms = self._now_ms()
        for name, series in self._overdue(now_ms):
            if (span := series.wanted(now_ms)) is not None:
                yield Missing(name, span, series.seen_ms)

    def missing_of(self, name: Name) -> Missing | None:
        """What the exchange has to be asked for now of one series."""
        series = self._series.get(name)
        span = series.wanted(self._now_ms()) if series is not None else None
        return Missing(name, span, series.seen_ms) if series is not None and span is not None else None

    def fill(self, missing: Missing, klines: Sequence[Kline], *, settled: bool) -> None:
        """What the exchange answered; see `Series.fill`."""
        if (series := self._series.get(missing.name)) is not None:
            next_ms = series.next_ms
            self._pass_on(missing.name, series.fill(klines, missing.span, settled=settled), next_ms)

    def recent(self, name: Name) -> Span | None:
        """The newest klines of a series that have left; see `Series.recent`."""
        return series.recent() if (series := self._series.get(name)) is not None else None

    def compare(self, name: Name, klines: Sequence[Kline]) -> None:
        """What the exchange says of klines that have left; see `Series.compare`."""
        if (series := self._series.get(name)) is not None:
            self._pass_on(name, series.compare(klines), series.next_ms)

    def close_by_clock(self) -> None:
        """Close what is long overdue and cannot be asked for, provisionally."""
        now_ms = self._now_ms()
        for name, series in self._overdue(now_ms):
            next_ms = series.next_ms
            self._pass_on(name, series.close_by_clock(now_ms), next_ms)

    def _overdue(self, now_ms: int) -> Iterator[tuple[Name, Series]]:
        return ((name, series) for name, series in list(self._series.items()) if series.overdue_ms <= now_ms)

    def _take_ticker(self, event: TickerEvent) -> None:
        symbol, event_time_ms = event.ticker.symbol, event.ticker.event_time_ms
        if symbol not in self._ticker_ms:
            self._refuse("not_followed")
        elif event_time_ms > self._now_ms() + AHEAD_MS:
            self._refuse("from_the_future")
        elif event_time_ms >= self._ticker_ms[symbol]:
            # An older one comes late, over a connection that is being replaced.
            self._ticker_ms[symbol] = event_time_ms
            self._writer.put(event)

    def _next_stored(self, name: Name, last_ms: int) -> int:
        """Open time of the kline after the one that closes at `last_ms`; 0 where nothing usable is stored."""
        interval = INTERVALS[name.interval]
        # Stored by a clock that was ahead: nothing that is true today would count as newer.
        if not 0 < last_ms < self._now_ms() + AHEAD_MS + interval.length_ms:
            return 0
        return interval.next_open(interval.open_time(last_ms))

    def _is_needed(self, event: KlineEvent, next_stored: dict[Name, int], anew: dict[Name, int]) -> bool:
        """Whether a closed kline that waits has still to be written."""
        name = Name(event.symbol, event.interval)
        if name in anew:
            return False
        return isinstance(event, Correction) or event.kline.open_time_ms >= next_stored.get(name, 0)

    def _pass_on(self, name: Name, klines: Sequence[Kline], next_ms: int) -> None:
        """`next_ms`: open time of the first kline that had not left before these."""
        for kline in klines:
            if kline.closed and kline.open_time_ms < next_ms:
                self.corrections += 1
                self._writer.put(Correction(name.symbol, name.interval, kline))
            else:
                self._writer.put(KlineEvent(name.symbol, name.interval, kline))

    def _refuse(self, reason: str) -> None:
        if reason not in self.refused:
            logger.warning("exchange event refused reason=%s", reason)
        self.refused[reason] = self.refused.get(reason, 0) + 1
