"""The candle rules, for one bar of one symbol and interval.

| news | rule |
|---|---|
| a kline of this bar | the newest by event time is the exchange's word; ties: more trades, then more volume |
| a closed kline | beats every forming one; only a closed one with a newer event time replaces it |
| a diff of a kline | lays its fields over the exchange's newest word; not taken if older, or if there is none |
| a diff's open or close beyond the extremes | widens them: the diff that moved them was lost |
| a price in the bar's window | newer than the exchange's word: moves close, widens high and low; else no effect |
| a price outside the window | never touches the bar |
| prices alone | make a provisional bar: open is the first price by event time, volume 0 |
| anything after the close | prices never change a closed kline |
| volumes, trades | come from klines only, never from prices |

A bar is a function of the *set* of its news: any arrival order ends in the same value, and news taken twice changes
nothing. That is why prices newer than the exchange's last word are kept (as the few that can still be an extreme)
until a newer word covers them. Two kinds of news have no order but that of their arrival: prices of one millisecond
(the later one counts), and diffs (each is relative to the word before it, so one that was overtaken is lost).
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.kline import Kline, rank

if TYPE_CHECKING:
    from gateway.model.kline import KlineFields

STEPS_MAX = 32
"""Candidates kept per extreme. Between two klines there are a few; in a long market without any the oldest are merged,
so that a kline older than those would leave the extreme a little too wide until the next one."""


TELLING_MAX = 16
"""The same for a batch of prices on its way to the bars."""


class Price(NamedTuple):
    """A traded price: `value` to compare, `text` to send."""

    event_time_ms: int
    value: Decimal
    text: str


def price(event_time_ms: int, text: str) -> Price:
    return Price(event_time_ms, Decimal(text), text)


def extremes(prices: list[Price]) -> list[Price]:
    """The prices that a bar has to hear of, of many within its window: in their order, and enough for the same candle.

    The first, and each that no later one goes beyond; the last is always among them. Only in order of event time can
    that be seen in one pass; else it is all of them.
    """
    if len(prices) < 3:
        return list(prices)
    telling = [prices[-1]]
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
        telling.append(at)
        if len(telling) >= TELLING_MAX:
            # A one-way market: of what is older only the ends matter, as with a bar's own candidates.
            older = [price for price in prices if price.event_time_ms < at_ms]
            if older:
                ends = (min(older, key=_value), max(older, key=_value))
                telling += sorted(ends, key=_event_time, reverse=True)
            break
    if telling[-1] is not prices[0]:
        telling.append(prices[0])
    telling.reverse()
    return telling


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
        """Whether all that the exchange has said of this bar so far is known, not only prices or a part of it."""
        return self._exchange is not None and not self._exchange.provisional

    @property
    def word(self) -> Kline | None:
        """The exchange's newest word, without the prices since."""
        return self._exchange

    @property
    def provisional(self) -> bool:
        """Whether prices are all that is known of this bar."""
        return self._exchange is None and self._last is not None

    def fold_kline(self, kline: Kline) -> bool:
        """Take the exchange's word; says whether it is newer than what was known."""
        known = self._exchange
        if known is not None and rank(kline) <= rank(known):
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
        """Lay changed fields over the exchange's newest word; says whether it is newer than what was known."""
        known = self._exchange
        if known is None or known.closed or event_time_ms < known.event_time_ms:
            return False
        changed = _consistent(known._replace(event_time_ms=event_time_ms, **fields))
        if changed == known:
            return False
        # A diff is newer by declaration: at an equal event time it must win over what it changes.
        self._exchange = None
        return self.fold_kline(changed)

    def fold_price(self, price: Price) -> bool:
        """Take a price of the ticker; says whether the candle changed. The hot path: six calls a ticker message."""
        at_ms, value, text = price
        known = self._exchange
        if not self.open_time_ms <= at_ms <= self.close_time_ms:
            return False
        if known is not None and (known.closed or at_ms <= known.event_time_ms):
            return False
        highs, lows, last = self._highs, self._lows, self._last
        if last is None:
            self._first = price
        elif at_ms < last.event_time_ms:
            return self._fold_late(price)
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
        if len(highs) > STEPS_MAX:
            _merge_oldest(highs)
        if len(lows) > STEPS_MAX:
            _merge_oldest(lows)
        self._last = price
        self._value = None
        return last is None or last.text != text

    def _fold_late(self, price: Price) -> bool:
        """The same for a price that arrives after a newer one: it may have been the first, or an extreme."""
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


def _consistent(kline: Kline) -> Kline:
    """The kline with its extremes widened to hold open and close."""
    ends = (kline.open, kline.close)
    return kline._replace(high=max(kline.high, *ends, key=Decimal), low=min(kline.low, *ends, key=Decimal))


# Candidates for an extreme rise in time and fall from the extreme: a price matters only while no later one goes
# further. So the first is the extreme, and the last is the last price.


def _insert(steps: list[Price], price: Price, sign: int) -> None:
    """Put a price that came late among the candidates (`sign` 1: highs, -1: lows), if it is one."""
    place = bisect_right(steps, price.event_time_ms, key=_event_time)
    if sign * (steps[place].value - price.value) >= 0:
        return
    start = place
    while start and sign * (steps[start - 1].value - price.value) <= 0:
        start -= 1
    steps[start:place] = [price]
    if len(steps) > STEPS_MAX:
        _merge_oldest(steps)


def _merge_oldest(steps: list[Price]) -> None:
    """The extreme stays; the time until which it counts becomes its successor's."""
    steps[:2] = [Price(steps[1].event_time_ms, steps[0].value, steps[0].text)]


def _forget(steps: list[Price], covered_ms: int, *, everything: bool) -> None:
    """Drop the candidates that the exchange's word covers."""
    keep = len(steps) if everything else bisect_right(steps, covered_ms, key=_event_time)
    del steps[:keep]


def _value(price: Price) -> Decimal:
    return price.value


def _event_time(price: Price) -> int:
    return price.event_time_ms
