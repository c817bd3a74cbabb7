"""Reads one series or ticker from the store, joined with the closed klines that the live market has in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.history.encoded import EncodedKlines
from gateway.history.kept_prefixes import KeptPrefixes
from gateway.history.merge import unique
from gateway.protocol.native import kline_json

if TYPE_CHECKING:
    from gateway.history.aggregating_store import AggregatingStore
    from gateway.history.live_view import LiveMarket
    from gateway.history.turns import Turns
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

READS_MAX = 8
"""Reads of klines under way at once: more would not be decoded any sooner, and their answers would wait in memory."""


class UnknownSymbol(Exception):
    """The symbol is well-formed, and there is no data for it."""

    def __init__(self, symbol: str) -> None:
        super().__init__(f"no data for {symbol}")
        self.symbol = symbol


class SeriesReader:
    """A bounded number of reads at a time; what they return is encoded in turns. Caches nothing."""

    def __init__(self, store: AggregatingStore, live: LiveMarket, turns: Turns) -> None:
        """`turns`: of those who encode."""
        self._store = store
        self._live = live
        self._turns = turns
        self.kept = KeptPrefixes()
        self._reading = asyncio.Semaphore(READS_MAX)

    async def latest(self, symbol: str, interval: Interval, limit: int) -> EncodedKlines:
        """The newest `limit` klines, with those in memory where none is missing between the two."""
        before = self.memory(symbol, interval)
        encoded, memory = await self._read_with_memory(symbol, interval, limit)
        if encoded and encoded.from_memory != memory and memory != before:
            # More klines closed during the read than memory keeps. All of them are stored by now.
            encoded, _ = await self._read_with_memory(symbol, interval, limit)
        return encoded

    async def _read_with_memory(
        self, symbol: str, interval: Interval, limit: int
    ) -> tuple[EncodedKlines, tuple[Kline, ...]]:
        """What is stored, joined with the klines in memory unless there is a hole between; and those in memory."""
        # One more than is cached, which shows whether the store has older ones.
        async with self._reading:
            stored = await self._store.closed_klines(symbol, interval.name, limit + 1)
        klines, derived = stored.klines, stored.parts is not None
        # There may be more parts than one answer reads.
        complete = len(klines) <= limit and not (derived and klines)
        async with self._turns.turn():
            memory = self.memory(symbol, interval)
            if not klines:
                # Not cached, even if there are some in memory: it may fill at any moment.
                return EncodedKlines((), complete, kline_json, derived=derived), memory
            merged = unique((*memory, *klines))
            encoded = EncodedKlines(
                merged[-limit:],
                complete and len(merged) <= limit,
                kline_json,
                derived=derived,
                from_memory=memory,
                kept=self.kept,
            )
            # See `_merged`: what is cached has no hole.
            if encoded.hole_after(interval) is not None:
                encoded = EncodedKlines(klines[-limit:], complete, kline_json, derived=derived, kept=self.kept)
            return encoded, memory

    async def range(
        self, symbol: str, interval: Interval, limit: int, start_ms: int | None, end_ms: int | None
    ) -> EncodedKlines:
        """Stored klines by open time, as `History.klines`; without those in memory."""
        async with self._reading:
            stored = await self._store.closed_klines(symbol, interval.name, limit, start_ms, end_ms)
        async with self._turns.turn():
            return EncodedKlines(stored.klines, False, kline_json, derived=stored.parts is not None)

    async def ticker(self, symbol: str) -> Ticker | None:
        """The stored ticker. Raises `UnknownSymbol`."""
        ticker = await self._store.store.ticker(symbol)
        if ticker is None:
            await self.check_known(symbol)
        return ticker

    async def check_known(self, symbol: str) -> None:
        """Called when nothing was found. Raises `UnknownSymbol`, but not before the feed has delivered anything."""
        if self._live.is_unknown(symbol) and not await self._store.store.has_data(symbol):
            raise UnknownSymbol(symbol)

    def memory(self, symbol: str, interval: Interval) -> tuple[Kline, ...]:
        """The newest closed klines of the live market."""
        return tuple(self._live.closed(symbol, interval.name))
