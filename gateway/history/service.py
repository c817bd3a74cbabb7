"""Stored and live klines as one list: query -> cache -> store, merged with the live market when the answer is made.

Used by every HTTP dialect and by subscriptions with history. `runtime/backfill.py` reads the store itself, because
nothing in the cache is new enough for it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from gateway.delivery.staleness import StaleReason
from gateway.history.answer import KlinesAnswer, TickerAnswer
from gateway.history.cache import Lookup, ReadCache
from gateway.history.merge import follows, within
from gateway.history.older import OlderKlines
from gateway.history.series_reader import SeriesReader, UnknownSymbol
from gateway.history.single_flight import SingleFlight
from gateway.history.turns import Turns
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import HistoryConfig
    from gateway.history.aggregating_store import AggregatingStore
    from gateway.history.encoded import EncodedKlines
    from gateway.history.live_view import LiveMarket
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

REREAD_S = 1.0
"""A hole between cached and live klines is a reason to read again, but not more often than this: the collector may
write a closed kline a little later than it publishes it, and some holes are real."""

LONG_MAX = 1000
"""Closed klines of a long answer without times: what Binance's clients may ask for."""

LONG_CACHED = 16
"""Symbols of which long answers are cached, where the store has more klines than are cached of all: some MB."""

V = TypeVar("V")


STORE_UNAVAILABLE = "store"
"""The reason of answers that are stale because the store could not be read."""


class History:
    """Answers queries for klines and tickers. Caches what it reads; never waits for the live market."""

    def __init__(
        self,
        store: AggregatingStore,
        live: LiveMarket,
        config: HistoryConfig,
        limit_max: int,
        observe: Callable[[str, float], None] = lambda served, seconds: None,
        turns: Turns | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`limit_max`: closed klines cached of a series; requests for more are read each time. `observe` is called
        with the source of each answer (`kept`, `stale`, `read`, `failed`) and the seconds that it took. `turns`: of
        those who encode."""
        self.live = live
        self._store = store.store
        turns = turns or Turns()
        self._reader = SeriesReader(store, live, turns)
        self.older = OlderKlines(store, turns)
        self._limit_max = limit_max
        self._clock_s = clock_s
        self._observe = observe
        self._klines: ReadCache[EncodedKlines] = ReadCache(config.cache_symbols, config.klines_ttl_s, clock_s)
        self._long: ReadCache[EncodedKlines] = ReadCache(LONG_CACHED, config.klines_ttl_s, clock_s)
        self._tickers: ReadCache[Ticker | None] = ReadCache(config.cache_symbols, config.ticker_ttl_s, clock_s)
        self._ranges: SingleFlight[EncodedKlines] = SingleFlight()

    @property
    def counters(self) -> dict[str, int]:
        """Totals since the start, for metrics."""
        caches = (self._klines, self._long, self._tickers)
        return {
            "hits": sum(cache.hits for cache in caches),
            "misses": sum(cache.misses for cache in caches),
            "coalesced": sum(cache.coalesced for cache in caches) + self._ranges.coalesced,
            "stale_served": sum(cache.stale_served for cache in caches),
            "malformed": self._store.malformed,
        }

    @property
    def kept_bytes(self) -> int:
        """Memory of the beginnings of answers that are kept for later ones, at most."""
        return self._reader.kept.bytes

    async def klines(
        self,
        symbol: str,
        interval: str,
        limit: int,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        forming: bool = True,
        max_age_s: float | None = None,
    ) -> KlinesAnswer:
        """Klines by open time, both ends included: the first `limit` from the start, or without one the last `limit`.

        The forming kline counts as one. `max_age_s`: maximum age of cached klines, where less than usual. Raises
        `UnknownSymbol` or `StoreUnavailable`.
        """
        known = INTERVALS[interval]
        lookup = await self._timed(self._find(symbol, known, limit, start_ms, end_ms, max_age_s))
        last_kline = self.live.forming(symbol, interval) if forming else None
        return self._answer(symbol, known, lookup, limit, start_ms, end_ms, last_kline)

    def cached_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> KlinesAnswer | None:
        """What `klines` would answer from the cache, without waiting; None where it would read the store."""
        known, started_s = INTERVALS[interval], self._clock_s()
        forming = self.live.forming(symbol, interval)
        lookup = self._cached(symbol, known, limit, start_ms, end_ms, forming)
        if lookup is None:
            return None
        self._observe("kept", self._clock_s() - started_s)
        return self._answer(symbol, known, lookup, limit, start_ms, end_ms, forming)

    def _answer(
        self,
        symbol: str,
        known: Interval,
        lookup: Lookup[EncodedKlines],
        limit: int,
        start_ms: int | None,
        end_ms: int | None,
        last_kline: Kline | None,
    ) -> KlinesAnswer:
        """Runs without `await`: the answer ends with the live market of this instant. `last_kline`: the forming one."""
        encoded, cached, stale = lookup
        if last_kline and not (follows(encoded.open_times_ms, last_kline) and within(last_kline, start_ms, end_ms)):
            last_kline = None
        first, last = encoded.index_range(start_ms, end_ms)
        if start_ms is None:
            first = max(first, last - (limit if last_kline is None else limit - 1))
        else:
            last = min(last, first + limit)
            if last - first == limit:
                last_kline = None
        reason = STORE_UNAVAILABLE if stale else ""
        if self.live.has_data(symbol):
            reason = reason or self.live.klines_stale(symbol, known.name, forming=last_kline is not None)
        return KlinesAnswer(known, encoded, first, last, last_kline, cached, reason, stale)

    async def ticker(self, symbol: str) -> TickerAnswer:
        """The live ticker, else the stored one. Raises `UnknownSymbol` or `StoreUnavailable`."""
        if ticker := self.live.ticker(symbol):
            return TickerAnswer(ticker, cached=False, stale_reason=self.live.ticker_stale(symbol))
        lookup = await self._timed(self._tickers.get(symbol, "", lambda: self._reader.ticker(symbol)))
        reason = STORE_UNAVAILABLE if lookup.stale else ""
        if self.live.has_data(symbol):
            reason = reason or self.live.ticker_stale(symbol)
        if lookup.value is None:
            reason = reason or StaleReason.PRICES
        return TickerAnswer(lookup.value, lookup.cached, reason)

    async def aclose(self) -> None:
        """Cancel the reads in flight."""
        for part in (self._klines, self._long, self._tickers, self._ranges, self.older):
            await part.aclose()

    async def _timed(self, read: Awaitable[Lookup[V]]) -> Lookup[V]:
        started_s, served = self._clock_s(), "failed"
        try:
            lookup = await read
            served = "stale" if lookup.stale else "kept" if lookup.cached else "read"
            return lookup
        except UnknownSymbol:
            served = "read"
            raise
        finally:
            self._observe(served, self._clock_s() - started_s)

    async def _find(
        self,
        symbol: str,
        interval: Interval,
        limit: int,
        start_ms: int | None,
        end_ms: int | None,
        max_age_s: float | None,
    ) -> Lookup[EncodedKlines]:
        """Klines that include those asked for, as far as they are stored."""
        lookup = await self._latest(symbol, interval, max_age_s, self._klines, self._limit_max)
        if not self._needs_older(lookup.value, limit, start_ms, end_ms):
            return lookup
        if start_ms is None and end_ms is None and limit <= LONG_MAX:
            # Bots habitually ask for the newest 1000, which must not read the store each time.
            return await self._latest(symbol, interval, max_age_s, self._long, LONG_MAX)
        older = await self._ranges.join(
            (symbol, interval.name, limit, start_ms, end_ms),
            lambda: self._reader.range(symbol, interval, limit, start_ms, end_ms),
        )
        memory = self._reader.memory(symbol, interval)
        return Lookup(older.with_memory(memory, len(older) + len(memory), interval), cached=False, stale=False)

    def _cached(
        self,
        symbol: str,
        interval: Interval,
        limit: int,
        start_ms: int | None,
        end_ms: int | None,
        forming: Kline | None,
    ) -> Lookup[EncodedKlines] | None:
        """As `_find`, without reading; None where it would read. Counts a hit of each cache as `_find` does."""
        lookup = self._fresh(symbol, interval, self._klines, self._limit_max, forming)
        if lookup is not None and self._needs_older(lookup.value, limit, start_ms, end_ms):
            if start_ms is not None or end_ms is not None or limit > LONG_MAX:
                return None
            lookup = self._fresh(symbol, interval, self._long, LONG_MAX, forming)
            self._long.hits += lookup is not None
        self._klines.hits += lookup is not None
        return lookup

    def _fresh(
        self,
        symbol: str,
        interval: Interval,
        cache: ReadCache[EncodedKlines],
        limit: int,
        forming: Kline | None,
    ) -> Lookup[EncodedKlines] | None:
        """As `_latest`, without reading; None where it would read."""
        encoded = cache.fresh(symbol, interval.name)
        if encoded is None:
            return None
        lookup = self._merged(symbol, interval, Lookup(encoded, True, False), cache, limit)
        return None if _has_hole(interval, lookup.value, forming) else lookup

    async def _latest(
        self, symbol: str, interval: Interval, max_age_s: float | None, cache: ReadCache[EncodedKlines], limit: int
    ) -> Lookup[EncodedKlines]:
        """The newest `limit` closed klines of a series, through their cache."""

        async def read() -> EncodedKlines:
            encoded = await self._reader.latest(symbol, interval, limit)
            if not encoded:
                await self._reader.check_known(symbol)
            return encoded

        found = await cache.get(symbol, interval.name, read, max_age_s)
        lookup = self._merged(symbol, interval, found, cache, limit)
        forming = self.live.forming(symbol, interval.name)
        if lookup.cached and not lookup.stale and _has_hole(interval, lookup.value, forming):
            again = await cache.get(symbol, interval.name, read, max_age_s=REREAD_S)
            lookup = self._merged(symbol, interval, again, cache, limit)
        return lookup

    def _merged(
        self,
        symbol: str,
        interval: Interval,
        lookup: Lookup[EncodedKlines],
        cache: ReadCache[EncodedKlines],
        limit: int,
    ) -> Lookup[EncodedKlines]:
        """The same with the closed klines in memory, which go into the cache too."""
        merged = lookup.value.with_memory(self._reader.memory(symbol, interval), limit, interval)
        # Not cached with a hole: the next request must ask the store for what is missing.
        if merged is lookup.value:
            return lookup
        if merged.hole_after(interval) is None:
            cache.replace(symbol, interval.name, merged)
        return lookup._replace(value=merged)

    def _needs_older(self, encoded: EncodedKlines, limit: int, start_ms: int | None, end_ms: int | None) -> bool:
        """Whether the request asks for klines older than the cached ones, and there may be some."""
        if encoded.complete:
            return False
        if start_ms is not None:
            return start_ms < encoded.open_times_ms[0]
        first, last = encoded.index_range(None, end_ms)
        return last - first < limit and (limit > self._limit_max or end_ms is not None)


def _has_hole(interval: Interval, encoded: EncodedKlines, forming: Kline | None) -> bool:
    """Whether a kline is missing between stored ones and those in memory, or before the forming one."""
    if encoded.hole_after(interval) is not None:
        return True
    return (
        forming is not None and bool(encoded) and interval.next_open(encoded.open_times_ms[-1]) < forming.open_time_ms
    )
