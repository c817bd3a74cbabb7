"""Which pairs are collected, and which stay."""

from __future__ import annotations

from decimal import Decimal

import pytest

from collector.exchange import Listed
from collector.selection import UnknownPairs, choose, follow


def pairs(*symbols: str, quote: str = "USDT", trading: bool = True) -> list[Listed]:
    """The first has the largest turnover."""
    return [Listed(symbol, symbol, quote, trading, Decimal(1000 - place)) for place, symbol in enumerate(symbols)]


def test_the_largest_pairs_of_the_quote_that_are_traded_are_collected() -> None:
    listing = [*pairs("E", quote="EUR"), *pairs("H", trading=False), *reversed(pairs("A", "B", "C"))]
    assert choose(listing, symbols=(), top=2, quote="USDT") == ["A", "B"]


def test_named_pairs_are_collected_whatever_they_are_in_addition_to_the_largest() -> None:
    listing = pairs("A", "B", "C") + pairs("E", quote="EUR", trading=False)
    assert set(choose(listing, symbols=["E", "A"], top=2, quote="USDT")) == {"A", "B", "E"}


def test_named_pairs_that_are_not_listed_are_refused() -> None:
    with pytest.raises(UnknownPairs, match=r"does not list X, Y$"):
        choose(pairs("A"), symbols=["X", "A", "Y"], top=0, quote="USDT")


def test_a_pair_may_be_named_as_the_exchange_calls_it_or_by_its_assets() -> None:
    listing = [Listed("BTCUSDT.OKX", "BTC", "USDT", True, Decimal(1), own_name="BTC/USDT")]
    for spelling in ("BTCUSDT.OKX", "BTC/USDT", "BTCUSDT"):
        assert choose(listing, symbols=[spelling], top=0, quote="USDT") == ["BTCUSDT.OKX"]


def test_a_named_pair_that_is_delisted_meanwhile_is_no_error() -> None:
    assert follow(pairs("A"), ["A", "X"], symbols=["A", "X"], top=0, quote="USDT") == ["A"]


def test_a_pair_stays_until_another_is_clearly_larger() -> None:
    names = [f"S{place}" for place in range(1, 13)]
    before = [*names[:9], names[10]]
    assert follow(pairs(*names), before, symbols=(), top=10, quote="USDT") == before
    before = [*names[:9], names[11]]
    assert follow(pairs(*names), before, symbols=(), top=10, quote="USDT") == names[:10]


def test_a_new_pair_far_up_comes_in_at_once() -> None:
    names = [f"S{place}" for place in range(1, 13)]
    before = [name for name in names[:11] if name != "S2"]
    assert follow(pairs(*names), before, symbols=(), top=10, quote="USDT") == names[:10]
