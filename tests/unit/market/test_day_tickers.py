"""Last price and 24 h figures of symbols without a ticker, to the digit, and what is read for them and when."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.config import MarketConfig
from gateway.market.aggregate import aggregate_closed
from gateway.market.day_tickers import DayRead, DayTickers, difference, percentage
from gateway.market.market import Market
from gateway.model.interval import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS
from gateway.model.kline import Kline
from gateway.model.ticker import Ticker
from tests.builders import T0, kline, kline_update, ticker, ticker_delta, ticker_update

SYMBOL = "BTCUSDT"
DAY = 1440


def minute(number: int, **changes: Any) -> Kline:
    price = 1000 + number * 37 % 501
    return kline(
        number,
        f"{price}.10 {price + number % 11}.5 {price - number % 13}.25 {price + 1}.20",
        closed=True,
        volume=f"{number % 97}.125",
        quote_volume=f"{number % 89}.0625",
        trades=number % 7 + 1,
        first_trade_id=number * 10,
        last_trade_id=number * 10 + 9,
        **changes,
    )


MINUTES = [minute(number) for number in range(2 * DAY)]
STORED = {
    "1m": MINUTES,
    **{name: aggregate_closed(MINUTES, INTERVALS["1m"], INTERVALS[name]) for name in ("3m", "1h", "4h")},
}


def at(minute: float) -> int:
    return T0 + round(minute * MINUTE_MS)


class Rig:
    """A market that is fed, and a store that is as old as the minutes."""

    def __init__(self, *intervals: str, since: dict[str, int] | None = None) -> None:
        """`since`: the minute at which what is stored of an interval begins."""
        self.market = Market(MarketConfig(intervals=intervals), log_size=2)
        self.market.read = True
        self.intervals = intervals
        self.since = since or {}
        self.closed_until = 0
        self.asked: list[DayRead] = []

    def start(self, minutes: int) -> None:
        """What the gateway reads first: the newest few closed klines of each interval."""
        for name in self.intervals:
            klines = [one for one in STORED[name] if one.close_time_ms < at(minutes)]
            self.market.reseed(SYMBOL, name, klines[-60:], at(minutes))
        self.closed_until = minutes
        self.flush()

    def close(self, until: int) -> None:
        """Let klines close, and read what is wanted, minute by minute."""
        for now in range(self.closed_until + 1, until + 1):
            for name in self.intervals:
                for one in STORED[name]:
                    if one.close_time_ms + 1 == at(now):
                        self.market.apply(kline_update(one, SYMBOL, name), at(now))
            self.closed_until = now
            self.flush()

    def flush(self) -> None:
        self.market.take_changes()
        for _ in range(8):
            for state, read in self.market.days.reads():
                self.asked.append(read)
                self.market.days.take(state, read, self.stored(read))
        self.market.take_changes()

    def stored(self, read: DayRead) -> list[Kline]:
        begin_ms = max(at(self.since.get(read.interval, 0)), read.start_ms or 0)
        found = [
            one
            for one in STORED[read.interval]
            if begin_ms <= one.open_time_ms and one.close_time_ms < at(self.closed_until)
        ]
        return found[: read.limit] if read.start_ms is not None else found[-read.limit :]

    @property
    def ticker(self) -> Ticker | None:
        return self.market.ticker(SYMBOL)


def expected(first: int, last: int) -> Ticker:
    """The ticker of these minutes, both included."""
    day = MINUTES[first : last + 1]
    open_, close = day[0].open, day[-1].close
    return Ticker(
        SYMBOL,
        close,
        open_,
        str(max(Decimal(one.high) for one in day)),
        str(min(Decimal(one.low) for one in day)),
        str(sum(Decimal(one.volume) for one in day)),
        str(sum(Decimal(one.quote_volume) for one in day)),
        str(Decimal(close) - Decimal(open_)),
        str(round((Decimal(close) - Decimal(open_)) * 100 / Decimal(open_), 3)),
        sum(one.trades for one in day),
        open_time_ms=day[0].open_time_ms,
        close_time_ms=day[-1].close_time_ms,
        first_trade_id=day[0].first_trade_id,
        last_trade_id=day[-1].last_trade_id,
        event_time_ms=day[-1].event_time_ms,
        derived=True,
    )


@pytest.mark.parametrize("minutes", [DAY, DAY + 1, DAY + 59, DAY + 60, DAY + 61, DAY + 777])
@pytest.mark.parametrize("intervals", [("1m", "1h"), ("1m", "3m", "1h", "4h"), ("1m",)])
def test_the_figures_are_those_of_the_minutes_of_the_last_day(minutes: int, intervals: tuple[str, ...]) -> None:
    rig = Rig(*intervals)
    rig.start(minutes)
    assert rig.ticker == expected(minutes - DAY, minutes - 1)


def test_they_roll_with_every_minute_and_read_one_hour_at_a_time() -> None:
    rig = Rig("1m", "1h")
    rig.start(DAY + 30)
    for now in range(DAY + 31, DAY + 200, 7):
        rig.close(now)
        assert rig.ticker == expected(now - DAY, now - 1), now
    hours = [at(0), at(60), at(120), at(180)]
    assert rig.asked == [DayRead(SYMBOL, "1h", 25), *(DayRead(SYMBOL, "1m", 60, hour) for hour in hours)]


def test_where_the_minutes_of_the_day_before_are_gone_longer_klines_begin_the_day() -> None:
    rig = Rig("1m", "3m", "1h", since={"1m": DAY - 500})
    rig.start(DAY + 31)
    assert rig.ticker == expected(33, DAY + 30), "to three minutes"


def test_where_there_are_no_short_ones_the_day_begins_with_a_whole_hour() -> None:
    rig = Rig("1m", "1h", since={"1m": DAY - 500})
    rig.start(DAY + 31)
    assert rig.ticker == expected(60, DAY + 30)
    asked = len(rig.asked)
    rig.close(DAY + 40)
    assert len(rig.asked) == asked, "it is tried once an hour"


def test_a_day_that_is_not_over_yet_is_what_there_is() -> None:
    rig = Rig("1m", "1h")
    rig.start(90)
    assert rig.ticker == expected(0, 89)


@pytest.mark.parametrize("intervals", [("1m", "1h"), ("1m", "3m", "1h")])
def test_a_symbol_that_began_within_the_day_and_an_hour_is_counted_from_its_first_minute(
    intervals: tuple[str, ...],
) -> None:
    rig = Rig(*intervals, since={"1m": 20, "3m": 30, "1h": 60})
    rig.start(300)
    assert rig.ticker == expected(20, 299)
    asked = len(rig.asked)
    rig.close(310)
    assert rig.ticker == expected(20, 309)
    assert len(rig.asked) == asked, "no hour lacks anything until the day begins in it"


def test_the_day_ends_with_the_forming_kline() -> None:
    rig = Rig("1m", "1h")
    rig.start(DAY + 5)
    shown = MINUTES[DAY + 5]._replace(closed=False, event_time_ms=at(DAY + 5.5))
    for _ in range(2):
        rig.market.apply(kline_update(shown), at(DAY + 5.5))
        rig.flush()
        assert rig.ticker == expected(6, DAY + 5)._replace(event_time_ms=at(DAY + 5.5))
    grown = shown._replace(close="9999", high="9999", trades=shown.trades + 1, event_time_ms=at(DAY + 5.6))
    rig.market.apply(kline_update(grown), at(DAY + 5.6))
    rig.flush()
    assert rig.ticker is not None
    assert (rig.ticker.last, rig.ticker.high) == ("9999", "9999")
    assert rig.ticker.trades == expected(6, DAY + 5).trades + 1


def test_a_correction_counts() -> None:
    rig = Rig("1m", "1h")
    rig.start(DAY + 5)
    rig.market.apply(kline_update(minute(DAY + 3, event_time_ms=at(DAY + 9))._replace(volume="1000")), at(DAY + 9))
    rig.flush()
    assert rig.ticker is not None
    more = Decimal(1000) - Decimal(MINUTES[DAY + 3].volume)
    assert Decimal(rig.ticker.volume) == Decimal(expected(5, DAY + 4).volume) + more


@pytest.mark.parametrize("hours", [("4h",), ("1h", "4h")])
def test_of_long_intervals_it_is_the_klines_within_the_day(hours: tuple[str, ...]) -> None:
    rig = Rig(*hours)
    rig.start(DAY + 240)
    assert rig.ticker is not None
    assert rig.ticker.volume == expected(240, DAY + 239).volume


def test_of_months_it_is_the_last_price() -> None:
    market = Market(MarketConfig(intervals=("1M",)), log_size=2)
    market.read = True
    month = INTERVALS["1M"]
    open_ms = month.open_time(T0)
    market.apply(
        kline_update(Kline(open_ms, month.close_time(open_ms), "1", "3", "1", "2", closed=True), SYMBOL, "1M"), T0
    )
    market.take_changes()
    ((state, read),) = market.days.reads()
    market.days.take(state, read, [])
    market.take_changes()
    assert market.ticker(SYMBOL) is None, "no kline lies within a day"


# The source's own ticker


def test_a_ticker_of_the_source_ends_it_for_good() -> None:
    rig = Rig("1m", "1h")
    rig.start(DAY)
    rig.market.apply(ticker_update("7", at(DAY)), at(DAY))
    assert rig.ticker == ticker("7", event_time_ms=at(DAY), derived=False)
    rig.close(DAY + 1)
    assert rig.ticker == ticker("7", event_time_ms=at(DAY), derived=False)
    assert rig.market.days.reads() == []


def test_so_does_a_stored_one() -> None:
    rig = Rig("1m", "1h")
    rig.start(DAY)
    rig.market.restore(ticker("7", event_time_ms=5))
    assert rig.ticker == ticker("7", event_time_ms=5, derived=False)
    rig.market.restore(ticker("8", event_time_ms=6))
    assert rig.ticker == ticker("8", event_time_ms=6, derived=False)


def test_a_delta_means_nothing_to_a_derived_ticker_and_its_key_has_not_expired() -> None:
    rig = Rig("1m", "1h")
    rig.start(DAY)
    assert not rig.market.apply(ticker_delta(at(DAY + 1), volume="5"), at(DAY + 1))
    rig.market.lapse(SYMBOL)
    assert not rig.market.lapsed(SYMBOL)


def test_before_all_is_read_nothing_is_derived_and_a_symbol_with_a_ticker_is_never_read() -> None:
    market = Market(MarketConfig(intervals=("1m", "1h")), log_size=2)
    market.apply(kline_update(MINUTES[0]), at(1))
    market.take_changes()
    assert market.days.reads() == []
    market.read = True
    market.apply(ticker_update("7", at(1)), at(1))
    market.take_changes()
    assert market.days.reads() == []


def test_what_is_read_of_a_symbol_that_has_a_ticker_by_now_is_dropped() -> None:
    rig = Rig("1m", "1h")
    rig.market.reseed(SYMBOL, "1m", MINUTES[:3], at(3))
    rig.market.take_changes()
    ((state, read),) = rig.market.days.reads()
    rig.market.apply(ticker_update("7", at(3)), at(3))
    rig.market.apply(kline_update(MINUTES[3]), at(4))
    assert rig.market.days.reads() == []
    DayTickers([INTERVALS["1m"]]).take(state, read, MINUTES[:3])
    assert rig.ticker == ticker("7", event_time_ms=at(3))


def test_differences_are_exact() -> None:
    assert difference("0.3", "0.1") == "0.2"
    assert percentage("1", "3") == "-66.667"
    assert percentage("1", "0") == "0.000"
    assert DAY_MS == 24 * HOUR_MS
