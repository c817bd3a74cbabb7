"""Which channels are of no use, and what becomes of their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import MarketChannel, TickerChannel, View
from gateway.delivery.hub import Hub
from gateway.delivery.unserved import UnservedChannels
from tests.builders import T0, ticker_update
from tests.unit.delivery.samples import LOG, SampleMarket

if TYPE_CHECKING:
    from gateway.delivery.channel import Channel
    from gateway.market.market import Market
    from gateway.market.series import Series
    from gateway.market.state import SymbolState


class Rig:
    def __init__(self) -> None:
        self.market: Market = SampleMarket().market
        self.channels: list[Channel] = []
        self.by_name: dict[str, Channel] = {}
        self.by_source: dict[SymbolState | Series, list[Channel]] = {}
        self.unserved = UnservedChannels(self.market, self.channels)

    def ticker(self, symbol: str, view: View = View.NATIVE) -> TickerChannel:
        state = self.market.get_or_create(symbol)
        channel = TickerChannel(len(self.channels), f"{view.name}:{symbol}", view, state)
        self.unserved.add(channel)
        self.by_name[channel.name] = channel
        self.by_source.setdefault(state, []).append(channel)
        return channel

    def settle(self) -> None:
        self.market.apply(ticker_update("1", symbol="AAAUSDT"), T0)
        self.market.read = True
        self.market.advance(T0)
        self.market.advance(T0 + 3_600_000)

    def remove(self) -> list[Channel]:
        return self.unserved.remove(self.by_name, self.by_source)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_nothing_is_removed_before_it_is_known_which_symbols_exist(rig: Rig) -> None:
    channel = rig.ticker("NONEUSDT")
    assert rig.remove() == []
    rig.settle()
    assert rig.remove() == [channel]
    assert rig.remove() == []
    assert (rig.by_name, rig.by_source) == ({}, {})
    assert [one.name for one in rig.channels] == [""]


def test_channels_with_data_or_subscribers_or_of_all_symbols_stay(rig: Rig) -> None:
    kept: list[Channel] = [rig.ticker("LATEUSDT"), rig.ticker("AAAUSDT"), rig.ticker("BUSYUSDT")]
    kept.append(MarketChannel(3, "!miniTicker@arr", View.MINI, tuple))
    rig.unserved.add(kept[3])
    rig.market.apply(ticker_update("1", symbol="LATEUSDT"), T0)
    kept[2].subscribers = 1
    rig.settle()
    assert rig.remove() == []
    assert rig.channels == kept


def test_a_channel_is_removed_when_its_last_subscriber_leaves(rig: Rig) -> None:
    busy, other = rig.ticker("BUSYUSDT"), rig.ticker("BUSYUSDT", View.MINI)
    busy.subscribers = 1
    rig.settle()
    assert rig.remove() == [other]
    # The symbol has a channel left.
    state = rig.market.get_or_create("BUSYUSDT")
    assert rig.by_source == {state: [busy]}
    rig.unserved.note(busy)
    assert rig.remove() == []
    busy.subscribers = 0
    rig.unserved.note(busy)
    assert rig.remove() == [busy]
    assert rig.market.get_or_create("BUSYUSDT") is not state


def test_the_number_of_a_removed_channel_is_given_to_another(rig: Rig) -> None:
    gone = rig.ticker("NONEUSDT")
    stays = rig.ticker("AAAUSDT")
    rig.settle()
    rig.remove()
    assert list(rig.unserved.existing([gone, stays])) == [stays]
    fresh = rig.ticker("AAAUSDT", View.MINI)
    assert (fresh.n, rig.channels) == (0, [fresh, stays])
    assert list(rig.unserved.existing([gone, fresh])) == [fresh]


def test_channels_of_klines_are_removed_too() -> None:
    rig = Rig()
    hub = Hub(rig.market, LOG)
    made = [hub.kline_channel("NONEUSDT", "1m"), hub.strict_channel("NONEUSDT", "1m", "noneusdt@kline_1m")]
    for channel in made:
        rig.unserved.add(channel)
        rig.by_name[channel.name] = channel
        rig.by_source.setdefault(channel.series, []).append(channel)
    rig.settle()
    assert rig.remove() == made
    assert rig.by_source == {}
