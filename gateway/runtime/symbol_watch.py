"""Looks from time to time which symbols have stopped, and tells the feed state. `delivery/symbol_pauses.py` decides."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway.delivery.symbol_pauses import Newest, SymbolPauses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import MarketConfig
    from gateway.delivery.feed_state import FeedStateMachine
    from gateway.market.market import Market
    from gateway.market.state import SymbolState

SWEEPS = 10
"""Sweeps within the shortest time after which a symbol can be stale."""


SLICE_SYMBOLS = 250
"""Symbols looked at before other tasks get their turn."""


class SymbolWatch:
    """`sweep` once in a while, so that the hot path need not care."""

    def __init__(
        self,
        config: MarketConfig,
        market: Market,
        feed_state: FeedStateMachine,
        clock_ms: Callable[[], int],
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pauses = SymbolPauses(config.symbol_stale_after_s, config.symbol_stale_pauses)
        self._newest_ms: dict[str, int] = {}
        self._period_s = config.symbol_stale_after_s / SWEEPS
        self._market = market
        self._feed_state = feed_state
        self._clock_ms = clock_ms
        self._clock_s = clock_s
        self._sleep = sleep

    async def run(self) -> None:
        """Sweep at every period until cancelled."""
        while True:
            await self._sleep(self._period_s)
            await self.sweep()

    async def sweep(self) -> None:
        """Look at all symbols once, a slice at a time."""
        newest = []
        for number, state in enumerate(self._market.states(), 1):
            newest.append(self._newest(state))
            if number % SLICE_SYMBOLS == 0:
                await asyncio.sleep(0)
        live = self._feed_state.current.prices.live
        self._feed_state.set_symbols(self._pauses.sweep(newest, self._clock_s(), self._clock_ms(), feed_live=live))

    def _newest(self, state: SymbolState) -> Newest:
        ticker_ms = state.ticker.event_time_ms if state.ticker else 0
        known_ms = self._newest_ms.get(state.symbol, 0)
        # A ticker that goes on shows that the symbol does: its series need not be looked at.
        any_ms = ticker_ms if ticker_ms > known_ms else max(known_ms, _newest_of_series(state))
        self._newest_ms[state.symbol] = any_ms
        return Newest(state.symbol, ticker_ms, any_ms)


def _newest_of_series(state: SymbolState) -> int:
    newest_ms = 0
    for series in state.series.values():
        forming, last = series.forming, series.closed.last
        if forming is not None:
            newest_ms = max(newest_ms, forming.event_time_ms)
        if last is not None:
            newest_ms = max(newest_ms, last.event_time_ms or last.close_time_ms)
    return newest_ms
