"""One exchange into one Redis: builds the parts in the order of the data flow and runs them.

exchange -> keeper (series: order, gaps) -> writer (outbox) -> Redis; the filler asks the exchange for what is missing,
the sweep for what may have been corrected.
"""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import chain, repeat
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from collector.exchange import ExchangeError
from collector.filler import Filler
from collector.gap_requests import GapRequests
from collector.keeper import Keeper
from collector.selection import UnknownPairs, follow
from collector.sweep import Sweep
from collector.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.budget import Rates
    from collector.contract import Contract
    from collector.events import MarketEvent
    from collector.exchange import Exchange, Listed
    from gateway.config import CollectConfig
    from gateway.redis.deployment import Deployment

logger = logging.getLogger(__name__)

_LISTING_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

_NEW_RETRY_S = 1.0

# A series is written once in each of its klines, and lives for a day: longer ones are renewed in between.
_RENEW_S = 3600.0

_LOOK_S = 0.25


class Collection:
    """Call `run` once."""

    def __init__(
        self,
        exchange: Exchange,
        redis: Deployment,
        contract: Contract,
        rates: Rates,
        settings: CollectConfig,
        retry_s: Sequence[float],
        lease_key: str = "",
    ) -> None:
        """`retry_s`: seconds between attempts to reach Redis. `lease_key`: as for `Writer`."""
        self.exchange = exchange
        self._redis = redis
        self.writer = Writer(redis, contract, rates, now_s=time.monotonic, retry_s=retry_s, lease_key=lease_key)
        self.keeper = Keeper(self.writer, settings.intervals, exchange.now_ms)
        self.filler = Filler(exchange, self.keeper, time.monotonic)
        self.sweep = Sweep(exchange, self.keeper)
        self.requests = GapRequests(redis, contract, exchange, self.keeper, self.writer, time.monotonic, retry_s)
        self._answers = bool(contract.request_channel)
        self.symbols: list[str] = []
        """The pairs that are collected, by turnover."""
        self.stored = asyncio.Event()
        """Set once nothing is missing for the first time."""
        self.last_event_s = time.monotonic()
        """When the exchange said something last; at first, when this was made."""
        self._listed_anew = asyncio.Event()
        self._settings = settings

    @property
    def event_age_s(self) -> float:
        """Seconds since the exchange's last event, or since the start."""
        return time.monotonic() - self.last_event_s

    async def run(self, on_listing: Callable[[Sequence[Listed]], None] = lambda listing: None) -> None:
        """Collect until cancelled. Raises `UnknownPairs`, and `ExchangeError` where asking again does not help, in an
        exception group."""
        try:
            await self._run(on_listing)
        finally:
            # Not cut short by the cancellation that ends the collection.
            await asyncio.shield(self._redis.aclose())

    async def _run(self, on_listing: Callable[[Sequence[Listed]], None]) -> None:
        async with asyncio.TaskGroup() as tasks:
            # First, because it is what closes the exchange's connections in the end.
            tasks.create_task(self.exchange.run(self._take), name="exchange")
            await self._begin(on_listing)
            tasks.create_task(self.writer.run(self.keeper.reconcile), name="writer")
            tasks.create_task(self.filler.run(), name="filler")
            tasks.create_task(self.sweep.run(), name="sweep")
            if self._answers:
                tasks.create_task(self.requests.run(), name="requests")
            tasks.create_task(self._follow(on_listing), name="listing")
            tasks.create_task(self._start_new(), name="new series")
            tasks.create_task(self._renew(), name="renew")
            tasks.create_task(self._until_stored(), name="first history")

    async def _begin(self, on_listing: Callable[[Sequence[Listed]], None]) -> None:
        """Select the first pairs; an exchange that cannot be reached is waited for."""
        for wait_s in chain(_LISTING_RETRY_S, repeat(_LISTING_RETRY_S[-1])):
            try:
                return self._select(await self.exchange.listing(), on_listing)
            except ExchangeError as error:
                if error.permanent:
                    raise
                logger.warning("exchange unavailable error=%s retry_s=%.0f", error, error.retry_after_s or wait_s)
                await asyncio.sleep(error.retry_after_s or wait_s)
        return None

    async def _follow(self, on_listing: Callable[[Sequence[Listed]], None]) -> None:
        """Look again and again which pairs are the largest, and what has been listed or delisted."""
        while True:
            await asyncio.sleep(self._settings.listing_s)
            try:
                self._select(await self.exchange.listing(), on_listing)
            except (ExchangeError, UnknownPairs) as error:
                logger.warning("listing failed error=%s", error)

    def _select(self, listing: Sequence[Listed], on_listing: Callable[[Sequence[Listed]], None]) -> None:
        wanted = self._settings
        symbols = follow(listing, self.symbols, symbols=wanted.symbols, top=wanted.top, quote=wanted.quote)
        added, removed = set(symbols) - set(self.symbols), set(self.symbols) - set(symbols)
        if added or removed:
            logger.info("pairs followed=%d added=%d removed=%d", len(symbols), len(added), len(removed))
        self.symbols = symbols
        on_listing(listing)
        self.writer.forget(removed)
        if self.keeper.follow(symbols):
            self._listed_anew.set()
        self.exchange.follow(symbols, wanted.intervals)

    async def _start_new(self) -> None:
        """Start the series of pairs that are new; at the first time, and after an outage, the writer starts all."""
        while True:
            await self._listed_anew.wait()
            await self.writer.connected.wait()
            self._listed_anew.clear()
            try:
                await self.keeper.reconcile(self.keeper.not_started())
            except (RedisError, OSError) as error:
                logger.warning("redis unavailable error=%s: new series wait", error)
                self._listed_anew.set()
                await asyncio.sleep(_NEW_RETRY_S)

    async def _until_stored(self) -> None:
        await self.writer.connected.wait()
        while self.filler.missing or self.writer.waiting_closed:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        self.stored.set()
        logger.info("history stored pairs=%d series=%d", len(self.symbols), len(self.keeper.names))

    def _take(self, event: MarketEvent) -> None:
        self.last_event_s = time.monotonic()
        self.keeper.take(event)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            await self.writer.renew(self.keeper.long())
