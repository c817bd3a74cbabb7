"""What is built of closed klines for intervals of which the source has sent nothing yet."""

from __future__ import annotations

import pytest

from gateway.config import MarketConfig
from gateway.market.aggregate import Parts, aggregate_closed
from gateway.market.building import PARTS_MAX, cover, parts_needed
from gateway.market.market import Market
from gateway.model.interval import INTERVALS, MINUTE_MS
from gateway.model.kline import Kline
from tests.builders import T0, kline, kline_update, ticker_update

SYMBOL = "BTCUSDT"
ALL = tuple(name for name in INTERVALS if name != "1s")


def at(minute: float) -> int:
    return T0 + round(minute * MINUTE_MS)


def minute(number: int) -> Kline:
    """A minute whose figures no other one has."""
    return kline(
        number,
        f"{100 + number}.10 {300 - number}.5 {50 + number % 7} {101 + number}.20",
        closed=True,
        volume=f"{number}.125",
        quote_volume=f"{number}.0625",
        trades=number,
        taker_volume=f"{number}.5",
        taker_quote_volume=f"{number}.25",
        first_trade_id=number * 10,
        last_trade_id=number * 10 + 9,
    )


MINUTES = [minute(number) for number in range(1500)]


def closed_of(interval: str) -> list[Kline]:
    """The closed klines that an exchange makes of the minutes."""
    if interval == "1m":
        return MINUTES
    return aggregate_closed(MINUTES, INTERVALS["1m"], INTERVALS[interval])


def market_of(*intervals: str, log_size: int = 2) -> Market:
    return Market(MarketConfig(intervals=intervals), log_size=log_size)


def close(market: Market, minutes: float, *intervals: str) -> None:
    """Let everything close that has by then, in the order of time, the shorter intervals first."""
    klines = [(one.close_time_ms, place, name, one) for place, name in enumerate(intervals) for one in closed_of(name)]
    for close_time_ms, _, name, one in sorted(klines):
        if close_time_ms < at(minutes):
            market.apply(kline_update(one, SYMBOL, name), close_time_ms + 1)


def expected(interval: str, minutes: int) -> Kline:
    """The forming kline after so many minutes, made of all its minutes."""
    span = INTERVALS[interval]
    open_time_ms = span.open_time(at(minutes) - 1)
    parts = [one for one in MINUTES[:minutes] if one.open_time_ms >= open_time_ms]
    first, last = parts[0], parts[-1]
    numbers = range((first.open_time_ms - T0) // MINUTE_MS, minutes)
    return Kline(
        open_time_ms,
        span.close_time(open_time_ms),
        first.open,
        f"{300 - numbers[0]}.5",
        str(min(50 + number % 7 for number in numbers)),
        last.close,
        format(sum(numbers) + len(numbers) * 0.125, ".3f"),
        format(sum(numbers) + len(numbers) * 0.0625, ".4f"),
        sum(numbers),
        format(sum(numbers) + len(numbers) * 0.5, ".1f"),
        format(sum(numbers) + len(numbers) * 0.25, ".2f"),
        first.first_trade_id,
        last.last_trade_id,
        provisional=True,
        event_time_ms=last.close_time_ms,
    )


def test_a_longer_interval_that_the_source_has_forms_of_the_closed_shorter_ones() -> None:
    market = market_of("1m", "5m")
    close(market, 8, "1m", "5m")
    assert market.closed(SYMBOL, "5m") == tuple(closed_of("5m")[:1])
    assert market.forming(SYMBOL, "5m") == expected("5m", 8)


@pytest.mark.parametrize("minutes", [1, 7, 61, 799, 1439])
@pytest.mark.parametrize("stored", [("1m",), ("1m", "1h", "1d"), ALL[:12]])
def test_every_interval_forms_to_the_digit_however_little_is_kept_in_memory(
    minutes: int, stored: tuple[str, ...]
) -> None:
    market = market_of(*(ALL if len(stored) == 1 else stored))
    close(market, minutes, *stored)
    for interval in stored[1:]:
        if minutes * MINUTE_MS % INTERVALS[interval].length_ms:
            assert market.forming(SYMBOL, interval) == expected(interval, minutes), interval


def test_a_price_moves_what_is_built_and_not_its_volume() -> None:
    market = market_of("1m", "5m")
    close(market, 3, "1m")
    market.apply(ticker_update("999", at(2.5)), at(2.5))
    assert market.forming(SYMBOL, "5m") == expected("5m", 3), "a closed part is final for all of its time"
    market.apply(ticker_update("1000.5", at(3.1)), at(3.1))
    built = expected("5m", 3)
    moved = built._replace(high="1000.5", close="1000.5", event_time_ms=at(3.1))
    assert market.forming(SYMBOL, "5m") == moved


def test_prices_of_parts_that_have_not_closed_are_kept() -> None:
    market = market_of("1m", "5m")
    market.apply(ticker_update("7", at(0.5)), at(0.5))
    market.apply(ticker_update("2000", at(1.5)), at(1.5))
    market.apply(kline_update(minute(0)), at(1))
    found = market.forming(SYMBOL, "5m")
    assert found is not None
    assert (found.open, found.high, found.low, found.close) == (minute(0).open, "2000", minute(0).low, "2000")
    assert found.volume == minute(0).volume


def test_the_sources_own_forming_kline_goes_before_what_is_built() -> None:
    market = market_of("1m", "5m")
    own = kline(0, interval="5m", volume="3", event_time_ms=at(0.5))
    close(market, 2, "1m")
    market.apply(kline_update(own, SYMBOL, "5m"), at(2))
    assert market.forming(SYMBOL, "5m") == own, "also where it is older"
    market.apply(kline_update(minute(2)), at(3))
    assert market.forming(SYMBOL, "5m") == own


def test_the_closed_kline_of_the_source_replaces_it() -> None:
    market = market_of("1m", "5m")
    close(market, 5, "1m")
    assert market.forming(SYMBOL, "5m") == expected("5m", 5), "it does not close by itself"
    own = kline(0, "1 2 1 2", interval="5m", closed=True)
    market.apply(kline_update(own, SYMBOL, "5m"), at(5))
    assert market.closed(SYMBOL, "5m") == (own,)
    assert market.forming(SYMBOL, "5m") is None
    market.apply(kline_update(minute(4)), at(5.1))
    assert market.forming(SYMBOL, "5m") is None


def test_a_correction_of_a_part_corrects_it() -> None:
    market = market_of("1m", "5m")
    close(market, 3, "1m")
    assert market.forming(SYMBOL, "5m") == expected("5m", 3)
    market.apply(kline_update(minute(1)._replace(high="5000", event_time_ms=at(9))), at(9))
    found = market.forming(SYMBOL, "5m")
    assert found is not None
    assert found.high == "5000"


def test_what_is_derived_of_a_built_kline_has_its_figures_and_is_provisional() -> None:
    market = market_of("1m", "5m", "15m")
    market.reseed(SYMBOL, "5m", closed_of("5m")[:1], at(5))
    market.reseed(SYMBOL, "15m", [], at(5), Parts("5m", closed_of("5m")[:1]))
    close(market, 8, "1m")
    market.take_changes()
    assert market.forming(SYMBOL, "15m") == expected("15m", 8)


def test_only_what_is_watched_is_built_at_a_flush() -> None:
    market = Market(MarketConfig(intervals=("1m", "5m")), log_size=2, lazy=True)
    close(market, 2, "1m")
    assert {series.interval.name for series in market.take_changes().series} == {"1m"}
    market.watch(SYMBOL, 1)
    market.take_changes()
    market.apply(kline_update(minute(2)), at(3))
    assert {series.interval.name for series in market.take_changes().series} == {"1m", "5m"}


def test_too_many_that_wait_for_an_earlier_kline_leave_no_room() -> None:
    market = market_of("1m", "5m")
    for number in range(64):
        market.apply(kline_update(kline(number + 1, interval="5m"), SYMBOL, "5m"), at(5))
    market.apply(kline_update(kline(400, closed=True)), at(401))
    found = market.forming(SYMBOL, "5m")
    assert found is not None
    assert found.open_time_ms == at(5)


def test_nothing_is_built_of_more_parts_than_memory_keeps() -> None:
    market = market_of("1m", "1d")
    close(market, 3, "1m")
    assert market.forming(SYMBOL, "1d") is None


def test_the_parts_that_are_needed_are_those_that_no_interval_between_stands_for() -> None:
    assert parts_needed("1m", ("1m", "1h", "1d")) == 60
    assert parts_needed("1h", ("1m", "1h", "1d")) == 24
    assert parts_needed("1d", ("1m", "1h", "1d")) == 0
    assert parts_needed("1m", ALL) == 5
    assert parts_needed("1d", ALL) == 31
    assert parts_needed("1m", ("1m", "4h")) == 240 < PARTS_MAX
    assert parts_needed("1m", ("1m", "1d")) == 0


def test_the_longest_klines_cover_a_time_and_holes_are_passed_over() -> None:
    minutes = [MINUTES[number] for number in (0, 1, 2, 3, 4, 5, 7, 8)]
    five = closed_of("5m")[:1]
    assert cover([minutes, five], T0, at(9)) == [five[0], minutes[5], minutes[6], minutes[7]]
    assert cover([minutes, five], at(2), at(8)) == minutes[2:7]
    assert cover([minutes, five], at(20), at(30)) == []


def test_what_came_before_the_first_read_is_not_taken_for_all_there_is() -> None:
    market = market_of("1m", "5m")
    market.watch(SYMBOL, 1)
    market.apply(kline_update(MINUTES[12], SYMBOL, "1m"), at(13))
    market.take_changes()
    market.reseed(SYMBOL, "1m", MINUTES[6:13], at(13))
    market.reseed(SYMBOL, "5m", closed_of("5m")[:2], at(13))
    assert market.forming(SYMBOL, "5m") == expected("5m", 13)
    market.apply(kline_update(MINUTES[13], SYMBOL, "1m"), at(14))
    market.take_changes()
    assert market.forming(SYMBOL, "5m") == expected("5m", 14)
