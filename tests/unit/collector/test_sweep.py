"""What has left is compared with what the exchange says later."""

from __future__ import annotations

import asyncio

from collector.exchange import ExchangeError
from collector.keeper import Keeper
from collector.sweep import Sweep
from tests.unit.collector.test_filler import Exchange
from tests.unit.collector.test_keeper import NAME, Written, at, event


async def swept(exchange: Exchange, keeper: Keeper, questions: int) -> Sweep:
    """Run a sweep until it has asked so many questions and taken the answers."""
    sweep = Sweep(exchange, keeper, sweep_s=0.01)  # type: ignore[arg-type]
    running = asyncio.create_task(sweep.run())
    for _ in range(2000):
        await asyncio.sleep(0.001)
        if len(exchange.asked) >= questions:
            break
    await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return sweep


def keeper_of(exchange: Exchange, written: Written) -> Keeper:
    exchange.time_ms = at(9)
    return Keeper(written, ["1m"], exchange.now_ms)  # type: ignore[arg-type]


async def test_a_correction_that_nobody_has_told_is_found_and_written_once() -> None:
    exchange, written = Exchange(), Written()
    keeper = keeper_of(exchange, written)
    keeper.follow([NAME.symbol])
    written.held[NAME] = at(0) - 1, 500
    await keeper.reconcile()
    keeper.take(event(0))
    exchange.answer = [event(0, "2", after_ms=540_000).kline]
    sweep = await swept(exchange, keeper, 3)
    assert [given.kline.close for given in written.waiting()] == ["1", "2"]
    assert sweep.compared >= 3


async def test_a_series_that_has_not_started_is_not_asked_for() -> None:
    exchange, written = Exchange(), Written()
    keeper = keeper_of(exchange, written)
    keeper.follow([NAME.symbol])
    await swept(exchange, keeper, 0)
    assert exchange.asked == []


async def test_a_refusal_does_not_end_it() -> None:
    exchange, written = Exchange(), Written()
    exchange.answer = ExchangeError("503")
    keeper = keeper_of(exchange, written)
    keeper.follow([NAME.symbol])
    written.held[NAME] = at(0) - 1, 500
    await keeper.reconcile()
    sweep = await swept(exchange, keeper, 1)
    assert (sweep.compared, len(exchange.asked)) == (0, 1)
