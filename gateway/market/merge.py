"""The merge rules of one kline of one symbol and interval.

| update | rule |
|---|---|
| a kline | the newest by event time is the source's state; ties: more trades, then more volume |
| a closed kline | beats every forming one; only a closed one with a newer event time replaces it |
| a delta | is laid over the source's newest state; ignored if it is older, or if there is none |
| open or close of a delta beyond the extremes | widens them: the delta that moved them was lost |
| a price in the kline's window | if newer than the source's state: moves close, widens high and low |
| a price outside the window | never touches the kline |
| prices alone | make a provisional kline: open is the first price by event time, volume 0 |
| closed shorter klines of the window | make a provisional kline until the source sends its own, with the prices since |
| anything after the close | prices never change a closed kline |
| volumes, trades | come from klines only, never from prices |

A kline is a function of the *set* of its updates: any arrival order ends in the same value, and an update applied twice
changes nothing. Therefore prices newer than the source's state are kept (the few that can still be an extreme) until a
newer state covers them. Two kinds of updates have no order but that of their arrival: prices of one millisecond (the
later one counts), and deltas (each is relative to the state before it, so one that was overtaken is lost).
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.kline import Kline, rank

if TYPE_CHECKING:
    from gateway.model.kline import KlineFields

CANDIDATES_MAX = 32
"""Candidates kept per extreme. Between two klines there are a few; in a long market without any the oldest are merged,
so that a kline older than those would leave the extreme a little too wide until the next one."""


EXTREMES_MAX = 16
"""The same for a batch of prices that waits to be applied."""


class Price(NamedTuple):
    """A traded price: `value` to compare, `text` to send."""

    event_time_ms: int
    value: Decimal
    text: str


def price(event_time_ms: int, text: str) -> Price:
    return Price(event_time_ms, Decimal(text), text)


def extremes(prices: list[Price]) -> list[Price]:
    """Select, of many prices within a kline's window, those that lead to the same kline; in their order.

    These are the first, and each that no later one exceeds; the last is always among them. One pass finds them only if
    the prices are in order of event time; otherwise all are returned.
    """
    if len(prices) < 3:
        return list(prices)
    kept = [prices[-1]]
    after_ms, high, _ = prices[-1]
    low = high
    for at in reversed(prices):
        at_ms, value, _ = at
        if at_ms > after_ms:
            return list(prices)
        after_ms = at_ms
        if value > high:
            high = value
        elif value < low:
            low = value
        else:
            continue
        kept.append(at)
        if len(kept) >= EXTREMES_MAX:
            # A one-way market: of older prices only the extremes matter, as with a kline's own candidates.
            older = [price for price in prices if price.event_time_ms < at_ms]
            if older:
                ends = (min(older, key=_value), max(older, key=_value))
                kept += sorted(ends, key=_event_time, reverse=True)
            break
    if kept[-1] is not prices[0]:
        kept.append(prices[0])
    kept.reverse()
    return kept


class KlineState:
    """What is known of one kline. `value()` is the kline that results; `None` before the first update."""

    __slots__ = (
        *("_first", "_highs", "_is_built", "_last", "_lows", "_source_kline", "_value"),
        *("close_time_ms", "open_time_ms"),
    )

    def __init__(self, open_time_ms: int, close_time_ms: int) -> None:
        self.open_time_ms = open_time_ms
        self.close_time_ms = close_time_ms
        # The source's newest state, and the prices that are newer.
        self._source_kline: Kline | None = None
        # Whether that was built of shorter klines, because the source has not sent this one.
        self._is_built = False
        self._first: Price | None = None
        self._last: Price | None = None
        self._highs: list[Price] = []
        self._lows: list[Price] = []
        self._value: Kline | None = None

    @property
    def closed(self) -> bool:
        return self._source_kline is not None and self._source_kline.closed

    @property
    def confirmed(self) -> bool:
        """Whether the source has sent this kline, rather than only prices or a part of it being known."""
        return self._source_kline is not None and not self._source_kline.provisional

    @property
    def source_kline(self) -> Kline | None:
        """The source's newest state, or what was built of its shorter klines, without the prices since."""
        return self._source_kline

    @property
    def provisional(self) -> bool:
        """Whether the source has not sent this kline: only prices, or shorter klines, are known of it."""
        return self._is_built or (self._source_kline is None and self._last is not None)

    def apply_kline(self, kline: Kline) -> bool:
        """Apply a state of the source; returns whether it is newer than the one before."""
        known = self._source_kline
        if known is not None and not self._is_built and rank(kline) <= rank(known):
            return False
        self._is_built = False
        self._take(kline)
        return True

    def apply_built(self, kline: Kline) -> bool:
        """Apply what shorter klines make of this one so far: final until its event time. Returns whether it changed.

        What the source itself says of the kline goes before it.
        """
        if self._source_kline is not None and (not self._is_built or kline == self._source_kline):
            return False
        self._is_built = True
        self._take(kline)
        return True

    def _take(self, kline: Kline) -> None:
        self._source_kline = kline
        self._value = None
        covered = kline.event_time_ms
        if self._last is not None and (kline.closed or self._last.event_time_ms <= covered):
            self._last = None
        _drop_covered(self._highs, covered, everything=kline.closed)
        _drop_covered(self._lows, covered, everything=kline.closed)

    def apply_delta(self, fields: KlineFields, event_time_ms: int) -> bool:
        """Lay changed fields over the source's newest state; returns whether something changed."""
        known = self._source_kline
        if known is None or self._is_built or known.closed or event_time_ms < known.event_time_ms:
            return False
        changed = _consistent(known._replace(event_time_ms=event_time_ms, **fields))
        if changed == known:
            return False
        # A delta is newer by definition: at an equal event time it must replace what it changes.
        self._source_kline = None
        return self.apply_kline(changed)

    def apply_price(self, price: Price) -> bool:
        """Apply a price; returns whether the kline changed. The hot path: six calls a ticker message."""
        at_ms, value, text = price
        known = self._source_kline
        if not self.open_time_ms <= at_ms <= self.close_time_ms:
            return False
        if known is not None and (known.closed or at_ms <= known.event_time_ms):
            return False
        highs, lows, last = self._highs, self._lows, self._last
        if last is None:
            self._first = price
        elif at_ms < last.event_time_ms:
            return self._apply_late(price)
        else:
            # The last price is the last candidate of both lists, so a move to one side passes only that side's.
            if value >= last.value:
                while highs and highs[-1].value <= value:
                    highs.pop()
            if value <= last.value:
                while lows and lows[-1].value >= value:
                    lows.pop()
        highs.append(price)
        lows.append(price)
        if len(highs) > CANDIDATES_MAX:
            _merge_oldest(highs)
        if len(lows) > CANDIDATES_MAX:
            _merge_oldest(lows)
        self._last = price
        self._value = None
        return last is None or last.text != text

    def drop_after(self, limit_ms: int) -> bool:
        """Forget what is dated after `limit_ms`, which cannot be; returns whether there was anything.

        Prices are removed. The source's state stays, as older than any other: only its time is known to be wrong.
        """
        known, last = self._source_kline, self._last
        is_known_late = known is not None and known.event_time_ms > limit_ms
        is_last_late = last is not None and last.event_time_ms > limit_ms
        if known is not None and is_known_late:
            self._source_kline = known._replace(event_time_ms=0)
        if is_last_late:
            assert self._first is not None
            kept = {at for at in (self._first, *self._highs, *self._lows) if at.event_time_ms <= limit_ms}
            self._first = self._last = None
            self._highs.clear()
            self._lows.clear()
            for at in sorted(kept, key=_event_time):
                self.apply_price(at)
        if is_known_late or is_last_late:
            self._value = None
        return is_known_late or is_last_late

    def _apply_late(self, price: Price) -> bool:
        """Apply a price that arrives after a newer one: it may have been the first, or an extreme."""
        before = self.value()
        assert self._first is not None
        if price.event_time_ms < self._first.event_time_ms:
            self._first = price
        _insert(self._highs, price, 1)
        _insert(self._lows, price, -1)
        self._value = None
        return self.value() != before

    def value(self) -> Kline | None:
        if self._value is None:
            self._value = self._make()
        return self._value

    def _make(self) -> Kline | None:
        known, last = self._source_kline, self._last
        if last is None:
            return known
        high, low = self._highs[0], self._lows[0]
        if known is None:
            assert self._first is not None
            return Kline(
                self.open_time_ms,
                self.close_time_ms,
                self._first.text,
                high.text,
                low.text,
                last.text,
                provisional=True,
                event_time_ms=last.event_time_ms,
            )
        return known._replace(
            high=high.text if high.value > Decimal(known.high) else known.high,
            low=low.text if low.value < Decimal(known.low) else known.low,
            close=last.text,
            event_time_ms=last.event_time_ms,
        )


def _consistent(kline: Kline) -> Kline:
    """The kline with its extremes widened to hold open and close."""
    ends = (kline.open, kline.close)
    return kline._replace(high=max(kline.high, *ends, key=Decimal), low=min(kline.low, *ends, key=Decimal))


# Candidates for an extreme rise in time and fall from the extreme: a price matters only while no later one goes
# further. So the first is the extreme, and the last is the last price.


def _insert(candidates: list[Price], price: Price, sign: int) -> None:
    """Insert a price that arrived late among the candidates (`sign` 1: highs, -1: lows), if it is one."""
    place = bisect_right(candidates, price.event_time_ms, key=_event_time)
    if sign * (candidates[place].value - price.value) >= 0:
        return
    start = place
    while start and sign * (candidates[start - 1].value - price.value) <= 0:
        start -= 1
    candidates[start:place] = [price]
    if len(candidates) > CANDIDATES_MAX:
        _merge_oldest(candidates)


def _merge_oldest(candidates: list[Price]) -> None:
    """The extreme stays; the time until which it counts becomes its successor's."""
    candidates[:2] = [Price(candidates[1].event_time_ms, candidates[0].value, candidates[0].text)]


def _drop_covered(candidates: list[Price], covered_ms: int, *, everything: bool) -> None:
    """Drop the candidates that the source's new state covers."""
    keep = len(candidates) if everything else bisect_right(candidates, covered_ms, key=_event_time)
    del candidates[:keep]


def _value(price: Price) -> Decimal:
    return price.value


def _event_time(price: Price) -> int:
    return price.event_time_ms
