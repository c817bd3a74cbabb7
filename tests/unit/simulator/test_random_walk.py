"""The walk of one price: deterministic, in whole ticks, as lively as the pair, and never gone for good."""

from __future__ import annotations

from random import Random

import pytest

from gateway.model.interval import DAY_MS
from simulator.pairs import PAIRS
from simulator.random_walk import RandomWalk, Trade, deviation, mean_reversion, typical_lots

BTC, PEPE = PAIRS["BTCUSDT"], PAIRS["PEPEUSDT"]


def trades(walk: RandomWalk, count: int, elapsed_ms: float = 100) -> list[Trade]:
    return [walk.step(1_000 + n, elapsed_ms) for n in range(count)]


def test_the_same_random_source_gives_the_same_trades() -> None:
    first = trades(RandomWalk(BTC, Random("a"), BTC.price_ticks, 1), 50)
    assert trades(RandomWalk(BTC, Random("a"), BTC.price_ticks, 1), 50) == first
    assert trades(RandomWalk(BTC, Random("b"), BTC.price_ticks, 1), 50) != first


def test_a_trade_is_whole_positive_and_its_ids_follow_each_other() -> None:
    walk = RandomWalk(PEPE, Random("ids"), PEPE.price_ticks, 77)
    next_id = 77
    for trade in trades(walk, 500):
        assert trade.price >= 1
        assert trade.lots >= 1
        assert 0 <= trade.taker_lots <= trade.lots
        assert trade.trades >= 1
        assert trade.first_id == next_id
        next_id += trade.trades
    assert walk.next_id == next_id


def test_the_price_is_that_of_the_last_trade() -> None:
    walk = RandomWalk(BTC, Random("last"), 5_000, 1)
    assert walk.price == 5_000
    assert trades(walk, 3)[-1].price == walk.price


def test_a_coarse_tick_does_not_distort_the_random_walk() -> None:
    # A tenth of a second moves this pair by a fraction of a tick; over an hour it must move by its volatility.
    ends = []
    for seed in range(20):
        walk = RandomWalk(PEPE, Random(seed), PEPE.price_ticks, 1)
        trades(walk, 3_600, 1_000)
        ends.append(walk.price - PEPE.price_ticks)
    spread = (sum(end * end for end in ends) / len(ends)) ** 0.5
    assert 0.5 < spread / deviation(PEPE, PEPE.price_ticks, 3_600_000) < 1.5


def test_a_price_cannot_fall_below_one_tick() -> None:
    walk = RandomWalk(PEPE, Random("floor"), 1, 1)
    assert min(trade.price for trade in trades(walk, 300, 10 * DAY_MS)) >= 1


def test_a_day_changes_the_price_by_the_pairs_volatility() -> None:
    assert deviation(BTC, 1_000_000, DAY_MS) == pytest.approx(1_000_000 * BTC.daily_volatility)
    assert deviation(BTC, 1_000_000, DAY_MS / 4) == pytest.approx(deviation(BTC, 1_000_000, DAY_MS) / 2)


def test_a_price_reverts_to_the_typical_one() -> None:
    assert mean_reversion(500, 1_000, DAY_MS) > 0
    assert mean_reversion(2_000, 1_000, DAY_MS) < 0
    assert mean_reversion(1_000, 1_000, DAY_MS) == 0


def test_typical_lots_make_the_typical_turnover() -> None:
    lots = typical_lots(BTC, BTC.price_ticks, 60_000)
    turnover = lots * BTC.price_ticks / 10 ** (BTC.lot_digits + BTC.price_digits)
    assert turnover == pytest.approx(BTC.turnover_per_s * 60)
