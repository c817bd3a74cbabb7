"""A simulated exchange: the market of each pair and its events, as a function of seed and time.

Pure but for its seeded random source; time is passed in, so a day can pass in a second. For each symbol:

- events come in order of time; a closed kline comes exactly once, before any event of the next kline;
- the klines of all intervals are sums of the same trades, and each trade's price appears in a ticker;
- the history ends where the live prices begin, without a gap.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING

from collector.events import HISTORY_KLINES, KlineEvent, TickerEvent
from gateway.model.interval import DAY_MS, INTERVALS
from simulator.figures import kline_of, ticker_of
from simulator.history import draw_history, plan_stretches
from simulator.klines import FormingKlines, RollingDay, aggregate
from simulator.random_walk import RandomWalk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collector.events import MarketEvent
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker
    from simulator.klines import RawKline
    from simulator.pairs import Pair

_FIRST_LIVE_ID = 1_000_000_000
# Most trades by which a symbol catches up after a pause (an outage, a suspended machine).
_CATCH_UP_TRADES = 600

_open_ms = attrgetter("open_ms")


@dataclass(frozen=True, slots=True)
class Activity:
    """How many events happen.

    A spike multiplies the trades for `spike_s`, after `spike_after_s` and then every `spike_every_s`.
    """

    rate: float = 2.0
    """Trades (each makes a ticker update) per second and symbol."""
    forming_s: float = 1.0
    """Seconds between two events of a forming kline; 0: closed klines only."""
    spike: float = 1.0
    spike_s: float = 5.0
    spike_after_s: float = 10.0
    spike_every_s: float = 0.0
    """0: there is one spike."""

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.spike < 1 or min(self.forming_s, self.spike_s, self.spike_after_s) < 0:
            raise ValueError("expected a rate above 0, a spike of at least 1, and no negative times")
        if 0 < self.spike_every_s < self.spike_s:
            raise ValueError("expected spike_every_s to be at least spike_s: spikes cannot overlap")

    def factor(self, elapsed_s: float) -> float:
        """By how much the rate is multiplied at this time after the start."""
        since_s = elapsed_s - self.spike_after_s
        if since_s >= 0 and self.spike_every_s:
            since_s %= self.spike_every_s
        return self.spike if 0 <= since_s < self.spike_s else 1.0


class Exchange:
    """The markets of all symbols, from `start_ms` (epoch) on."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        intervals: Sequence[str],
        *,
        seed: int,
        start_ms: int,
        activity: Activity | None = None,
    ) -> None:
        """`intervals`: names. Raises `ValueError` for an unknown one."""
        if unknown := [name for name in intervals if name not in INTERVALS]:
            raise ValueError(f"unknown interval {', '.join(unknown)}")
        self.symbols = [pair.symbol for pair in pairs]
        self.intervals = [name for name in INTERVALS if name in intervals]
        self._shared = _SharedSettings(frozenset(intervals), seed, start_ms, activity or Activity())
        self.pairs = {pair.symbol: pair for pair in pairs}
        self.begin_ms = self._shared.begin_ms
        """Where the history ends and the live prices begin."""
        self._markets: dict[str, _Market] = {}

    def open(self, symbol: str) -> dict[str, list[Kline]]:
        """Open the market of a symbol: from now on `advance` yields its events.

        Returns its klines closed at the start by interval, oldest first. Takes a few hundredths of a second. Opening
        a market again changes nothing and returns the same klines.
        """
        shared, history = self._shared, self.history(symbol)
        if symbol not in self._markets:
            phase = self.symbols.index(symbol) / len(self.symbols)
            self._markets[symbol] = _Market(self.pairs[symbol], shared, history, phase)
        return self._closed(symbol, history)

    def closed(self, symbol: str) -> dict[str, list[Kline]]:
        """What `open` returns, without opening the market."""
        return self._closed(symbol, self.history(symbol))

    def history(self, symbol: str) -> list[RawKline]:
        """What the klines at the start are made of, oldest first; older ones are longer.

        Each lasts until the next one opens, the last one until `begin_ms`.
        """
        return self._shared.draw_history(self.pairs[symbol])

    def random(self, symbol: str, purpose: str) -> Random:
        """A random source for this symbol and purpose alone, the same for the same seed."""
        return self._shared.random(self.pairs[symbol], purpose)

    def ticker(self, symbol: str, now_ms: int) -> Ticker:
        """The present ticker of an open market."""
        return self._markets[symbol].ticker(now_ms)

    def advance(self, now_ms: int) -> Iterator[MarketEvent]:
        """Events of the open markets since the last call, symbol by symbol. The iterator must be exhausted."""
        for market in self._markets.values():
            yield from market.advance(now_ms)

    def _closed(self, symbol: str, history: list[RawKline]) -> dict[str, list[Kline]]:
        shared, pair = self._shared, self.pairs[symbol]
        return {interval.name: shared.closed(pair, interval, history) for interval in shared.served}


class _SharedSettings:
    """What all markets of one exchange share."""

    def __init__(self, names: frozenset[str], seed: int, start_ms: int, activity: Activity) -> None:
        self.seed = seed
        self.start_ms = start_ms
        self.activity = activity
        self.names = names
        self.served = [interval for interval in INTERVALS.values() if interval.name in names]
        # 1m klines are always made, because the 24 h figures are made of them.
        self.intervals = [interval for interval in INTERVALS.values() if interval.name in names | {"1m"}]
        self.begin_ms = self.intervals[0].open_time(start_ms)
        self._stretches = plan_stretches(self.intervals, self.begin_ms, HISTORY_KLINES)

    def random(self, pair: Pair, purpose: str) -> Random:
        return Random(f"{self.seed}/{pair.symbol}/{purpose}")

    def draw_history(self, pair: Pair) -> list[RawKline]:
        return draw_history(pair, self.random(pair, "past"), self._stretches, pair.price_ticks, _FIRST_LIVE_ID)

    def closed(self, pair: Pair, interval: Interval, history: list[RawKline]) -> list[Kline]:
        """Klines of an interval that are complete and were closed when the exchange began."""
        open_ms = interval.open_time(self.begin_ms)
        first_ms = interval.back(open_ms, HISTORY_KLINES)
        # A part of the oldest kline may lie before the history begins: leave that kline out.
        if first_ms < history[0].open_ms:
            first_ms = interval.next_open(interval.open_time(history[0].open_ms - 1))
        return [
            kline_of(pair, interval, kline, interval.next_open(kline.open_ms), closed=True)
            for kline in aggregate(_between(history, first_ms, open_ms), interval)
        ]

    def forming(self, interval: Interval, history: list[RawKline]) -> RawKline | None:
        """The part of the kline open at the start that the history contains."""
        inside = _between(history, interval.open_time(self.begin_ms), self.begin_ms)
        return aggregate(inside, interval)[0] if inside else None


def _between(klines: list[RawKline], start_ms: int, end_ms: int) -> list[RawKline]:
    """Those that open within the range; `klines` ascend by open time."""
    start = bisect_left(klines, start_ms, key=_open_ms)
    return klines[start : bisect_left(klines, end_ms, lo=start, key=_open_ms)]


class _Market:
    """The market of one symbol. Trade times are microseconds, because a second can have thousands."""

    def __init__(self, pair: Pair, shared: _SharedSettings, history: list[RawKline], phase: float) -> None:
        self._pair = pair
        self._names = shared.names
        self._start_ms = shared.start_ms
        self._activity = shared.activity
        self._usual_us = round(1e6 / shared.activity.rate)
        # `phase` spreads the symbols over a period, so that their events do not all come at once.
        self._next_trade_us = shared.begin_ms * 1000 + int(phase * self._usual_us)
        self._forming_ms = round(shared.activity.forming_s * 1000)
        self._next_forming_ms = shared.start_ms + int(phase * self._forming_ms)
        forming = [shared.forming(interval, history) for interval in shared.intervals[1:]]
        self._klines = FormingKlines(shared.intervals, shared.begin_ms, pair.price_ticks, forming)
        self._day = RollingDay()
        for kline in _between(history, shared.begin_ms - DAY_MS, shared.begin_ms):
            self._day.add(kline, shared.begin_ms)
        self._walk = RandomWalk(pair, shared.random(pair, "live"), pair.price_ticks, _FIRST_LIVE_ID)

    def ticker(self, now_ms: int) -> Ticker:
        return ticker_of(self._pair, self._day.figures(self._klines.finest), now_ms)

    def advance(self, now_ms: int) -> Iterator[MarketEvent]:
        now_us = now_ms * 1000
        # Trades are further apart while the market catches up: a missed night must not make a million of them.
        min_gap_us = max(0, now_us - self._next_trade_us) // _CATCH_UP_TRADES
        while True:
            close_ms = self._klines.next_close_ms
            if self._next_trade_us <= now_us and self._next_trade_us < close_ms * 1000:
                yield self._trade(min_gap_us)
            elif close_ms <= now_ms:
                yield from self._close(close_ms)
            else:
                break
        if self._forming_ms and self._next_forming_ms <= now_ms:
            self._next_forming_ms += self._forming_ms * (1 + (now_ms - self._next_forming_ms) // self._forming_ms)
            yield from self._forming(now_ms)

    def _trade(self, min_gap_us: int) -> MarketEvent:
        time_ms = self._next_trade_us // 1000
        usual_us = max(self._usual_us, min_gap_us)
        self._klines.take(self._walk.step(time_ms, usual_us / 1000))
        period_us = self._usual_us / self._activity.factor((time_ms - self._start_ms) / 1000)
        self._next_trade_us += max(1, min_gap_us, round(period_us))
        return TickerEvent(self.ticker(time_ms))

    def _close(self, close_ms: int) -> Iterator[MarketEvent]:
        for index, (interval, raw) in enumerate(self._klines.close()):
            if index == 0:
                self._day.add(raw, close_ms)
            if interval.name in self._names:
                kline = kline_of(self._pair, interval, raw, close_ms, closed=True)
                yield KlineEvent(self._pair.symbol, interval.name, kline)

    def _forming(self, now_ms: int) -> Iterator[MarketEvent]:
        for interval, raw in self._klines.forming():
            if interval.name in self._names:
                kline = kline_of(self._pair, interval, raw, now_ms, closed=False)
                yield KlineEvent(self._pair.symbol, interval.name, kline)
