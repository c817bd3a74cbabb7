"""The past and the present as one: query -> cache -> store, joined with the live market in the step that answers.

Used by every HTTP dialect and by subscriptions that ask for history. Repairs read the store itself: nothing kept is
new enough for them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from gateway.history.cache import ReadCache
from gateway.history.encoded import EncodedKlines
from gateway.history.merge import follows, within
from gateway.history.single_flight import SingleFlight
from gateway.model.interval import INTERVALS
from gateway.protocol.native import kline_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import HistoryConfig
    from gateway.history.aggregating_store import Found
    from gateway.history.live import LiveMarket
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

REREAD_S = 1.0
"""A hole between what is kept and what is live asks for a new read, but not more often than this: the collector may
write a closed kline a little later than it publishes it, and some holes are the market's own."""


A = TypeVar("A", bound=tuple[object, bool, bool])


class Reads(Protocol):
    """What is asked of the store (`rolled.RolledStore`)."""

    @property
    def malformed(self) -> int: ...

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> Found: ...

    async def ticker(self, symbol: str) -> Ticker | None: ...

    async def has_data(self, symbol: str) -> bool: ...


class UnknownSymbol(Exception):
    """The symbol is well-formed, and nobody has data for it."""

    def __init__(self, symbol: str) -> None:
        super().__init__(f"no data for {symbol}")
        self.symbol = symbol


@dataclass(frozen=True, slots=True)
class KlinesAnswer:
    """`past[first:last]` and perhaps the forming kline. `bars` gives them as values, `past` has them encoded."""

    interval: Interval
    past: EncodedKlines
    first: int
    last: int
    forming: Kline | None
    cached: bool
    stale: bool
    """There may be newer ones: the source is away or silent, or the store could not be asked."""
    unrefreshed: bool = False
    """The store could not be asked."""

    @property
    def bars(self) -> list[Kline]:
        """Ascending by open time, each once; the last one may be forming."""
        bars = list(self.past.bars[self.first : self.last])
        return bars if self.forming is None else [*bars, self.forming]

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """First and last open time of each run of bars that are missing between those that are there."""
        opens, span = self.past.opens[self.first : self.last], self.interval
        if self.forming is not None:
            opens.append(self.forming.open_time_ms)
        if not opens or span.back(opens[-1], len(opens) - 1) == opens[0]:
            return []
        nexts = [(span.next_open(before), after) for before, after in pairwise(opens)]
        return [(wanted, span.previous_open(there)) for wanted, there in nexts if wanted < there]

    @property
    def settled(self) -> bool:
        """Whether only bars before the newest closed one are in it: those do not change from one moment to the next."""
        return self.forming is None and not self.stale and 0 < self.last < len(self.past)


class TickerAnswer(NamedTuple):
    ticker: Ticker | None
    """`None`: the symbol has data, but no ticker just now."""
    cached: bool
    stale: bool


class History:
    def __init__(
        self,
        store: Reads,
        live: LiveMarket,
        config: HistoryConfig,
        limit_max: int,
        clock_s: Callable[[], float] = time.monotonic,
        observe: Callable[[str, float], None] = lambda served, seconds: None,
    ) -> None:
        """`limit_max`: how many closed klines of a series are kept; requests for more are read each time. `observe` is
        told of each answer how it was come by (`kept`, `stale`, `read`, `failed`) and how many seconds it took."""
        self.live = live
        self._store = store
        self._limit_max = limit_max
        self._clock_s = clock_s
        self._observe = observe
        self._pasts: ReadCache[EncodedKlines] = ReadCache(config.cache_symbols, config.klines_ttl_s, clock_s)
        self._tickers: ReadCache[Ticker | None] = ReadCache(config.cache_symbols, config.ticker_ttl_s, clock_s)
        self._ranges: SingleFlight[EncodedKlines] = SingleFlight()

    @property
    def counters(self) -> dict[str, int]:
        """Totals since the start, for metrics."""
        caches = (self._pasts, self._tickers)
        return {
            "hits": sum(cache.hits for cache in caches),
            "misses": sum(cache.misses for cache in caches),
            "coalesced": sum(cache.coalesced for cache in caches) + self._ranges.coalesced,
            "stale_served": sum(cache.stale_served for cache in caches),
            "malformed": self._store.malformed,
        }

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
        """Bars by open time, both ends included: the first `limit` from the start, or without one the last `limit`.

        The forming kline counts as one. `max_age_s`: how old kept ones may be, where less than usual. Raises
        `UnknownSymbol` or `StoreUnavailable`.
        """
        span = INTERVALS[interval]
        past, cached, stale = await self._timed(self._reach(symbol, span, limit, start_ms, end_ms, max_age_s))
        # No await from here on: what is live now is what the answer ends with.
        last_bar = self.live.forming(symbol, interval) if forming else None
        if last_bar and not (follows(past.bars, last_bar) and within(last_bar, start_ms, end_ms)):
            last_bar = None
        first, last = past.span(start_ms, end_ms)
        if start_ms is None:
            first = max(first, last - (limit if last_bar is None else limit - 1))
        else:
            last = min(last, first + limit)
            if last - first == limit:
                last_bar = None
        return KlinesAnswer(span, past, first, last, last_bar, cached, stale or self._live_stale(symbol), stale)

    async def ticker(self, symbol: str) -> TickerAnswer:
        """The live ticker, else the stored one. Raises `UnknownSymbol` or `StoreUnavailable`."""
        if ticker := self.live.ticker(symbol):
            return TickerAnswer(ticker, cached=False, stale=self.live.stale(symbol))
        found = await self._timed(self._tickers.get(symbol, "", lambda: self._read_ticker(symbol)))
        stale = found.stale or found.value is None or self._live_stale(symbol)
        return TickerAnswer(found.value, found.cached, stale)

    async def aclose(self) -> None:
        for part in (self._pasts, self._tickers, self._ranges):
            await part.aclose()

    async def _timed(self, answer: Awaitable[A]) -> A:
        started_s, served = self._clock_s(), "failed"
        try:
            found = await answer
            _, cached, stale = found
            served = "stale" if stale else "kept" if cached else "read"
            return found
        except UnknownSymbol:
            served = "read"
            raise
        finally:
            self._observe(served, self._clock_s() - started_s)

    async def _reach(
        self,
        symbol: str,
        span: Interval,
        limit: int,
        start_ms: int | None,
        end_ms: int | None,
        max_age_s: float | None,
    ) -> tuple[EncodedKlines, bool, bool]:
        """A past that has what is asked for, where the store does; whether it was kept, and whether it is stale."""
        past, cached, stale = await self._past(symbol, span, max_age_s)
        if not self._reaches_back(past, limit, start_ms, end_ms):
            return past, cached, stale
        past = await self._ranges.join(
            (symbol, span.name, limit, start_ms, end_ms),
            lambda: self._read_range(symbol, span, limit, start_ms, end_ms),
        )
        memory = self._memory(symbol, span.name)
        return past.with_memory(memory, len(past) + len(memory)), False, False

    async def _past(self, symbol: str, span: Interval, max_age_s: float | None) -> tuple[EncodedKlines, bool, bool]:
        async def read() -> EncodedKlines:
            past = await self._read_past(symbol, span)
            if not past:
                await self._expect_known(symbol)
            return past

        found = await self._pasts.get(symbol, span.name, read, max_age_s)
        past = self._with_memory(symbol, span, found.value)
        if found.cached and not found.stale and self._holed(symbol, span, past):
            found = await self._pasts.get(symbol, span.name, read, max_age_s=REREAD_S)
            past = self._with_memory(symbol, span, found.value)
        return past, found.cached, found.stale

    def _with_memory(self, symbol: str, span: Interval, past: EncodedKlines) -> EncodedKlines:
        news = past.with_memory(self._memory(symbol, span.name), self._limit_max)
        # One with a hole is not kept: the next bar in memory would meet it, and hide that.
        if news is not past and news.torn_after(span) is None:
            self._pasts.replace(symbol, span.name, news)
        return news

    def _holed(self, symbol: str, span: Interval, past: EncodedKlines) -> bool:
        """Whether a bar is missing where stored and in-memory klines meet, or before the forming one."""
        if past.torn_after(span) is not None:
            return True
        forming = self.live.forming(symbol, span.name)
        return forming is not None and bool(past) and span.next_open(past.opens[-1]) < forming.open_time_ms

    def _reaches_back(self, past: EncodedKlines, limit: int, start_ms: int | None, end_ms: int | None) -> bool:
        """Whether the request wants bars older than those kept, and there may be some."""
        if past.complete:
            return False
        if start_ms is not None:
            return start_ms < past.opens[0]
        first, last = past.span(None, end_ms)
        return last - first < limit and (limit > self._limit_max or end_ms is not None)

    async def _read_past(self, symbol: str, span: Interval) -> EncodedKlines:
        # One more than is kept: so it is known whether the store has older ones.
        found = await self._store.closed_klines(symbol, span.name, self._limit_max + 1)
        stored, derived = found.klines, found.parts is not None
        # Of parts there may be more than one answer reads.
        complete = len(stored) <= self._limit_max and not (derived and stored)
        return EncodedKlines(stored[-self._limit_max :], complete, kline_json, derived=derived)

    async def _read_range(
        self, symbol: str, span: Interval, limit: int, start_ms: int | None, end_ms: int | None
    ) -> EncodedKlines:
        found = await self._store.closed_klines(symbol, span.name, limit, start_ms, end_ms)
        return EncodedKlines(found.klines, False, kline_json, derived=found.parts is not None)

    async def _read_ticker(self, symbol: str) -> Ticker | None:
        ticker = await self._store.ticker(symbol)
        if ticker is None:
            await self._expect_known(symbol)
        return ticker

    async def _expect_known(self, symbol: str) -> None:
        """Nothing was found: is that an unknown symbol? Not before the feed has said what there is."""
        if self.live.is_unknown(symbol) and not await self._store.has_data(symbol):
            raise UnknownSymbol(symbol)

    def _memory(self, symbol: str, interval: str) -> tuple[Kline, ...]:
        return tuple(self.live.closed(symbol, interval))

    def _live_stale(self, symbol: str) -> bool:
        return self.live.has_data(symbol) and self.live.stale(symbol)
