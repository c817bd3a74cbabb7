"""Compares the newest klines of all series with what the exchange says of them later: corrections come in silence.

One question at a time, evenly over an hour, in turn with whatever else the exchange is asked for.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from collector.exchange import ExchangeError

if TYPE_CHECKING:
    from collector.exchange import Exchange
    from collector.keeper import Keeper, Name

logger = logging.getLogger(__name__)

SWEEP_S = 3600.0
"""Each series is compared once in so many seconds."""

_FAILED_S = 30.0


class Sweep:
    """Call `run` once."""

    def __init__(self, exchange: Exchange, keeper: Keeper, sweep_s: float = SWEEP_S) -> None:
        self.compared = 0
        """Series compared since the start."""
        self._exchange = exchange
        self._keeper = keeper
        self._sweep_s = sweep_s

    async def run(self) -> None:
        """Compare until cancelled."""
        while True:
            names = self._keeper.names
            for name in names:
                await asyncio.sleep(self._sweep_s / len(names))
                try:
                    await self._compare(name)
                except ExchangeError as error:
                    logger.debug("series not compared series=%s/%s error=%s", *name, error)
                    await asyncio.sleep(max(error.retry_after_s, _FAILED_S))
            if not names:
                await asyncio.sleep(1)

    async def _compare(self, name: Name) -> None:
        if (span := self._keeper.recent(name)) is None:
            return
        klines = await self._exchange.klines(name.symbol, name.interval, *span)
        self._keeper.compare(name, klines)
        self.compared += 1
