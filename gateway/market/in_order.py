"""The klines of one series for readers that take no corrections: in order, each closed once, none of the past. Pure.

The series itself goes on without a kline that has not closed in time, and corrects itself when that kline closes after
all. Here the next kline waits for the one before it to close until the caller says `go_on`. A kline that closes after
that cannot be told any more: its readers have to read the series anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.market.closed_log import ClosedLog

if TYPE_CHECKING:
    from gateway.market.series import Series
    from gateway.model.kline import Kline


class KlinesInOrder:
    """Invariant: over all calls of `update`, what is appended to `log` and what `forming` was never go back in open
    time, and nothing is in `log` twice."""

    __slots__ = ("_known_end", "_start_ms", "_waiting_ms", "forming", "log", "next_ms", "series", "skip", "waiting")

    def __init__(self, series: Series, log_size: int, *, skip: bool = False) -> None:
        """`skip`: the source sends no kline for a time without trades, so one that was never shown need not exist."""
        self.series = series
        self.skip = skip
        # Of what the series holds, it must always be known whether it was told: longer klines may need many of it.
        self.log = ClosedLog(max(log_size, series.closed.size))
        self.forming: Kline | None = None
        """The kline that is shown."""
        self.next_ms = 0
        """Open time of the kline that comes next, which may be shown already; 0: any."""
        self.waiting = False
        """Whether a later kline waits for the one that comes next."""
        self.restart()

    def restart(self) -> None:
        """Begin anew, because nobody has read so far: what is before the newest kline of the source is the past."""
        self.forming = None
        self.next_ms = self._start_ms = self.series.reached_ms
        self._known_end = self.series.closed.end
        self._waiting_ms = 0
        self.update()

    def update(self, *, go_on: bool = False) -> bool:
        """Take over what the series has now. `go_on`: wait no longer for a kline that has not closed.

        Returns whether readers have to read anew, because they lack a closed kline that they will not be told: it came
        too late, too many came, or what they were told has been dropped.
        """
        series, interval, closed = self.series, self.series.interval, self.series.closed
        if self.next_ms > series.reached_ms:
            # What was told, or shown, was impossible, and has been dropped.
            self.log.drop_after(series.reached_ms - 1)
            self.restart()
            return True
        # What was shown is not of the past, nor is what comes after it.
        if self.forming is None and series.baseline_ms and series.baseline_ms >= self.next_ms:
            self.next_ms = self._start_ms = interval.next_open(series.baseline_ms)
        lacks = closed.end != self._known_end and self._lacks()
        if lacks:
            self._start_ms = self.next_ms
        go_on = go_on or lacks
        if closed.end != self._known_end or self.waiting:
            self._take_closed(go_on=go_on)
        forming = series.forming_of_source
        if not self.waiting and forming is not None and forming.open_time_ms >= self.next_ms:
            # Prices alone do not prove that the kline before has closed, however old it is.
            proven = series.source_kline is not None
            if (go_on and proven) or self._is_next(forming):
                self.forming, self.next_ms = forming, forming.open_time_ms
            else:
                self.waiting = proven
        return lacks

    def _take_closed(self, *, go_on: bool) -> None:
        """Take over the closed klines whose turn it is."""
        self._known_end = self.series.closed.end
        self.waiting, self._waiting_ms = False, 0
        for kline in self.series.closed:
            if kline.open_time_ms < self.next_ms:
                continue
            if not (go_on or self._is_next(kline)):
                self.waiting, self._waiting_ms = True, kline.open_time_ms
                break
            self.log.append(kline)
            self.forming, self.next_ms = None, self.series.interval.next_open(kline.open_time_ms)

    def _is_next(self, kline: Kline) -> bool:
        if not self.next_ms or kline.open_time_ms == self.next_ms:
            return True
        # A kline that was shown does exist.
        return self.skip and self.forming is None and self.series.is_settled(kline.open_time_ms)

    def _lacks(self) -> bool:
        """Whether a closed kline came after its turn, or left the series' log before it was taken over."""
        closed = self.series.closed
        if closed.start > self._known_end or 0 < self._waiting_ms < closed.first_open_time_ms:
            return True
        told = {kline.open_time_ms for kline in self.log}
        start_ms = max(self._start_ms, self.series.baseline_ms + 1)
        return any(start_ms <= kline.open_time_ms < self.next_ms and kline.open_time_ms not in told for kline in closed)
