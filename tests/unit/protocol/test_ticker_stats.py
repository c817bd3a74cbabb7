"""Missing statistics are computed exactly; given ones are kept."""

from __future__ import annotations

from gateway.model.ticker import Ticker
from gateway.protocol.ticker_stats import ZERO, complete_ticker


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
