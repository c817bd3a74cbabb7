from __future__ import annotations

import pytest

from gateway.delivery.channel import (
    Channel,
    Joined,
    KlineChannel,
    Lane,
    MarketChannel,
    NoChannel,
    StrictKlineChannel,
    TickerChannel,
    View,
    changed_states,
    is_empty,
)
from gateway.delivery.staleness import FeedState, Staleness, StaleReason, SymbolStates
from tests.builders import MINUTE_MS, T0, closed_klines, kline, kline_update, ticker
from tests.unit.delivery.samples import LOG, TEXT, SampleMarket, number_of


@pytest.fixture
def samples() -> SampleMarket:
    return SampleMarket()


def kline_channel(samples: SampleMarket) -> KlineChannel:
    series = samples.market.get_or_create("AAAUSDT").series["1m"]
    return KlineChannel(3, "kline:AAAUSDT:1m", View.NATIVE, series, series.closed)


def ticker_channel(samples: SampleMarket) -> TickerChannel:
    return TickerChannel(2, "ticker:AAAUSDT", View.NATIVE, samples.market.get_or_create("AAAUSDT"))


def test_klines_go_before_tickers() -> None:
    assert KlineChannel.lane == Lane.KLINE < Lane.TICKER == TickerChannel.lane == MarketChannel.lane


class TestStaleness:
    """Prices are missing; closed klines are not."""

    PRICES = FeedState(StaleReason.PRICES, 5, closed=Staleness())
    STALE, LIVE = Staleness(StaleReason.PRICES, 5), Staleness()

    def test_is_that_of_what_the_channel_shows(self, samples: SampleMarket) -> None:
        kline = kline_channel(samples)
        assert ticker_channel(samples).staleness(self.PRICES) == self.STALE
        assert MarketChannel(1, "all", View.MINI, samples.market.tickers).staleness(self.PRICES) == self.STALE
        assert kline.staleness(self.PRICES) == self.STALE
        assert kline.staleness(self.PRICES, closed_only=True) == self.LIVE

    def test_only_what_has_changed_is_told(self, samples: SampleMarket) -> None:
        channels: list[Channel] = [ticker_channel(samples), kline_channel(samples)]
        klines = FeedState(closed=Staleness(StaleReason.KLINES, 7))
        assert changed_states(channels, (0, 1), None, FeedState(), closed_only=False) == {0: self.LIVE, 1: self.LIVE}
        assert changed_states(channels, (0, 1), FeedState(), FeedState(), closed_only=False) == {}
        changed = changed_states(channels, (0, 1), FeedState(), klines, closed_only=False)
        assert changed == {1: Staleness(StaleReason.KLINES, 7)}
        assert changed_states(channels, (1,), FeedState(), self.PRICES, closed_only=True) == {}

    def test_a_symbol_that_stops_is_told_on_its_own_channels(self, samples: SampleMarket) -> None:
        channels: list[Channel] = [ticker_channel(samples), kline_channel(samples)]
        stale = Staleness(StaleReason.SYMBOL, 7)
        stopped = FeedState(symbols={"AAAUSDT": SymbolStates(stale, stale)})
        elsewhere = FeedState(symbols={"BBBUSDT": SymbolStates(stale, stale)})
        assert changed_states(channels, (0, 1), FeedState(), stopped, closed_only=False) == {0: stale, 1: stale}
        assert changed_states(channels, (0, 1), FeedState(), elsewhere, closed_only=False) == {}
        assert changed_states(channels, (0,), elsewhere, stopped, closed_only=False) == {0: stale}


class TestTicker:
    def test_has_nothing_to_say_before_the_first_price(self, samples: SampleMarket) -> None:
        channel = ticker_channel(samples)
        assert channel.full(TEXT) == b""
        assert channel.live is None
        assert (channel.symbol, channel.interval) == ("AAAUSDT", "")

    def test_says_what_was_true_at_the_last_tick(self, samples: SampleMarket) -> None:
        channel = ticker_channel(samples)
        samples.price("5")
        channel.refresh()
        samples.price("6")
        assert channel.full(TEXT) == b" t2:*>5"
        assert channel.live is not None
        assert channel.live.last == "6"
        channel.refresh()
        assert channel.full(TEXT) == b" t2:*>6"
        assert channel.fragment(TEXT, ticker("5")) == b" t2:5>6"

    def test_is_encoded_once_a_tick_for_all_who_need_it_whole(self, samples: SampleMarket) -> None:
        samples.price("5")
        channel = ticker_channel(samples)
        assert channel.full(TEXT) is channel.full(TEXT)


class TestMarket:
    def test_names_what_has_moved_since_the_last_time(self, samples: SampleMarket) -> None:
        channel = MarketChannel(7, "!miniTicker@arr", View.MINI, samples.market.tickers)
        assert channel.fragment(TEXT, None) == b""
        for symbol in ("AAAUSDT", "BBBUSDT", "CCCUSDT"):
            samples.price("1", symbol)
        silent = samples.market.get_or_create("DDDUSDT")
        channel.collect([samples.market.get_or_create("BBBUSDT"), silent])
        samples.price("2", "BBBUSDT")
        channel.collect([samples.market.get_or_create("BBBUSDT"), samples.market.get_or_create("AAAUSDT")])
        channel.refresh()
        assert channel.fragment(TEXT, None) == b" a7:BBBUSDT=2,AAAUSDT=1"
        channel.refresh()
        assert channel.fragment(TEXT, None) == b""

    def test_may_name_once_more_what_it_has_named(self, samples: SampleMarket) -> None:
        channel = MarketChannel(7, "!miniTicker@arr", View.MINI, samples.market.tickers)
        for symbol in ("AAAUSDT", "BBBUSDT"):
            samples.price("1", symbol)
            channel.collect([samples.market.get_or_create(symbol)])
            channel.refresh()
        channel.collect_again()
        channel.refresh()
        assert channel.fragment(TEXT, None) == b" a7:BBBUSDT=1"

    def test_gives_everything_to_who_missed_something(self, samples: SampleMarket) -> None:
        for symbol in ("AAAUSDT", "BBBUSDT"):
            samples.price("1", symbol)
        channel = MarketChannel(7, "!miniTicker@arr", View.MINI, samples.market.tickers)
        assert channel.full(TEXT) == b" a7:AAAUSDT=1,BBBUSDT=1"
        assert (channel.symbol, channel.interval) == ("", "")


class TestKline:
    def test_has_nothing_to_say_before_the_first_news(self, samples: SampleMarket) -> None:
        channel = kline_channel(samples)
        assert channel.full(TEXT) == b""
        assert (channel.closed_start, channel.closed_end) == (0, 0)
        assert (channel.symbol, channel.interval) == ("AAAUSDT", "1m")

    def test_says_what_was_true_at_the_last_tick(self, samples: SampleMarket) -> None:
        channel = kline_channel(samples)
        samples.forms(0, "101")
        channel.refresh()
        before = channel.value
        samples.forms(0, "102", trades=1)
        assert channel.full(TEXT) == b" k3:*>101"
        channel.refresh()
        assert channel.full(TEXT) is channel.full(TEXT)
        assert channel.fragment(TEXT, before) == b" k3:101>102"

    def test_gives_closed_klines_from_a_place_to_the_last_tick(self, samples: SampleMarket) -> None:
        channel = kline_channel(samples)
        for bar in range(3):
            samples.closes(bar)
        channel.refresh()
        samples.closes(3)
        assert [number_of(kline) for kline in channel.closed_since(1)] == [1, 2]
        assert channel.closed_since(3) == channel.closed_since(4) == ()
        channel.refresh()
        assert [number_of(kline) for kline in channel.closed_since(3)] == [3]

    def test_begins_where_its_log_begins(self, samples: SampleMarket) -> None:
        channel = kline_channel(samples)
        samples.stores(range(LOG + 2))
        channel.refresh()
        assert (channel.closed_start, channel.closed_end) == (2, LOG + 2)
        assert [number_of(kline) for kline in channel.closed_since(2)] == [2, 3, 4, 5]

    def test_a_late_insertion_does_not_shift_what_is_read_before_the_next_tick(self, samples: SampleMarket) -> None:
        channel = kline_channel(samples)
        samples.stores([0, 2, 3])
        channel.refresh()
        samples.closes(1)
        assert [number_of(kline) for kline in channel.closed_since(2)] == [3]
        channel.refresh()
        assert [number_of(kline) for kline in channel.closed_since(0)] == [0, 1, 2, 3]


class TestStrictKline:
    def channel(self, samples: SampleMarket) -> StrictKlineChannel:
        return StrictKlineChannel(3, "aaausdt@kline_1m", samples.market.get_or_create("AAAUSDT").series["1m"], LOG)

    def test_takes_what_closes_in_order(self, samples: SampleMarket) -> None:
        samples.stores([0, 1])
        channel = self.channel(samples)
        samples.closes(2)
        channel.refresh()
        samples.closes(3)
        channel.refresh()
        assert channel.closed_since(0) == (*closed_klines([2, 3]),)

    def test_klines_of_the_first_read_of_the_store_are_of_the_past(self, samples: SampleMarket) -> None:
        channel = self.channel(samples)
        samples.stores([0, 1])
        channel.refresh()
        assert channel.closed_since(0) == ()

    def test_a_later_read_brings_what_closed_meanwhile(self, samples: SampleMarket) -> None:
        samples.stores([0, 1])
        channel = self.channel(samples)
        samples.stores([1, 2, 3])
        channel.refresh()
        assert [number_of(kline) for kline in channel.closed_since(0)] == [2, 3]

    def test_a_kline_that_closed_before_the_first_read_is_no_past(self, samples: SampleMarket) -> None:
        channel = self.channel(samples)
        samples.closes(2)
        channel.refresh()
        samples.stores([0, 1, 2])
        channel.refresh()
        assert [number_of(kline) for kline in channel.closed_since(0)] == [2]

    def test_leaves_out_what_comes_late_or_is_amended(self, samples: SampleMarket) -> None:
        samples.stores([0, 2])
        channel = self.channel(samples)
        samples.closes(1)
        samples.closes(2, trades=99, event_time_ms=T0 + 10_000_000)
        samples.closes(3)
        channel.refresh()
        assert channel.closed_since(0) == (*closed_klines([3]),)

    def test_shows_a_kline_only_after_the_one_before_it_has_closed(self, samples: SampleMarket) -> None:
        samples.closes(0)
        samples.forms(1, "101")
        channel = self.channel(samples)
        assert channel.full(TEXT) == b" k3:*>101"
        samples.market.advance(T0 + 10_000_000)
        samples.forms(2, "102")
        samples.market.advance(T0 + 20_000_000)
        samples.market.advance(T0 + 30_000_000)
        channel.refresh()
        assert channel.series.forming is not None
        assert number_of(channel.series.forming) == 2
        assert channel.full(TEXT) == b" k3:*>101"
        assert channel.waits_for_ms == T0 + MINUTE_MS

    def test_a_first_subscriber_gets_the_value_of_this_moment(self, samples: SampleMarket) -> None:
        samples.forms(0, "100")
        channel = StrictKlineChannel(3, "aaausdt@kline_1m", samples.market.get_or_create("AAAUSDT").series["1m"], LOG)
        samples.forms(1, "101")
        samples.market.advance(T0 + 10 * MINUTE_MS)
        channel.refresh()
        assert channel.waits_for_ms
        channel.go_on = True
        channel.restart()
        assert (channel.full(TEXT), channel.waits_for_ms, channel.go_on) == (b" k3:*>101", 0, False)

    def test_goes_on_when_it_is_told_to_and_lacks_what_closes_then(self, samples: SampleMarket) -> None:
        channel = self.channel(samples)
        samples.forms(1)
        channel.refresh()
        samples.forms(2, "102")
        samples.market.advance(T0)
        samples.market.advance(T0 + 10_000_000)
        channel.go_on = True
        channel.refresh()
        assert (channel.full(TEXT), channel.waits_for_ms, channel.go_on) == (b" k3:*>102", 0, False)
        samples.closes(1)
        channel.refresh()
        assert channel.lacks
        assert channel.closed_since(0) == ()


class TestPast:
    """What had closed before a session has joined is not for it. Klines are 1 minute long."""

    NOW = T0 + 10 * MINUTE_MS

    @pytest.fixture
    def channel(self, samples: SampleMarket) -> StrictKlineChannel:
        """Kline 9 is forming, and shown, at a time when 10 should be."""
        market = samples.market
        market.apply(kline_update(kline(9, event_time_ms=self.NOW - 200), "AAAUSDT"), self.NOW - 100)
        return StrictKlineChannel(3, "aaausdt@kline_1m", market.get_or_create("AAAUSDT").series["1m"], LOG)

    def joined(self, after_ms: int = 100, reached: int = 9, *, unread: bool = False) -> Joined:
        return Joined(self.NOW + after_ms, T0 + reached * MINUTE_MS, unread)

    def test_a_kline_that_has_closed_by_its_time_is_the_past(self, channel: StrictKlineChannel) -> None:
        assert channel.has_past(self.joined())
        assert channel.shows_past(self.joined())
        assert not channel.has_past(self.joined(-100))
        assert not channel.shows_past(self.joined(-100))

    def test_the_past_ends_with_the_kline_of_the_time_of_joining(
        self, channel: StrictKlineChannel, samples: SampleMarket
    ) -> None:
        samples.closes(9)
        channel.refresh()
        joined = self.joined()
        assert (channel.closed_end, channel.first_offset(joined)) == (1, 1)
        assert not channel.shows_past(joined)
        assert not channel.has_past(joined)

    def test_a_kline_that_the_source_is_past_already_is_the_past(
        self, channel: StrictKlineChannel, samples: SampleMarket
    ) -> None:
        samples.market.apply(kline_update(kline(10, event_time_ms=self.NOW), "AAAUSDT"), self.NOW)
        joined = self.joined(-100, 10)
        assert channel.has_past(joined)
        assert channel.shows_past(joined)

    def test_an_impossible_kline_that_has_been_dropped_ends_no_past(self, channel: StrictKlineChannel) -> None:
        assert not channel.has_past(self.joined(-100, 1000))

    @pytest.mark.parametrize("unread", [False, True])
    def test_the_time_says_nothing_where_the_source_replays_the_past(self, samples: SampleMarket, unread: bool) -> None:
        samples.market.apply(kline_update(kline(9), "AAAUSDT"), self.NOW + 100 * MINUTE_MS)
        channel = StrictKlineChannel(3, "aaausdt@kline_1m", samples.market.get_or_create("AAAUSDT").series["1m"], LOG)
        joined = self.joined(100 * MINUTE_MS, unread=unread)
        assert channel.has_past(joined) is unread
        assert channel.shows_past(joined) is unread, "what the store is still read for may have closed already"

    def test_of_a_replay_all_that_the_store_is_read_for_is_the_past(self, samples: SampleMarket) -> None:
        late_ms = self.NOW + 100 * MINUTE_MS
        samples.market.apply(kline_update(kline(9, closed=True), "AAAUSDT"), late_ms)
        channel = StrictKlineChannel(3, "aaausdt@kline_1m", samples.market.get_or_create("AAAUSDT").series["1m"], LOG)
        samples.stores([9, 10, 11])
        channel.refresh()
        assert channel.first_offset(self.joined(unread=True)) == channel.closed_end
        assert channel.first_offset(self.joined(reached=10)) == channel.closed_end - 2


def test_a_ticker_channel_names_its_state(samples: SampleMarket) -> None:
    assert ticker_channel(samples).state is samples.market.get_or_create("AAAUSDT")


def test_no_channel_only_keeps_its_number() -> None:
    channel = NoChannel(7)
    assert (channel.n, channel.name, channel.subscribers) == (7, "", 0)


def test_only_a_native_kline_channel_without_closed_klines_is_empty(samples: SampleMarket) -> None:
    kline = kline_channel(samples)
    assert is_empty(kline)
    assert not is_empty(ticker_channel(samples))
    samples.closes(0)
    kline.refresh()
    assert not is_empty(kline)
