"""The order in which the store is read again. What comes of it is shown with a real server."""

from __future__ import annotations

import asyncio

from gateway.config import MarketConfig
from gateway.history.aggregating_store import StoredKlines
from gateway.market.market import Market
from gateway.runtime.backfill import Backfill
from tests.builders import closed_klines, ticker

SYMBOLS = {"BTCUSDT", "ETHUSDT", "XRPUSDT"}


class Stored:
    """A store that takes a turn of the loop for each answer, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.store = self

    async def symbols(self) -> set[str]:
        return set(SYMBOLS)

    async def closed_klines(self, symbol: str, interval: str, limit: int, start_ms: int | None = None) -> StoredKlines:
        self.asked.append(f"klines {symbol}")
        await asyncio.sleep(0)
        return StoredKlines(closed_klines([0, 1]))

    async def ticker(self, symbol: str) -> object:
        self.asked.append(f"ticker {symbol}")
        await asyncio.sleep(0)
        return ticker("100", symbol, event_time_ms=1)


async def test_prices_are_read_when_all_klines_are_there_and_only_then_is_all_known() -> None:
    stored, market = Stored(), Market(MarketConfig(intervals=("1m",)), log_size=4)
    backfill = Backfill(stored, market, ("1m",), (0.0,))  # type: ignore[arg-type]
    done = asyncio.Event()
    backfill.everything(done.set)
    assert backfill.running
    await asyncio.wait_for(done.wait(), 5)
    kinds = [question.split()[0] for question in stored.asked]
    assert kinds == ["klines"] * 3 + ["ticker"] * 3
    assert {question.split()[1] for question in stored.asked} == SYMBOLS
    assert market.has_symbols
    assert {symbol for symbol in SYMBOLS if market.ticker(symbol)} == SYMBOLS
