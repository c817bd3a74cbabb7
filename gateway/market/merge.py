"""The candle rules, for one bar of one symbol and interval.

| news | rule |
|---|---|
| a kline of this bar | the newest by event time is the exchange's word; ties: more trades, then more volume |
| a closed kline | beats every forming one; only a closed one with a newer event time replaces it |
| a diff of a kline | lays its fields over the exchange's newest word; not taken if older, or if there is none |
| a price in the bar's window | newer than the exchange's word: moves close, widens high and low; else no effect |
| a price outside the window | never touches the bar |
| prices alone | make a provisional bar: open is the first price by event time, volume 0 |
| anything after the close | prices never change a closed kline |
| volumes, trades | come from klines only, never from prices |

A bar is a function of the *set* of its news: any arrival order ends in the same value, and news taken twice changes
nothing. That is why prices newer than the exchange's last word are kept (as the few that can still be an extreme)
until a newer word covers them. News with equal event times and different content is the one exception: the later
arrival counts among prices, as two trades of one millisecond have no other order.
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.kline import Kline

if TYPE_CHECKING:
    from gateway.model.kline import KlineFields

STEPS_MAX = 32
"""Candidates kept per extreme. A random walk needs fewer; in a long one-way market without any kline the oldest are
merged, so that a kline older than those would leave the extreme a little too wide until the next one."""


class Price(NamedTuple):
    """A traded price: `value` to compare, `text` to send."""

    event_time_ms: int
    value: Decimal
    text: str


def price(event_time_ms: int, text: str) -> Price:
    return Price(event_time_ms, Decimal(text), text)


class Bar:
    """One bar's news so far. `value()` is the candle they make; `None` while there is nothing to make it of."""

    __slots__ = ("_exchange", "_first", "_highs", "_last", "_lows", "_value", "close_time_ms", "open_time_ms")

    def __init__(self, open_time_ms: int, close_time_ms: int) -> None:
        self.open_time_ms = open_time_ms
        self.close_time_ms = close_time_ms
        # The exchange's newest word, and the prices it does not cover.
        self._exchange: Kline | None = None
        self._first: Price | None = None
        self._last: Price | None = None
        self._highs: list[Price] = []
        self._lows: list[Price] = []
        self._value: Kline | None = None

    @property
    def closed(self) -> bool:
        return self._exchange is not None and self._exchange.closed

    @property
    def confirmed(self) -> bool:
        """Whether the exchange itself has spoken of this bar, not only prices."""
        return self._exchange is not None

    def fold_kline(self, kline: Kline) -> bool:
        """Take the exchange's word; says whether the candle changed."""
        known = self._exchange
        if known is not None and _rank(kline) <= _rank(known):
            return False
        self._exchange = kline
        self._value = None
        covered = kline.event_time_ms
        if self._last is not None and (kline.closed or self._last.event_time_ms <= covered):
            self._last = None
        _forget(self._highs, covered, everything=kline.closed)
        _forget(self._lows, covered, everything=kline.closed)
        return True

    def fold_diff(self, fields: KlineFields, event_time_ms: int) -> bool:
        """Lay changed fields over the exchange's newest word; says whether the candle changed."""
        known = self._exchange
        if known is None or known.closed or event_time_ms < known.event_time_ms:
            return False
        changed = known._replace(event_time_ms=event_time_ms, **fields)
        if changed == known:
            return False
        # A diff is newer by declaration: at an equal event time it must win over what it changes.
        self._exchange = None
        return self.fold_kline(changed)

    def fold_price(self, price: Price) -> bool:
        """Take a price of the ticker; says whether the candle changed."""
        at_ms = price.event_time_ms
        known = self._exchange
        if not self.open_time_ms <= at_ms <= self.close_time_ms:
            return False
        if known is not None and (known.closed or at_ms <= known.event_time_ms):
            return False
        changed = False
        last = self._last
        if last is None or at_ms >= last.event_time_ms:
            changed = last is None or last.text != price.text
            self._last = price
        first = self._first
        if first is None or at_ms < first.event_time_ms:
            changed = True
            self._first = price
        changed |= _widen(self._highs, price, 1)
        changed |= _widen(self._lows, price, -1)
        if changed:
            self._value = None
        return changed

    def value(self) -> Kline | None:
        if self._value is None:
            self._value = self._make()
        return self._value

    def _make(self) -> Kline | None:
        known, last = self._exchange, self._last
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


def _rank(kline: Kline) -> tuple[bool, int, int, Decimal, Kline]:
    """Orders the exchange's words about one bar; the kline itself comes last, so that no two different ones tie."""
    return kline.closed, kline.event_time_ms, kline.trades, Decimal(kline.volume), kline


def _widen(steps: list[Price], price: Price, sign: int) -> bool:
    """Put a price among the candidates for an extreme (`sign` 1: high, -1: low); says whether the extreme moved.

    Candidates rise in time and fall from the extreme: a price matters only while no later one goes further.
    """
    at_ms, value = price.event_time_ms, price.value
    if steps and at_ms < steps[-1].event_time_ms:
        return _widen_late(steps, price, sign)
    while steps and (steps[-1].value <= value if sign > 0 else steps[-1].value >= value):
        steps.pop()
    steps.append(price)
    if len(steps) > STEPS_MAX:
        # The extreme stays; the time until which it counts becomes its successor's.
        steps[:2] = [Price(steps[1].event_time_ms, steps[0].value, steps[0].text)]
    return len(steps) == 1


def _widen_late(steps: list[Price], price: Price, sign: int) -> bool:
    """The same for a price that arrives after a newer one."""
    place = bisect_right(steps, price.event_time_ms, key=_event_time)
    if place < len(steps) and sign * (steps[place].value - price.value) >= 0:
        return False
    start = place
    while start and sign * (steps[start - 1].value - price.value) <= 0:
        start -= 1
    steps[start:place] = [price]
    return start == 0


def _event_time(price: Price) -> int:
    return price.event_time_ms


def _forget(steps: list[Price], covered_ms: int, *, everything: bool) -> None:
    """Drop the candidates that the exchange's word covers."""
    keep = len(steps) if everything else bisect_right(steps, covered_ms, key=_event_time)
    del steps[:keep]
