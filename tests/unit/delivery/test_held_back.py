from __future__ import annotations

import pytest

from gateway.delivery.channel import Lane
from gateway.delivery.held_back import HeldBack
from gateway.delivery.hub import Hub
from gateway.delivery.subscription_set import SubscriptionSets
from tests.unit.delivery.samples import LOG, SampleMarket


class Rig:
    def __init__(self) -> None:
        hub = Hub(SampleMarket().market, LOG)
        self.ticker, self.kline = hub.ticker_channel("AAAUSDT"), hub.kline_channel("AAAUSDT", "1m")
        self.both = SubscriptionSets().of([self.ticker, self.kline])
        self.held_back = HeldBack(hub.channels)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_nothing_waits_where_no_lane_is_held(rig: Rig) -> None:
    rig.held_back.update(set(), [rig.ticker, rig.kline], 1)
    assert rig.held_back.of(rig.both) == []


def test_changes_of_a_held_lane_wait(rig: Rig) -> None:
    rig.held_back.update({Lane.TICKER}, [rig.ticker, rig.kline], 1)
    assert rig.held_back.of(rig.both) == [rig.ticker.n]
    assert rig.held_back.of(SubscriptionSets().of([rig.kline])) == []


def test_what_is_let_go_counts_as_changed_now(rig: Rig) -> None:
    rig.held_back.update({Lane.TICKER}, [rig.ticker], 1)
    rig.held_back.update({Lane.TICKER}, [], 2)
    assert rig.ticker.changed_at_flush == 0
    rig.held_back.update(set(), [], 3)
    assert rig.ticker.changed_at_flush == 3
    assert rig.held_back.of(rig.both) == []
