"""What is held of a symbol before anything is known, and when something counts as moved."""

from __future__ import annotations

import pytest

from gateway.market.series import Series
from gateway.market.state import Changes, SymbolState
from gateway.model.interval import INTERVALS


def test_a_symbol_begins_unknown_with_those_who_watch_it() -> None:
    state = SymbolState("BTCUSDT", watchers=2)
    assert (state.symbol, state.watchers, state.has_data) == ("BTCUSDT", 2, False)
    assert (state.ticker, state.lapsed, state.prices, state.series) == (None, None, [], {})


def test_nothing_has_moved_at_first() -> None:
    assert not Changes()


@pytest.mark.parametrize("what", ["tickers", "series", "corrected", "gaps"])
def test_anything_that_has_moved_counts_once(what: str) -> None:
    changes = Changes()
    moved = SymbolState("BTCUSDT", 0) if what == "tickers" else Series("BTCUSDT", INTERVALS["1m"], 4)
    getattr(changes, what).add(moved)
    getattr(changes, what).add(moved)
    assert changes
    assert len(getattr(changes, what)) == 1
