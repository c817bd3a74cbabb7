"""Which prices count as held up: those that lag more than usual after a break, for a while."""

from __future__ import annotations

import pytest

from gateway.delivery.feed_state import FeedStateMachine
from gateway.delivery.late_prices import CURRENT_MS, WAIT_S, LatePrices

LIMIT_S = 2.0


class Feed:
    """Prices that were live with a lag, until they stopped."""

    def __init__(self, usual_ms: int | None = None) -> None:
        self.state = FeedStateMachine(LIMIT_S)
        self.late = LatePrices(self.state)
        if usual_ms is not None:
            self.go_live()
            assert not self.come(usual_ms, 0.0)
            self.state.disconnected(1.0, 1000)

    def go_live(self) -> None:
        self.state.connected(0.0, 0)
        self.state.price_usable(0.0)
        self.state.backfill_done(0.0, 0, 0, frozenset())
        assert self.state.current.prices.live

    def come(self, lag_ms: int, now_s: float = 100.0) -> bool:
        return self.late.held_up(lag_ms, now_s)


@pytest.mark.parametrize(
    ("usual_ms", "lag_ms", "held_up"),
    [(100, 100, False), (100, 2100, False), (100, 2101, True), (30_000, 31_000, False), (-500, 1600, True)],
)
def test_prices_that_lag_more_than_usual_by_the_limit_were_held_up(usual_ms: int, lag_ms: int, held_up: bool) -> None:
    assert Feed(usual_ms).come(lag_ms) is held_up


def test_without_a_usual_lag_nothing_is_held_up() -> None:
    assert not Feed().come(5000)
    assert not Feed(CURRENT_MS + 1).come(CURRENT_MS + 9000)


def test_what_is_live_is_not_held_up() -> None:
    feed = Feed(100)
    feed.go_live()
    assert not feed.come(5000)
    feed.state.disconnected(101.0, 101_000)
    assert not feed.come(5000, 200.0)


def test_a_new_lag_that_stays_counts_as_usual_after_a_while() -> None:
    feed = Feed(100)
    assert feed.come(5000, 100.0)
    assert feed.come(5000, 100.0 + WAIT_S - 0.1)
    assert not feed.come(5000, 100.0 + WAIT_S)


def test_a_fresh_price_ends_the_wait() -> None:
    feed = Feed(100)
    assert feed.come(5000, 100.0)
    assert not feed.come(200, 105.0)
    assert feed.come(5000, 100.0 + WAIT_S)
