"""A sweep over a real market reaches the feed state."""

from __future__ import annotations

import asyncio
import contextlib

from gateway.config import MarketConfig
from gateway.delivery.feed_state import FeedStateMachine
from gateway.market.market import Market
from gateway.runtime.symbol_watch import SWEEPS, SymbolWatch
from tests.builders import T0, kline, kline_update, ticker_update


async def test_a_symbol_that_stops_is_told_by_the_feed_state_and_forgotten_when_it_is_back() -> None:
    config = MarketConfig(intervals=("1m",), symbol_stale_after_s=10.0, symbol_stale_pauses=3.0)
    market, feed_state = Market(config, 4), FeedStateMachine(1e9)
    feed_state.connected(0.0, T0)
    feed_state.backfill_done(0.0, T0, 0, frozenset())
    now_s = 0.0
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        slept.append(seconds)
        now_s += 1
        now_ms = T0 + round(now_s * 1000)
        for symbol in ("BTCUSDT", "ETHUSDT") if now_s < 10 or now_s > 30 else ("BTCUSDT",):
            market.apply(ticker_update(str(now_s), now_ms, symbol), now_ms)
        if now_s == 1:
            market.apply(kline_update(kline(1)), now_ms)
            market.apply(kline_update(kline(0, closed=True)), now_ms)
        if now_s > 32:
            raise asyncio.CancelledError

    watch = SymbolWatch(config, market, feed_state, lambda: T0 + round(now_s * 1000), lambda: now_s, sleep)
    with contextlib.suppress(asyncio.CancelledError):
        await watch.run()
    assert set(slept) == {10.0 / SWEEPS}
    assert feed_state.current.symbols == {}
    for number in range(300):
        market.apply(ticker_update("1", T0 + 30_000, f"OTHER{number}"), T0)
    now_s = 40.0
    market.apply(ticker_update("9", T0 + 40_000, "BTCUSDT"), T0 + 40_000)
    await watch.sweep()
    before = feed_state.current
    for second in range(41, 80):
        now_s = float(second)
        market.apply(ticker_update(str(second), T0 + second * 1000, "BTCUSDT"), T0 + second * 1000)
        await watch.sweep()
    assert not feed_state.current.ticker("ETHUSDT").live
    assert not feed_state.current.klines("ETHUSDT").live
    assert feed_state.current.ticker("BTCUSDT").live
    assert feed_state.current is not before
