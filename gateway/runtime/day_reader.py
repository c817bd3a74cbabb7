"""Reads from the store what the derived 24 h figures need. `market/day_tickers.py` decides what and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.history.store import SeriesRead, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.history.aggregating_store import AggregatingStore
    from gateway.market.market import Market

PERIOD_S = 1.0
"""Between two looks. A source that publishes tickers has sent them by the first one, and nothing is read."""

READS_AT_ONCE = 100
"""Reads in one round trip, between which other tasks get their turn: some thousand klines."""


class DayReader:
    """`read` once in a while. Where every symbol has a ticker of the source, it reads nothing."""

    def __init__(
        self,
        market: Market,
        store: AggregatingStore,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._market = market
        self._store = store
        self._sleep = sleep

    async def run(self) -> None:
        """Read at every period until cancelled."""
        while True:
            await self._sleep(PERIOD_S)
            try:
                await self.read()
            except StoreUnavailable:
                # What was wanted stays so.
                continue

    async def read(self) -> None:
        """Read what is wanted now, once all that is stored has been read otherwise. Raises `StoreUnavailable`."""
        wanted = self._market.days.reads() if self._market.read else []
        for first in range(0, len(wanted), READS_AT_ONCE):
            some = wanted[first : first + READS_AT_ONCE]
            found = await self._store.closed_klines_of([SeriesRead(*read) for _, read in some])
            for (state, read), stored in zip(some, found, strict=True):
                self._market.days.take(state, read, stored.klines)
            await self._sleep(0)
