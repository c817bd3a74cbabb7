from __future__ import annotations

import pytest

from gateway.delivery.hub import Hub
from gateway.delivery.staleness import FeedState
from gateway.delivery.subscription_set import Cohort, SubscriptionSets
from tests.unit.delivery.samples import STYLE, SampleMarket


@pytest.fixture
def hub() -> Hub:
    return Hub(SampleMarket().market)


def test_klines_come_before_tickers_in_the_order_of_their_numbers(hub: Hub) -> None:
    tickers = [hub.ticker_channel(symbol) for symbol in ("AAAUSDT", "BBBUSDT")]
    klines = [hub.kline_channel(symbol, "1m") for symbol in ("AAAUSDT", "BBBUSDT")]
    subscription_set = SubscriptionSets().of([tickers[1], klines[1], tickers[0], klines[0]])
    assert subscription_set.ns == (2, 3, 0, 1)
    assert subscription_set.klines == 2
    assert 3 in subscription_set
    assert 4 not in subscription_set


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fragments_are_picked_in_order_however_few(hub: Hub, count: int) -> None:
    channels = [hub.kline_channel(symbol, "1m") for symbol in ("AAAUSDT", "BBBUSDT", "CCCUSDT")][:count]
    assert SubscriptionSets().of(channels).pick([b"a", b"b", b"c", b"d"]) == (b"a", b"b", b"c")[:count]


def test_equal_sets_are_one_object_and_live_as_long_as_somebody_has_them(hub: Hub) -> None:
    one, other = hub.ticker_channel("AAAUSDT"), hub.ticker_channel("BBBUSDT")
    subscription_sets = SubscriptionSets()
    subscription_set = subscription_sets.of([one, other])
    assert subscription_sets.of([other, one]) is subscription_set
    assert subscription_sets.of([one]) is not subscription_set
    assert len(subscription_sets) == 1
    del subscription_set
    assert len(subscription_sets) == 0


def test_a_new_cohort_is_empty_and_its_sessions_lack_nothing(hub: Hub) -> None:
    state, subscription_set = FeedState(), SubscriptionSets().of([hub.ticker_channel("AAAUSDT")])
    cohort = Cohort(STYLE, subscription_set, state, 7, 100.0)
    assert (cohort.style, cohort.subscription_set, cohort.size) == (STYLE, subscription_set, 0)
    assert cohort.feed_state is state
    assert cohort.feed_state_before is state
    assert (cohort.frame, cohort.framed_at_flush, cohort.last_frame_s) == (b"", 7, 100.0)
