"""The listed pairs: real names, exact prices, and clear words about what is not listed."""

from __future__ import annotations

import pytest

from gateway.model.symbol import SymbolRule
from simulator.pairs import PAIRS, choose_pairs


def test_three_hundred_pairs_are_listed_by_well_formed_names() -> None:
    rule = SymbolRule()
    assert len(PAIRS) >= 300
    assert all(rule.admits(symbol) and pair.symbol == symbol for symbol, pair in PAIRS.items())


@pytest.mark.parametrize(
    ("symbol", "ticks", "price_digits", "lot_digits"),
    [("BTCUSDT", 9712345, 2, 5), ("PEPEUSDT", 2034, 8, 0), ("1000SATSUSDT", 3017, 7, 0), ("BTCTRY", 3361240, 0, 5)],
)
def test_a_price_is_whole_ticks_of_its_own_size(symbol: str, ticks: int, price_digits: int, lot_digits: int) -> None:
    pair = PAIRS[symbol]
    assert (pair.price_ticks, pair.price_digits, pair.lot_digits) == (ticks, price_digits, lot_digits)


def test_every_pair_can_move_and_trades() -> None:
    for pair in PAIRS.values():
        assert pair.price_ticks >= 500, "a coarser tick would make the price jump, not move"
        assert pair.turnover_per_s > 0
        assert 0 < pair.daily_volatility < 0.1


def test_pegged_pairs_hardly_move() -> None:
    assert PAIRS["USDCUSDT"].daily_volatility < PAIRS["BTCUSDT"].daily_volatility / 10


def test_the_busiest_pairs_come_first() -> None:
    assert [pair.symbol for pair in choose_pairs(3)] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert len(choose_pairs(len(PAIRS))) == len(PAIRS)


def test_pairs_can_be_named_and_each_counts_once() -> None:
    assert [pair.symbol for pair in choose_pairs(["BTCEUR", "ETHUSDT", "BTCEUR"])] == ["BTCEUR", "ETHUSDT"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [(0, "not 0"), (100_000, "not 100000"), (["BTCUSDT", "NOSUCH", "NOR"], "does not list NOSUCH, NOR")],
    ids=["none", "too-many", "unknown"],
)
def test_an_unlisted_pair_is_refused_by_name(wanted: int | list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_pairs(wanted)
