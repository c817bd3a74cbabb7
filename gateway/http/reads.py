"""The history as HTTP requests read it: a bounded number at a time, and what follows a read waits for its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.http.request_turns import READS_MAX, Slots

if TYPE_CHECKING:
    from gateway.history.answer import KlinesAnswer, TickerAnswer
    from gateway.history.live_view import LiveMarket
    from gateway.history.service import History
    from gateway.http.kept_answers import Make
    from gateway.http.request_turns import RequestTurns


class HistoryReads:
    """`History` for requests. `live` is the market in memory, which costs no read."""

    def __init__(self, history: History, turns: RequestTurns) -> None:
        self.live: LiveMarket = history.live
        self.turns = turns
        self.cached_klines = history.cached_klines
        """As `History.cached_klines`: what waits for nothing needs neither a slot nor a turn."""
        self.makers: dict[str, Make] = {}
        """By path: what makes answers of the cache at once. Filled by the routes, see `kept_answers`."""
        self._history = history
        self._slots = Slots(READS_MAX)

    async def klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> KlinesAnswer:
        """As `History.klines`."""
        await self._slots.acquire(self.turns.group)
        try:
            answer = await self._history.klines(symbol, interval, limit, start_ms, end_ms)
        finally:
            self._slots.release()
        await self.turns.wait()
        return answer

    async def ticker(self, symbol: str) -> TickerAnswer:
        """As `History.ticker`."""
        await self._slots.acquire(self.turns.group)
        try:
            answer = await self._history.ticker(symbol)
        finally:
            self._slots.release()
        await self.turns.wait()
        return answer
