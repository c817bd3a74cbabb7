"""A simulated exchange: the market of each pair and the news it makes, as a function of seed and time.

Pure but for its seeded random source; time is passed in, so a day can pass in a second. Of each symbol it promises:

- its news come in order of time; a closed kline comes exactly once, before any news of the next bar;
- every interval's bars are sums of the same trades, and every trade's price was a ticker's;
- the past ends where the live walk begins, without a hole.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.interval import DAY_MS, INTERVALS
from simulator.day import Day
from simulator.figures import kline_of, ticker_of
from simulator.history import draw_past, plan
from simulator.klines import Bars, roll_up
from simulator.market import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker
    from simulator.klines import Bar
    from simulator.pairs import Pair

PAST_BARS = 500

_FIRST_LIVE_ID = 1_000_000_000
# After a pause (an outage, a suspended machine) a symbol catches up in at most so many trades.
_CATCH_UP_TRADES = 600

_open_ms = attrgetter("open_ms")


class KlineNews(NamedTuple):
    """A kline as it stands, or (`closed`) as it ended."""

    symbol: str
    interval: str
    kline: Kline


class TickerNews(NamedTuple):
    """A trade happened: the symbol's ticker after it."""

    ticker: Ticker


News = KlineNews | TickerNews


@dataclass(frozen=True, slots=True)
class Pace:
    """How much happens. Spikes multiply the trades for `spike_s`, after `spike_after_s` and every `spike_every_s`."""

    rate: float = 2.0
    """Trades, and so ticker updates, a second and symbol."""
    forming_s: float = 1.0
    """Seconds between two states of a forming kline; 0: only closed klines are news."""
    spike: float = 1.0
    spike_s: float = 5.0
    spike_after_s: float = 10.0
    spike_every_s: float = 0.0
    """0: once."""

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.spike < 1 or min(self.forming_s, self.spike_s, self.spike_after_s) < 0:
            raise ValueError("a pace needs a rate above 0, a spike of at least 1, and no negative times")
        if 0 < self.spike_every_s < self.spike_s:
            raise ValueError("spikes cannot come faster than one is over")

    def factor(self, elapsed_s: float) -> float:
        """How many times the usual rate is due at that time after the start."""
        since_s = elapsed_s - self.spike_after_s
        if since_s >= 0 and self.spike_every_s:
            since_s %= self.spike_every_s
        return self.spike if 0 <= since_s < self.spike_s else 1.0


class Exchange:
    """All symbols' markets, from `start_ms` on."""

    def __init__(
        self, pairs: Sequence[Pair], intervals: Sequence[str], *, seed: int, start_ms: int, pace: Pace | None = None
    ) -> None:
        """`intervals`: names; `ValueError` for one that does not exist."""
        if unknown := [name for name in intervals if name not in INTERVALS]:
            raise ValueError(f"unknown interval {', '.join(unknown)}")
        self.symbols = [pair.symbol for pair in pairs]
        self.intervals = [name for name in INTERVALS if name in intervals]
        self._terms = _Terms(frozenset(intervals), seed, start_ms, pace or Pace())
        self._pairs = {pair.symbol: pair for pair in pairs}
        self._markets: dict[str, _Market] = {}

    def open(self, symbol: str) -> dict[str, list[Kline]]:
        """Open the symbol's market: from now on it makes news. Returns its klines closed at the start, oldest first.

        Takes a few hundredths of a second. Opening again changes nothing and returns the same klines.
        """
        terms, pair = self._terms, self._pairs[symbol]
        past = terms.draw_past(pair)
        if symbol not in self._markets:
            self._markets[symbol] = _Market(pair, terms, past, self.symbols.index(symbol) / len(self.symbols))
        return {interval.name: terms.closed(pair, interval, past) for interval in terms.served}

    def ticker(self, symbol: str, now_ms: int) -> Ticker:
        return self._markets[symbol].ticker(now_ms)

    def advance(self, now_ms: int) -> Iterator[News]:
        """What happened until now in the open markets, symbol by symbol. To be read to its end."""
        for market in self._markets.values():
            yield from market.advance(now_ms)


class _Terms:
    """What all markets of an exchange share."""

    def __init__(self, names: frozenset[str], seed: int, start_ms: int, pace: Pace) -> None:
        self.seed = seed
        self.start_ms = start_ms
        self.pace = pace
        self.names = names
        self.served = [interval for interval in INTERVALS.values() if interval.name in names]
        # The bars of a minute are always made: they carry the 24 hours.
        self.intervals = [interval for interval in INTERVALS.values() if interval.name in names | {"1m"}]
        self.begin_ms = self.intervals[0].open_time(start_ms)
        self._stretches = plan(self.intervals, self.begin_ms, PAST_BARS)

    def random(self, pair: Pair, purpose: str) -> Random:
        return Random(f"{self.seed}/{pair.symbol}/{purpose}")

    def draw_past(self, pair: Pair) -> list[Bar]:
        return draw_past(pair, self.random(pair, "past"), self._stretches, pair.price_ticks, _FIRST_LIVE_ID)

    def closed(self, pair: Pair, interval: Interval, past: list[Bar]) -> list[Kline]:
        """The interval's whole bars, of those that were closed when the exchange began."""
        open_ms = interval.open_time(self.begin_ms)
        first_ms = interval.back(open_ms, PAST_BARS)
        # Of the very first bar of all, a part may lie before everything.
        if first_ms < past[0].open_ms:
            first_ms = interval.next_open(interval.open_time(past[0].open_ms - 1))
        return [
            kline_of(pair, interval, bar, interval.next_open(bar.open_ms), closed=True)
            for bar in roll_up(_between(past, first_ms, open_ms), interval)
        ]

    def forming(self, interval: Interval, past: list[Bar]) -> Bar | None:
        """What the past has put into the bar that is open when the exchange begins."""
        inside = _between(past, interval.open_time(self.begin_ms), self.begin_ms)
        return roll_up(inside, interval)[0] if inside else None


def _between(bars: list[Bar], start_ms: int, end_ms: int) -> list[Bar]:
    start = bisect_left(bars, start_ms, key=_open_ms)
    return bars[start : bisect_left(bars, end_ms, lo=start, key=_open_ms)]


class _Market:
    """One symbol. Times of trades are kept in microseconds: thousands can happen in a second."""

    def __init__(self, pair: Pair, terms: _Terms, past: list[Bar], phase: float) -> None:
        self._pair = pair
        self._names = terms.names
        self._start_ms = terms.start_ms
        self._pace = terms.pace
        self._usual_us = round(1e6 / terms.pace.rate)
        # Symbols take turns within a period, so that they do not all speak in the same instant.
        self._next_trade_us = terms.begin_ms * 1000 + int(phase * self._usual_us)
        self._forming_ms = round(terms.pace.forming_s * 1000)
        self._next_forming_ms = terms.start_ms + int(phase * self._forming_ms)
        forming = [terms.forming(interval, past) for interval in terms.intervals[1:]]
        self._bars = Bars(terms.intervals, terms.begin_ms, pair.price_ticks, forming)
        self._day = Day()
        for bar in _between(past, terms.begin_ms - DAY_MS, terms.begin_ms):
            self._day.add(bar, terms.begin_ms)
        self._walk = Walk(pair, terms.random(pair, "live"), pair.price_ticks, _FIRST_LIVE_ID)

    def ticker(self, now_ms: int) -> Ticker:
        return ticker_of(self._pair, self._day.figures(self._bars.finest), now_ms)

    def advance(self, now_ms: int) -> Iterator[News]:
        now_us = now_ms * 1000
        # Catching up, trades are further apart: a night missed is not worth a million of them.
        least_us = max(0, now_us - self._next_trade_us) // _CATCH_UP_TRADES
        while True:
            close_ms = self._bars.next_close_ms
            if self._next_trade_us <= now_us and self._next_trade_us < close_ms * 1000:
                yield self._trade(least_us)
            elif close_ms <= now_ms:
                yield from self._close(close_ms)
            else:
                break
        if self._forming_ms and self._next_forming_ms <= now_ms:
            self._next_forming_ms += self._forming_ms * (1 + (now_ms - self._next_forming_ms) // self._forming_ms)
            yield from self._forming(now_ms)

    def _trade(self, least_us: int) -> News:
        time_ms = self._next_trade_us // 1000
        usual_us = max(self._usual_us, least_us)
        self._bars.take(self._walk.step(time_ms, usual_us / 1000))
        period_us = self._usual_us / self._pace.factor((time_ms - self._start_ms) / 1000)
        self._next_trade_us += max(1, least_us, round(period_us))
        return TickerNews(self.ticker(time_ms))

    def _close(self, close_ms: int) -> Iterator[News]:
        for place, (interval, bar) in enumerate(self._bars.close()):
            if place == 0:
                self._day.add(bar, close_ms)
            if interval.name in self._names:
                kline = kline_of(self._pair, interval, bar, close_ms, closed=True)
                yield KlineNews(self._pair.symbol, interval.name, kline)

    def _forming(self, now_ms: int) -> Iterator[News]:
        for interval, bar in self._bars.forming():
            if interval.name in self._names:
                kline = kline_of(self._pair, interval, bar, now_ms, closed=False)
                yield KlineNews(self._pair.symbol, interval.name, kline)
