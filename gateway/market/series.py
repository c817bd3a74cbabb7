"""One symbol and interval: the forming bar, the bars that wait behind it, and the newest closed klines.

Order is the point of this file: a bar is shown once the one before it has closed. What comes early (a kline of the
next bar, a price after the close) waits behind the open bar for its closing kline, at most a grace time; then the
next bar opens without it, and the closing kline, when it comes at last, is a correction.
"""

from __future__ import annotations

from bisect import bisect_left
from enum import IntEnum
from typing import TYPE_CHECKING

from gateway.market.closed_log import ClosedLog
from gateway.market.merge import Bar

if TYPE_CHECKING:
    from gateway.market.aggregate import Aggregation
    from gateway.market.merge import Price
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline, KlineFields

BARS_MAX = 64
"""Bars that may wait behind an open one: one outage's worth of 1 s bars, not a publisher's nonsense."""


class News(IntEnum):
    """What a step did to a series, the weightier the greater."""

    NOTHING = 0
    CHANGED = 1
    CORRECTED = 2
    """Something already shown was not final, or came out of order: whoever has seen the series needs it anew."""


# Looking a member up in its class costs a tenth of folding a price.
NOTHING, CHANGED, CORRECTED = News


class Series:
    """Invariant: `_bars` rises strictly by open time, and every one opens after the newest closed kline."""

    __slots__ = (
        "_bars",
        "_read_ms",
        "_shown_ms",
        "_verified_ms",
        "closed",
        "feeds",
        "gap",
        "heard",
        "interval",
        "mute",
        "aggregation",
        "symbol",
        "waits_since_ms",
    )

    def __init__(self, symbol: str, interval: Interval, log_size: int) -> None:
        self.symbol = symbol
        self.interval = interval
        self.closed = ClosedLog(log_size)
        self.gap = False
        """A closed kline seems to be missing: the store should be read again."""
        self.waits_since_ms: int | None = None
        """Since when a bar waits for an earlier one, if any does: `settle` must be called again."""
        self.heard = False
        """Whether the source has klines of this interval: one was sent, or is stored."""
        self.aggregation: Aggregation | None = None
        """What makes this series of another's klines, where the source has none."""
        self.feeds: tuple[Aggregation, ...] = ()
        """What makes others of this one's klines."""
        self.mute = False
        """Whether the source is known to speak of bars only when they close: then prices are all there is before."""
        self._bars: list[Bar] = []
        # The newest bar that was shown while it was open: what closes before it is out of order.
        self._shown_ms = 0
        # The source has gone on to this open time, and the store has been read since: a hole before it is the source's.
        self._verified_ms = 0
        # The store has been read since there was a bar of this open time, if only one of prices.
        self._read_ms = 0

    @property
    def forming(self) -> Kline | None:
        """The bar that is shown; those behind it wait, and so does a closed one behind a hole."""
        return self._bars[0].value() if self._bars and not self._bars[0].closed else None

    @property
    def forming_in_order(self) -> Kline | None:
        """The bar that is shown, unless one before it still has to close, or the source has yet to speak of it."""
        if self._bars and self._follows(self._bars[0]) and (self._bars[0].confirmed or self.mute):
            return self.forming
        return None

    @property
    def word(self) -> Kline | None:
        """The source's newest word on the bar that is shown; `None` while there are only prices."""
        return self._bars[0].word if self._bars and not self._bars[0].closed else None

    def fold_kline(self, kline: Kline, now_ms: int) -> News:
        news = self._fold_kline(kline, now_ms)
        self._show()
        return news

    def _fold_kline(self, kline: Kline, now_ms: int) -> News:
        last = self.closed.last
        if last is not None and kline.open_time_ms <= last.open_time_ms:
            return self._late(kline)
        # The bar was given up when its grace ended, or never heard of, and a later one is on the screens.
        passed = bool(self._bars) and kline.open_time_ms < self._bars[0].open_time_ms
        if passed and not kline.closed:
            return NOTHING
        bar = self._bar(kline.open_time_ms)
        if bar is None:
            return NOTHING
        if not passed:
            self.mute = kline.closed and (self.mute or bar.provisional)
        if not bar.fold_kline(kline):
            return NOTHING
        return max(CHANGED, self._settle(now_ms))

    def fold_diff(self, open_time_ms: int, fields: KlineFields, event_time_ms: int, now_ms: int) -> News:
        for bar in self._bars:
            if bar.open_time_ms == open_time_ms and bar.fold_diff(fields, event_time_ms):
                return max(CHANGED, self.settle(now_ms))
        return NOTHING

    def fold_price(self, price: Price, now_ms: int) -> News:
        at_ms = price.event_time_ms
        bars = self._bars
        shown = bars[0] if bars else None
        if shown is not None and at_ms <= shown.close_time_ms:
            return CHANGED if shown.fold_price(price) else NOTHING
        last = self.closed.last
        if last is not None and at_ms <= last.close_time_ms:
            return NOTHING
        bar = self._bar(self.interval.open_time(at_ms))
        if bar is None or not bar.fold_price(price):
            return NOTHING
        return max(self.settle(now_ms), NOTHING if bars[0] is shown else CHANGED)

    def settle(self, now_ms: int, grace_ms: int | None = None) -> News:
        """Move what has closed into the log, in order; says whether another bar is shown now.

        With `grace_ms`, a bar that has held up others for so long is given up: the caller's clock has the last word.
        """
        news = self._settle(now_ms, grace_ms)
        self._show()
        return news

    def _settle(self, now_ms: int, grace_ms: int | None = None) -> News:
        news = NOTHING
        while self._bars:
            bar = self._bars[0]
            over = grace_ms is not None and self.waits_since_ms is not None and now_ms - self.waits_since_ms >= grace_ms
            if bar.closed and (over or self._follows(bar)):
                kline = bar.value()
                assert kline is not None
                news = max(news, self._close(kline))
            elif bar.closed or len(self._bars) == 1 or not over:
                break
            del self._bars[0]
            self.waits_since_ms = None
            news = max(news, CHANGED)
        if self._held():
            if self.waits_since_ms is None:
                self.waits_since_ms = now_ms
        else:
            self.waits_since_ms = None
        self.gap = self.gap or self._misses_one()
        return news

    def reseed(self, klines: list[Kline], now_ms: int) -> News:
        """Take what the store holds: closed klines, ascending. What it does not hold does not exist."""
        # That there are prices of a bar does not say that the source has closed, and stored, the one before.
        confirmed = [bar.open_time_ms for bar in self._bars if bar.confirmed]
        self._verified_ms = max(
            confirmed[-1:] + [kline.open_time_ms for kline in klines[-1:]], default=self._verified_ms
        )
        self._read_ms = max((bar.open_time_ms for bar in self._bars[-1:]), default=self._read_ms)
        news = CORRECTED if klines and self.closed.last is None else NOTHING
        for kline in klines:
            last = self.closed.last
            if (last is None or kline.open_time_ms > last.open_time_ms) and (
                not self._bars or kline.open_time_ms < self._bars[0].open_time_ms
            ):
                news = max(news, self._close(kline))
            else:
                news = max(news, self._fold_kline(kline, now_ms))
        news = max(news, self._settle(now_ms))
        self._show()
        self.gap = False
        return news

    def _show(self) -> None:
        """The step is over: what is at the front now is seen. What got there and left it again was not."""
        if self._bars and not self._bars[0].closed:
            self._shown_ms = max(self._shown_ms, self._bars[0].open_time_ms)

    def _close(self, kline: Kline) -> News:
        """Append to the log: in order, or behind a bar that has been shown already."""
        self.closed.append(kline)
        return CORRECTED if kline.open_time_ms < self._shown_ms else CHANGED

    def _late(self, kline: Kline) -> News:
        """A kline not after the newest closed one: a repetition, a correction, or one that was missing."""
        if not kline.closed:
            return NOTHING
        known = {held.open_time_ms for held in self.closed}
        if kline.open_time_ms in known:
            return CORRECTED if self.closed.amend(kline) else NOTHING
        if known and kline.open_time_ms < min(known):
            return NOTHING
        return CORRECTED if self.closed.insert(kline) else NOTHING

    def _bar(self, open_time_ms: int) -> Bar | None:
        """The bar of that open time, made if need be; `None` where too many wait already."""
        place = bisect_left(self._bars, open_time_ms, key=_open_time)
        if place < len(self._bars) and self._bars[place].open_time_ms == open_time_ms:
            return self._bars[place]
        if len(self._bars) >= BARS_MAX:
            return None
        made = Bar(open_time_ms, self.interval.close_time(open_time_ms))
        self._bars.insert(place, made)
        return made

    def _follows(self, bar: Bar) -> bool:
        """Whether nothing is missing between the newest closed kline and this bar."""
        last = self.closed.last
        return last is None or bar.open_time_ms <= max(last.close_time_ms + 1, self._verified_ms)

    def _held(self) -> bool:
        """Whether something waits: a later bar behind an open one, or a closed bar behind a hole."""
        return bool(self._bars) and (len(self._bars) > 1 or self._bars[0].closed)

    def _misses_one(self) -> bool:
        """Whether a closed kline must have been missed. A price may just be early; a kline of a later bar is proof."""
        if not self._bars:
            return False
        first = self._bars[0]
        if not self._follows(first):
            return first.confirmed or first.open_time_ms > self._read_ms
        return any(bar.confirmed and bar.open_time_ms > self._verified_ms for bar in self._bars[1:])


def _open_time(bar: Bar) -> int:
    return bar.open_time_ms
