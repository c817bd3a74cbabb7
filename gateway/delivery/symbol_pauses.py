"""Which symbols have stopped while the rest of the feed goes on, judged by how often each one is updated. Pure.

Collectors do not say that a symbol was halted or delisted: its ticker and klines stop, and its last price would stay
live for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.delivery.staleness import Staleness, StaleReason, SymbolStates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PAUSES_MIN = 3
"""Pauses after which the usual one of a symbol is known."""

UNKNOWN_FACTOR = 10
"""A symbol whose usual pause is not known gets the shortest limit times this."""

WEIGHT = 0.2
"""Of the newest pause in the usual one, which is a moving average."""


class Newest(NamedTuple):
    """The newest event times of a symbol in ms; 0: there was none."""

    symbol: str
    ticker_ms: int
    any_ms: int
    """Of its ticker and its klines."""


class _Pauses:
    """The pauses between the updates of one symbol; times are seconds during which the feed was live."""

    __slots__ = ("changed_s", "count", "newest_ms", "stale", "usual_s")

    def __init__(self, newest_ms: int, changed_s: float) -> None:
        self.newest_ms, self.changed_s = newest_ms, changed_s
        self.usual_s, self.count = 0.0, 0
        self.stale = Staleness()

    def observe(self, newest_ms: int, at_s: float) -> None:
        if newest_ms > self.newest_ms:
            pause_s = at_s - self.changed_s
            self.usual_s = self.usual_s + WEIGHT * (pause_s - self.usual_s) if self.count else pause_s
            self.count += 1
            self.newest_ms, self.changed_s = newest_ms, at_s

    def judge(self, least_s: float, factor: float, at_s: float, now_ms: int) -> Staleness:
        known = self.count >= PAUSES_MIN
        limit_s = max(least_s, factor * self.usual_s) if known else least_s * UNKNOWN_FACTOR
        age_s = at_s - self.changed_s
        if age_s <= limit_s:
            self.stale = Staleness()
        elif self.stale.live:
            self.stale = Staleness(StaleReason.SYMBOL, now_ms - round(age_s * 1000))
        return self.stale


class SymbolPauses:
    """A symbol is stale after `factor` times its usual pause, but not before `least_s`; `factor` 0: never."""

    def __init__(self, least_s: float, factor: float) -> None:
        self._least_s, self._factor = least_s, factor
        # Time counts only while the feed is live: when nobody is updated, no symbol has stopped.
        self._at_s = 0.0
        self._swept_s: float | None = None
        self._tickers: dict[str, _Pauses] = {}
        self._all: dict[str, _Pauses] = {}

    def sweep(
        self, symbols: Iterable[Newest], now_s: float, now_ms: int, *, feed_live: bool
    ) -> Mapping[str, SymbolStates]:
        """The states of the symbols that are stale, of all those that are known.

        What is seen first is as old as its time is older than the newest of all: a delisted symbol may be stored.
        """
        if self._swept_s is not None and feed_live:
            self._at_s += now_s - self._swept_s
        self._swept_s = now_s
        known = list(symbols)
        newest_ms = max((symbol.any_ms for symbol in known), default=0)
        stale = {}
        for symbol in known:
            states = SymbolStates(
                self._judge(self._tickers, symbol.symbol, symbol.ticker_ms, newest_ms, now_ms),
                self._judge(self._all, symbol.symbol, symbol.any_ms, newest_ms, now_ms),
            )
            if not (states.ticker.live and states.klines.live):
                stale[symbol.symbol] = states
        return stale

    def _judge(self, known: dict[str, _Pauses], symbol: str, symbol_ms: int, newest_ms: int, now_ms: int) -> Staleness:
        if not symbol_ms or not self._factor:
            return Staleness()
        pauses = known.get(symbol)
        if pauses is None:
            pauses = known[symbol] = _Pauses(symbol_ms, self._at_s - (newest_ms - symbol_ms) / 1000)
        pauses.observe(symbol_ms, self._at_s)
        return pauses.judge(self._least_s, self._factor, self._at_s, now_ms)
