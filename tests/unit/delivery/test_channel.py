from __future__ import annotations

import pytest

from gateway.delivery.channel import KlineChannel, Lane, MarketChannel, StrictKlineChannel, TickerChannel, View
from tests.builders import T0, closed_klines, ticker
from tests.unit.delivery.stage import LOG, WORDS, Stage, number


@pytest.fixture
def stage() -> Stage:
    return Stage()


def kline_channel(stage: Stage) -> KlineChannel:
    series = stage.market.get_or_create("AAAUSDT").series["1m"]
    return KlineChannel(3, "kline:AAAUSDT:1m", View.NATIVE, series, series.closed)


def ticker_channel(stage: Stage) -> TickerChannel:
    return TickerChannel(2, "ticker:AAAUSDT", View.NATIVE, stage.market.get_or_create("AAAUSDT"))


def test_klines_go_before_tickers() -> None:
    assert KlineChannel.lane == Lane.KLINE < Lane.TICKER == TickerChannel.lane == MarketChannel.lane


class TestTicker:
    def test_has_nothing_to_say_before_the_first_price(self, stage: Stage) -> None:
        channel = ticker_channel(stage)
        assert channel.full(WORDS) == b""
        assert channel.live is None
        assert (channel.symbol, channel.interval) == ("AAAUSDT", "")

    def test_says_what_was_true_at_the_last_tick(self, stage: Stage) -> None:
        channel = ticker_channel(stage)
        stage.price("5")
        channel.refresh()
        stage.price("6")
        assert channel.full(WORDS) == b" t2:*>5"
        assert channel.live is not None
        assert channel.live.last == "6"
        channel.refresh()
        assert channel.full(WORDS) == b" t2:*>6"
        assert channel.fragment(WORDS, ticker("5")) == b" t2:5>6"

    def test_is_encoded_once_a_tick_for_all_who_need_it_whole(self, stage: Stage) -> None:
        stage.price("5")
        channel = ticker_channel(stage)
        assert channel.full(WORDS) is channel.full(WORDS)


class TestMarket:
    def test_names_what_has_moved_since_the_last_time(self, stage: Stage) -> None:
        channel = MarketChannel(7, "!miniTicker@arr", View.MINI, stage.market.tickers)
        assert channel.fragment(WORDS, None) == b""
        for symbol in ("AAAUSDT", "BBBUSDT", "CCCUSDT"):
            stage.price("1", symbol)
        silent = stage.market.get_or_create("DDDUSDT")
        channel.collect([stage.market.get_or_create("BBBUSDT"), silent])
        stage.price("2", "BBBUSDT")
        channel.collect([stage.market.get_or_create("BBBUSDT"), stage.market.get_or_create("AAAUSDT")])
        channel.refresh()
        assert channel.fragment(WORDS, None) == b" a7:BBBUSDT=2,AAAUSDT=1"
        channel.refresh()
        assert channel.fragment(WORDS, None) == b""

    def test_gives_everything_to_who_missed_something(self, stage: Stage) -> None:
        for symbol in ("AAAUSDT", "BBBUSDT"):
            stage.price("1", symbol)
        channel = MarketChannel(7, "!miniTicker@arr", View.MINI, stage.market.tickers)
        assert channel.full(WORDS) == b" a7:AAAUSDT=1,BBBUSDT=1"
        assert (channel.symbol, channel.interval) == ("", "")


class TestKline:
    def test_has_nothing_to_say_before_the_first_news(self, stage: Stage) -> None:
        channel = kline_channel(stage)
        assert channel.full(WORDS) == b""
        assert (channel.closed_start, channel.closed_end) == (0, 0)
        assert (channel.symbol, channel.interval) == ("AAAUSDT", "1m")

    def test_says_what_was_true_at_the_last_tick(self, stage: Stage) -> None:
        channel = kline_channel(stage)
        stage.forms(0, "101")
        channel.refresh()
        before = channel.value
        stage.forms(0, "102", trades=1)
        assert channel.full(WORDS) == b" k3:*>101"
        channel.refresh()
        assert channel.full(WORDS) is channel.full(WORDS)
        assert channel.fragment(WORDS, before) == b" k3:101>102"

    def test_gives_closed_klines_from_a_place_to_the_last_tick(self, stage: Stage) -> None:
        channel = kline_channel(stage)
        for bar in range(3):
            stage.closes(bar)
        channel.refresh()
        stage.closes(3)
        assert [number(kline) for kline in channel.closed_since(1)] == [1, 2]
        assert channel.closed_since(3) == channel.closed_since(4) == ()
        channel.refresh()
        assert [number(kline) for kline in channel.closed_since(3)] == [3]

    def test_begins_where_its_log_begins(self, stage: Stage) -> None:
        channel = kline_channel(stage)
        stage.stores(range(LOG + 2))
        channel.refresh()
        assert (channel.closed_start, channel.closed_end) == (2, LOG + 2)
        assert [number(kline) for kline in channel.closed_since(2)] == [2, 3, 4, 5]

    def test_a_late_insertion_does_not_shift_what_is_read_before_the_next_tick(self, stage: Stage) -> None:
        channel = kline_channel(stage)
        stage.stores([0, 2, 3])
        channel.refresh()
        stage.closes(1)
        assert [number(kline) for kline in channel.closed_since(2)] == [3]
        channel.refresh()
        assert [number(kline) for kline in channel.closed_since(0)] == [0, 1, 2, 3]


class TestStrictKline:
    def channel(self, stage: Stage) -> StrictKlineChannel:
        return StrictKlineChannel(3, "aaausdt@kline_1m", stage.market.get_or_create("AAAUSDT").series["1m"], LOG)

    def test_takes_what_closes_in_order(self, stage: Stage) -> None:
        stage.stores([0, 1])
        channel = self.channel(stage)
        stage.closes(2)
        channel.refresh()
        assert channel.closed_since(0) == (*closed_klines([0, 1, 2]),)

    def test_leaves_out_what_comes_late_or_is_amended(self, stage: Stage) -> None:
        stage.stores([0, 2])
        channel = self.channel(stage)
        stage.closes(1)
        stage.closes(2, trades=99, event_time_ms=T0 + 10_000_000)
        channel.refresh()
        assert channel.closed_since(0) == (*closed_klines([0, 2]),)

    def test_shows_a_bar_only_after_the_one_before_it_has_closed(self, stage: Stage) -> None:
        stage.closes(0)
        stage.forms(1, "101")
        channel = self.channel(stage)
        assert channel.full(WORDS) == b" k3:*>101"
        stage.market.advance(T0 + 10_000_000)
        stage.forms(2, "102")
        stage.market.advance(T0 + 20_000_000)
        stage.market.advance(T0 + 30_000_000)
        channel.refresh()
        assert channel.series.forming is not None
        assert number(channel.series.forming) == 2
        assert channel.full(WORDS) == b""
