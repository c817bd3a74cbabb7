"""Binance as an `Exchange`: its listing, its klines, its streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from collector.binance.facts import load
from collector.binance.payloads import closed_klines, listed, stream_names
from collector.binance.rest import Rest
from collector.binance.streams import Streams
from collector.exchange import ExchangeStatus, Venue
from gateway.model.interval import DAY_MS, INTERVALS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from collector.events import MarketEvent
    from collector.exchange import Listed
    from gateway.model.kline import Kline


class Binance:
    """One venue of Binance (see `facts.SPOT`, `facts.USDM`)."""

    def __init__(self, name: str, *, rest_url: str = "", stream_url: str = "", weight_share: float = 0.5) -> None:
        """`rest_url`, `stream_url`: other base addresses than the exchange's own. `weight_share`: part of the limit of
        weight a minute that this collector may use; the rest is for others behind the same address."""
        facts = self._facts = load(name)
        self.venue = Venue(
            name,
            facts.title,
            facts.attribution_url,
            facts.terms_url,
            intervals=facts.intervals,
            rows_max=facts.rows_max,
        )
        self.rest = Rest(facts, rest_url, weight_share)
        self._stream_url = stream_url
        self._followed: list[str] = []
        self.streams: Streams | None = None
        """The connections, while `run` runs."""

    def now_ms(self) -> int:
        """The time of the exchange's clock, ms since the epoch."""
        return self.rest.clock.now_ms()

    def status(self) -> ExchangeStatus:
        """How its connections are doing."""
        if self.streams is None:
            return ExchangeStatus(1, 0, weight_used=self.rest.budget.used)
        connected, connections = self.streams.connected
        return ExchangeStatus(connections, connected, self.streams.lost, self.streams.refused, self.rest.budget.used)

    async def listing(self) -> Sequence[Listed]:
        """All pairs. Raises `ExchangeError`."""
        facts = self._facts
        info = await self.rest.get(facts.exchange_info_path, facts.exchange_info_weight)
        self.rest.take_over(info)
        tickers = await self.rest.get(facts.ticker_24hr_path, facts.ticker_24hr_weight)
        return listed(info, tickers, perpetual_only=facts.perpetual_only)

    async def klines(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Sequence[Kline]:
        """Closed klines that open from `start_ms` and before `end_ms`; see `Exchange`."""
        length_ms = INTERVALS[interval].length_ms or 28 * DAY_MS
        limit = max(1, min(self.venue.rows_max, -(-(end_ms - start_ms) // length_ms)))
        rows = await self.rest.get(
            self._facts.klines_path,
            self._facts.weight_of_klines(limit),
            {
                "symbol": symbol,
                "interval": interval,
                "startTime": start_ms,
                "endTime": end_ms - 1,
                "limit": limit,
            },
        )
        return closed_klines(rows, INTERVALS[interval], self.now_ms())

    def follow(self, symbols: Collection[str], intervals: Collection[str]) -> None:
        """Stream klines and tickers of these and no others."""
        self._followed = stream_names(symbols, intervals, "ticker")
        if self.streams is not None:
            self.streams.follow(self._followed)

    async def run(self, on_event: Callable[[MarketEvent], None]) -> None:
        """Stream what is followed until cancelled."""
        self.streams = Streams(self._facts, self._stream_url, on_event)
        self.streams.follow(self._followed)
        try:
            await self.streams.run()
        finally:
            # Not cut short by the cancellation that ends the streams.
            await asyncio.shield(self.rest.aclose())

    async def aclose(self) -> None:
        """Close the connections of questions."""
        await self.rest.aclose()
