from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.delivery.channel import MarketChannel, View
from gateway.delivery.group import Group
from gateway.delivery.market_channels import COLLECT_S, MarketChannels
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState
from gateway.delivery.subscription_set import SubscriptionSets
from gateway.delivery.throttle import DEFAULT
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import STYLE, SampleMarket

if TYPE_CHECKING:
    from gateway.delivery.channel import Channel


class Fixture:
    """One channel of all symbols with a subscriber, and the group whose sessions have it."""

    def __init__(self) -> None:
        self.samples = SampleMarket()
        self.channel = MarketChannel(0, "all", View.MINI, self.samples.market.tickers)
        self.channel.subscribers = 1
        self.channels = MarketChannels()
        self.channels.add(self.channel)
        channels: list[Channel] = [self.channel]
        self.group = Group(DEFAULT, channels)
        session = Session(FakeSocket(), STYLE)
        session.begin(SubscriptionSets().of(channels), 0)
        self.group.add(session)
        self.group.enter_sync(session, FeedState(), 0)

    def collect(self, now_s: float, *symbols: str) -> list[Any]:
        """The new value after these symbols have changed, if there is one."""
        for symbol in symbols:
            self.samples.price(f"{now_s:g}", symbol)
        changes = self.samples.market.take_changes()
        found: list[Any] = []
        for channel in self.channels.collect(changes.tickers, [self.group], now_s):
            channel.refresh()
            self.group.mark_changed([channel])
            found = sorted((ticker.symbol, ticker.last) for ticker in channel.value)
        return found


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


def test_what_changes_is_gathered_and_then_published_once(fixture: Fixture) -> None:
    assert fixture.collect(100.0, "AAAUSDT") == [("AAAUSDT", "100")]
    fixture.group.encode(1, frozenset())
    assert fixture.collect(100.0 + COLLECT_S / 2, "AAAUSDT") == []
    assert fixture.collect(102.0, "AAAUSDT", "BBBUSDT") == [("AAAUSDT", "102"), ("BBBUSDT", "102")]
    fixture.group.encode(2, frozenset())
    assert fixture.collect(103.0) == []


def test_what_a_group_was_not_sent_yet_is_in_the_next_value_too(fixture: Fixture) -> None:
    fixture.collect(100.0, "AAAUSDT")
    assert fixture.collect(101.0, "BBBUSDT") == [("AAAUSDT", "100"), ("BBBUSDT", "101")]


def test_without_subscribers_nothing_is_gathered(fixture: Fixture) -> None:
    fixture.channel.subscribers = 0
    assert fixture.collect(100.0, "AAAUSDT") == []
    fixture.channel.subscribers = 1
    assert fixture.collect(101.0, "BBBUSDT") == [("BBBUSDT", "101")]
