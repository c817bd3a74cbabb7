"""Prices that wait to be applied to a symbol's klines: many at once cost an unwatched symbol as much as a few. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.market.change import UNCHANGED
from gateway.market.merge import extremes

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.market.change import Change
    from gateway.market.merge import Price
    from gateway.market.series import Series
    from gateway.market.state import SymbolState
    from gateway.model.interval import Interval

PRICES_MAX = 64
"""Prices that may wait of a symbol: enough to save most of the work, few enough to hold."""


class WaitingPrices:
    """Invariant: those of a symbol lie within one kline of the shortest interval, and so within one of every other."""

    def __init__(self, shortest: Interval, note: Callable[[Series, Change], None]) -> None:
        """`shortest`: of the intervals that are served. `note`: takes series that lack klines or wait for one."""
        self._shortest = shortest
        self._note = note
        self._states: set[SymbolState] = set()

    def queue(self, state: SymbolState, at: Price, now_ms: int, changed: set[Series]) -> None:
        """Let a price wait. Where it is of another kline than those that wait, or they are many, these are applied."""
        prices = state.prices
        if not state.window_ms <= at.event_time_ms <= state.window_end_ms or len(prices) >= PRICES_MAX:
            self.apply(state, changed)
            state.window_ms = self._shortest.open_time(at.event_time_ms)
            state.window_end_ms = self._shortest.close_time(state.window_ms)
        if not prices:
            state.prices_since_ms = now_ms
            self._states.add(state)
        prices.append(at)

    def apply_watched(self, changed: set[Series]) -> None:
        """Apply what waits of the symbols that somebody watches."""
        for state in [state for state in self._states if state.watchers]:
            self.apply(state, changed)

    def apply(self, state: SymbolState, changed: set[Series]) -> None:
        """Apply what waits of one symbol; adds the series that change to `changed`."""
        self._states.discard(state)
        if not state.prices:
            return
        kept = extremes(state.prices)
        state.prices.clear()
        for series in state.series.values():
            for at in kept:
                if series.apply_price(at, state.prices_since_ms):
                    changed.add(series)
            if series.gap or series.waiting_since_ms is not None:
                self._note(series, UNCHANGED)
