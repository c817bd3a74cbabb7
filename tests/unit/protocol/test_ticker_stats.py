"""Missing statistics are computed exactly; given ones are kept."""

from __future__ import annotations

from typing import Any

from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline
from gateway.model.ticker import Ticker
from gateway.protocol.ticker_stats import DAY_MS, ZERO, average_of_klines, complete_ticker, ticker_of_klines

NOW_MS = 20_000 * DAY_MS
"""Midnight."""


def test_given_fields_are_kept_to_the_digit() -> None:
    given = Ticker(
        "BTCUSDT", "97000.10", "96000.0", "98000", "95000", "12.50", "1200000.0", "1000.100", "1.0418", 12, "96001.0",
        "95999.0", "0.10", "97000.0", "1.0", "97000.2", "2.0", 5, 6, 7, 8, 9,
    )  # fmt: skip
    assert complete_ticker(given) == given


def test_missing_fields_are_computed_from_the_others() -> None:
    day = complete_ticker(
        Ticker("BTCUSDT", "97000.10", "96000.0", volume="3.0", quote_volume="200000.00", event_time_ms=1, trades=7)
    )
    assert day == Ticker(
        "BTCUSDT", "97000.10", "96000.0", "97000.10", "96000.0", "3.0", "200000.00", "1000.10", "1.042", 7,
        "66666.66666667", "96000.0", ZERO, ZERO, ZERO, ZERO, ZERO, event_time_ms=1,
    )  # fmt: skip


def test_a_price_alone_makes_a_flat_day_without_volume() -> None:
    day = complete_ticker(Ticker("BTCUSDT", "5.10"))
    assert (day.open, day.high, day.low, day.previous_close) == ("5.10",) * 4
    assert (day.change, day.change_percent, day.weighted_average) == ("0.00", "0.000", ZERO)
    assert (day.volume, day.quote_volume, day.trades, day.first_trade_id) == (ZERO, ZERO, 0, -1)


def test_a_falling_price_has_a_negative_change_and_the_open_as_high() -> None:
    day = complete_ticker(Ticker("BTCUSDT", "9.5", "10"))
    assert (day.change, day.change_percent, day.high, day.low) == ("-0.5", "-5.000", "10", "9.5")


def test_high_and_low_are_compared_as_numbers() -> None:
    day = complete_ticker(Ticker("BTCUSDT", "10.0", "9.5"))
    assert (day.high, day.low) == ("10.0", "9.5")


def test_an_open_of_zero_has_no_percent_change() -> None:
    assert complete_ticker(Ticker("BTCUSDT", "0.5", "0")).change_percent == "0.000"


def test_the_longest_accepted_numbers_do_not_overflow() -> None:
    longest = "9" * 31 + "." + "9" * 30
    least = "0." + "0" * 29 + "1"
    day = complete_ticker(Ticker("BTCUSDT", longest, least, volume=least, quote_volume=longest))
    assert "E" not in day.weighted_average + day.change + day.change_percent
    assert day.change == "9" * 31 + "." + "9" * 29 + "8"


def klines(interval: str, count: int, end_ms: int = NOW_MS, **changes: Any) -> list[Kline]:
    """The last `count` klines that close at `end_ms`; the number of a kline from the end is its open price."""
    span = INTERVALS[interval]
    opens = [(n, end_ms - n * span.length_ms) for n in range(count, 0, -1)]
    alike = Kline(0, 0, "", "1000", "0.5", "7.25", "1.5", "30", 2, closed=True)._replace(**changes)
    return [alike._replace(open_time_ms=at, close_time_ms=span.close_time(at), open=f"{n}.0") for n, at in opens]


def test_a_day_of_klines_tells_a_ticker() -> None:
    hours = klines("1h", 30)
    ticker = ticker_of_klines("BTCUSDT", [hours], NOW_MS)
    assert ticker == Ticker(
        "BTCUSDT", "7.25", "23.0", "1000", "0.5", "34.5", "690", trades=46, event_time_ms=NOW_MS - 1, derived=True
    )
    assert complete_ticker(ticker).weighted_average == "20.00000000"


def test_the_shortest_series_that_covers_the_day_gives_the_statistics() -> None:
    minutes, hours, days = klines("1m", 16, close="8"), klines("1h", 48), klines("1d", 5)
    ticker = ticker_of_klines("BTCUSDT", [minutes, hours, days], NOW_MS)
    assert ticker is not None
    assert (ticker.last, ticker.open) == ("8", "23.0")


def test_the_series_that_covers_most_is_better_than_one_that_covers_less() -> None:
    for series in ([klines("1m", 16), klines("1h", 16)], [klines("1h", 16), klines("4h", 3)]):
        ticker = ticker_of_klines("BTCUSDT", series, NOW_MS)
        assert ticker is not None
        assert ticker.open == "16.0"


def test_the_price_is_that_of_the_newest_kline() -> None:
    old = klines("1m", 3, NOW_MS - 7_200_000, close="5")
    forming = klines("1h", 2)[-1]._replace(closed=False, close="6", event_time_ms=NOW_MS - 500)
    ticker = ticker_of_klines("BTCUSDT", [old, [], [*klines("1h", 2)[:-1], forming]], NOW_MS)
    assert ticker is not None
    assert (ticker.last, ticker.event_time_ms) == ("6", NOW_MS - 500)


def test_without_klines_of_the_last_day_there_was_no_trade() -> None:
    ticker = ticker_of_klines("BTCUSDT", [klines("1m", 9, NOW_MS - 2 * DAY_MS)], NOW_MS)
    assert ticker == Ticker("BTCUSDT", "7.25", event_time_ms=NOW_MS - 2 * DAY_MS - 1, derived=True)


def test_without_klines_there_is_no_ticker() -> None:
    assert ticker_of_klines("BTCUSDT", [[], []], NOW_MS) is None


def test_average_price_is_weighted_by_volume() -> None:
    first, second = klines("1m", 2)
    assert average_of_klines([first, second._replace(volume="0.5", quote_volume="90")]) == "60.00000000"


def test_average_price_takes_the_close_where_no_quote_volume_is_known() -> None:
    assert average_of_klines(klines("1m", 2, quote_volume="0")) == "7.25000000"


def test_average_price_needs_volume() -> None:
    assert average_of_klines(klines("1m", 2, volume="0", quote_volume="0")) is None
    assert average_of_klines([]) is None
