"""The merge rules, row by row of the table in `merge.py`."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gateway.market.merge import CANDIDATES_MAX, EXTREMES_MAX, KlineState, Price, extremes, price
from gateway.model.kline import Kline, KlineFields, rank
from tests.builders import MINUTE_MS, T0, kline

CLOSE_MS = T0 + MINUTE_MS - 1


def state_of(*klines: Kline) -> KlineState:
    state = KlineState(T0, CLOSE_MS)
    for known in klines:
        assert state.apply_kline(known)
    return state


def word(second: int, prices: str = "100 110 90 105", **changes: Any) -> Kline:
    """What the exchange says of the state at a second of its minute."""
    return kline(0, prices, **{"event_time_ms": T0 + second * 1000} | changes)


def apply(state: KlineState, *prices: tuple[float, str]) -> list[bool]:
    """Prices by second and text; says which of them changed the candle."""
    return [state.apply_price(price(T0 + round(second * 1000), text)) for second, text in prices]


def diff(state: KlineState, second: int, **fields: Any) -> bool:
    return state.apply_delta(cast("KlineFields", fields), T0 + second * 1000)


def candle(state: KlineState) -> str:
    """Open, high, low and close as text."""
    value = state.value()
    assert value is not None
    return f"{value.open} {value.high} {value.low} {value.close}"


# The exchange's word


def test_a_kline_without_updates_has_no_value() -> None:
    state = KlineState(T0, CLOSE_MS)
    assert state.value() is None
    assert not state.confirmed
    assert not state.provisional
    assert not state.closed


def test_a_kline_is_the_kline() -> None:
    state = state_of(word(10))
    assert state.value() == word(10)
    assert state.confirmed
    assert not state.provisional
    assert not state.closed


def test_a_newer_kline_replaces_an_older_one() -> None:
    assert state_of(word(10), word(20, "100 120 90 115")).value() == word(20, "100 120 90 115")


def test_an_older_kline_changes_nothing() -> None:
    state = state_of(word(20))
    assert not state.apply_kline(word(10, "1 1 1 1"))
    assert state.value() == word(20)


def test_the_same_kline_again_changes_nothing() -> None:
    state = state_of(word(10))
    assert not state.apply_kline(word(10))
    assert state.value() == word(10)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        pytest.param(word(8, trades=9, closed=True), word(9, trades=8, closed=True), id="time"),
        pytest.param(word(9, trades=9), word(9, trades=10), id="trades"),
        pytest.param(word(9, trades=9, volume="9.5"), word(9, trades=9, volume="10"), id="volume-as-a-number"),
        pytest.param(word(9, "1 2 1 1"), word(9, "1 2 1 2"), id="no-two-different-ones-tie"),
        pytest.param(word(30, trades=9), word(9, trades=1, closed=True), id="closed-beats-forming"),
    ],
)  # fmt: skip
def test_of_two_source_klines_the_same_one_wins_in_either_order(less: Kline, more: Kline) -> None:
    assert rank(less) < rank(more)
    assert state_of(less, more).value() == more
    state = state_of(more)
    assert not state.apply_kline(less)
    assert state.value() == more


def test_a_closed_kline_closes_the_kline_and_a_newer_one_corrects_it() -> None:
    first = word(60, closed=True)
    second = word(61, "100 111 90 105", closed=True)
    state = state_of(word(59), first)
    assert state.closed
    assert state.apply_kline(second)
    assert state.value() == second


def test_a_forming_kline_never_opens_a_closed_kline_again() -> None:
    state = state_of(word(60, closed=True))
    assert not state.apply_kline(word(99))
    assert state.closed


# Diffs of a kline


def test_a_delta_lays_its_fields_over_the_newest_word() -> None:
    state = state_of(word(10, volume="5", trades=3))
    assert diff(state, 11, close="95", volume="6", trades=4)
    assert state.value() == word(11, "100 110 90 95", volume="6", trades=4)


def test_a_delta_of_the_same_moment_wins_over_what_it_changes() -> None:
    state = state_of(word(10, volume="5", trades=3))
    assert diff(state, 10, close="91")
    assert candle(state) == "100 110 90 91"


def test_a_delta_taken_twice_changes_nothing() -> None:
    state = state_of(word(10))
    assert diff(state, 11, close="95")
    before = state.value()
    assert not diff(state, 11, close="95")
    assert state.value() == before


def test_a_delta_without_a_source_kline_before_it_is_not_taken() -> None:
    state = KlineState(T0, CLOSE_MS)
    assert not diff(state, 10, close="95")
    assert state.value() is None
    apply(state, (1, "7"))
    assert not diff(state, 10, close="95")
    assert candle(state) == "7 7 7 7"


def test_an_older_delta_is_not_taken() -> None:
    state = state_of(word(10))
    assert not diff(state, 9, close="95")
    assert state.value() == word(10)


def test_a_delta_closes_a_kline_and_none_changes_it_afterwards() -> None:
    state = state_of(word(10))
    apply(state, (11, "500"))
    assert diff(state, 60, closed=True, volume="7")
    assert state.value() == word(60, closed=True, volume="7")
    assert not diff(state, 61, close="95")
    assert candle(state) == "100 110 90 105"


def test_a_delta_covers_the_prices_up_to_its_time() -> None:
    state = state_of(word(10))
    apply(state, (11, "120"), (13, "115"))
    assert diff(state, 12, volume="8")
    assert candle(state) == "100 115 90 115"


@pytest.mark.parametrize(
    ("fields", "then"),
    [
        pytest.param({"close": "111.0"}, "100 111.0 90 111.0", id="above-the-high"),
        pytest.param({"close": "9"}, "100 110 9 9", id="below-the-low"),
        pytest.param({"close": "110.00"}, "100 110 90 110.00", id="at-the-high"),
        pytest.param({"high": "112", "close": "111"}, "100 112 90 111", id="both-said"),
        pytest.param({"open": "80"}, "80 110 80 105", id="open"),
    ],
)
def test_a_delta_beyond_the_extremes_widens_them(fields: dict[str, str], then: str) -> None:
    state = state_of(word(10))
    assert diff(state, 11, **fields)
    assert candle(state) == then


# Prices over a word of the exchange


def test_a_newer_price_moves_close_and_widens_high_and_low() -> None:
    state = state_of(word(10))
    assert apply(state, (11, "120"), (12, "80"), (13, "100")) == [True, True, True]
    assert candle(state) == "100 120 80 100"


def test_a_price_between_the_extremes_moves_close_alone() -> None:
    state = state_of(word(10, volume="5", quote_volume="6", trades=7))
    apply(state, (11, "99.00"))
    assert state.value() == word(11, "100 110 90 99.00", volume="5", quote_volume="6", trades=7)


@pytest.mark.parametrize("second", [9, 10])
def test_a_price_that_the_source_kline_covers_changes_nothing(second: int) -> None:
    state = state_of(word(10))
    assert apply(state, (second, "500")) == [False]
    assert state.value() == word(10)


@pytest.mark.parametrize("second", [-0.001, 60, 3600])
def test_a_price_outside_the_window_never_touches_the_kline(second: float) -> None:
    state = state_of(word(0, event_time_ms=T0 - 5000))
    assert apply(state, (second, "500")) == [False]
    assert state.value() == word(0, event_time_ms=T0 - 5000)
    assert apply(state, (0, "106"), (59.999, "107")) == [True, True], "the window's own edges"
    assert apply(state, (second, "500")) == [False]
    assert candle(state) == "100 110 90 107"


def test_a_price_never_changes_a_closed_kline() -> None:
    closed = word(60, closed=True)
    state = state_of(word(10))
    apply(state, (30, "500"))
    state.apply_kline(closed)
    assert apply(state, (31, "600"), (59.999, "1")) == [False, False]
    assert state.value() == closed


def test_a_newer_source_kline_takes_back_the_extremes_of_the_prices_it_covers() -> None:
    state = state_of(word(10))
    apply(state, (11, "130"), (12, "70"), (13, "120"), (14, "115"))
    state.apply_kline(word(12, "100 110 90 105"))
    assert candle(state) == "100 120 90 115"
    state.apply_kline(word(14, "100 111 90 104"))
    assert state.value() == word(14, "100 111 90 104")


def test_an_older_closed_source_kline_covers_even_newer_prices() -> None:
    state = KlineState(T0, CLOSE_MS)
    apply(state, (30, "500"))
    assert state.apply_kline(word(0, closed=True, event_time_ms=0))
    assert candle(state) == "100 110 90 105"


# Prices alone


def test_prices_alone_make_a_provisional_kline_without_volume() -> None:
    state = KlineState(T0, CLOSE_MS)
    apply(state, (5, "100"), (6, "103.0"), (7, "98"), (8, "99"))
    assert state.value() == Kline(T0, CLOSE_MS, "100", "103.0", "98", "99", provisional=True, event_time_ms=T0 + 8000)
    assert state.provisional
    assert not state.confirmed
    assert not state.closed


def test_the_exchanges_own_source_kline_ends_the_provisional_kline() -> None:
    state = KlineState(T0, CLOSE_MS)
    apply(state, (5, "100"), (20, "200"))
    state.apply_kline(word(10))
    assert not state.provisional
    assert state.value() == word(20, "100 200 90 200")


# Arrival order


def test_an_older_price_never_moves_close() -> None:
    state = state_of(word(10))
    assert apply(state, (13, "103"), (11, "101"), (12, "102")) == [True, False, False]
    assert state.value() == word(13, "100 110 90 103")


def test_an_older_price_still_widens_the_extremes() -> None:
    state = state_of(word(10))
    assert apply(state, (13, "103"), (11, "120"), (12, "80")) == [True, True, True]
    assert state.value() == word(13, "100 120 80 103")


def test_an_older_price_that_was_the_first_is_the_open_of_a_provisional_kline() -> None:
    state = KlineState(T0, CLOSE_MS)
    assert apply(state, (13, "103"), (11, "103"), (12, "103")) == [True, False, False]
    assert apply(state, (10, "103.0")) == [True]
    assert candle(state) == "103.0 103 103 103"


def test_an_older_price_counts_no_longer_than_its_time() -> None:
    state = KlineState(T0, CLOSE_MS)
    apply(state, (20, "100"), (12, "130"), (11, "140"), (14, "120"), (13, "125"), (15, "90"), (16, "80"))
    seen = []
    for second in (10, 11, 12, 13, 14, 15, 16):
        state.apply_kline(word(second, "100 101 99 100"))
        seen.append(candle(state))
    assert seen == [
        "100 140 80 100", "100 130 80 100", "100 125 80 100", "100 120 80 100", "100 101 80 100", "100 101 80 100",
        "100 101 99 100",
    ]  # fmt: skip


def test_of_two_prices_of_one_moment_the_later_is_close_and_both_are_extremes() -> None:
    state = state_of(word(10))
    assert apply(state, (11, "120"), (11, "80")) == [True, True]
    assert candle(state) == "100 120 80 80"


# Repetition


@pytest.mark.parametrize("again", [(11, "120"), (12, "80"), (13, "99")], ids=["high", "low", "last"])
def test_a_price_taken_twice_changes_nothing(again: tuple[float, str]) -> None:
    state = state_of(word(10))
    apply(state, (11, "120"), (12, "80"), (13, "99"))
    before = state.value()
    assert apply(state, again) == [False]
    assert state.value() == before


def test_the_same_price_later_on_is_no_change_but_newer() -> None:
    state = state_of(word(10))
    assert apply(state, (11, "120"), (12, "120")) == [True, False]
    assert state.value() == word(12, "100 120 90 120")
    state.apply_kline(word(11))
    assert candle(state) == "100 120 90 120", "it is still not covered"


def test_other_digits_of_the_same_price_are_a_change() -> None:
    state = state_of(word(10))
    assert apply(state, (11, "120"), (12, "120.0")) == [True, True]
    assert candle(state) == "100 120.0 90 120.0"


# Bounded memory


@pytest.mark.parametrize("late", [False, True], ids=["in-order", "newest-first"])
@pytest.mark.parametrize("sign", [1, -1], ids=["highs", "lows"])
def test_a_long_one_way_market_is_remembered_in_bounded_memory(sign: int, late: bool) -> None:
    state = state_of(word(0, "500 501 499 500"))
    prices = [(second / 10, str(500 - sign * second)) for second in range(10, 400)]
    apply(state, *(reversed(prices) if late else prices))
    assert max(len(state._highs), len(state._lows)) == CANDIDATES_MAX
    first, last = prices[0][1], prices[-1][1]
    assert candle(state) == (f"500 501 {last} {last}" if sign > 0 else f"500 {last} 499 {last}")
    assert first != last


def test_what_was_merged_counts_a_little_too_long_and_never_too_short() -> None:
    state = state_of(word(0, "1 1 1 1"))
    prices = [(1 + number, str(900 - number)) for number in range(CANDIDATES_MAX + 2)]
    apply(state, *prices)
    state.apply_kline(word(1, "1 1 1 1"))
    assert candle(state).split()[1] == "900", "covered, but merged with the two after it"
    state.apply_kline(word(3, "1 1 1 1"))
    assert candle(state).split()[1] == "897", "exact again"


def said(*values: int, times: tuple[int, ...] = ()) -> list[Price]:
    """Prices a second apart, or at the given seconds."""
    return [
        price(T0 + second * 1000, str(value)) for second, value in zip(times or range(len(values)), values, strict=True)
    ]


def texts(prices: list[Price]) -> list[str]:
    return [at.text for at in prices]


def test_few_prices_are_all_telling() -> None:
    assert texts(extremes(said(1, 2))) == ["1", "2"]


def test_of_many_prices_the_first_and_those_no_later_one_goes_beyond_are_telling() -> None:
    assert texts(extremes(said(5, 6, 9, 7, 2, 4, 3))) == ["5", "9", "7", "2", "4", "3"]


def test_a_first_price_that_is_telling_anyway_is_told_once() -> None:
    assert texts(extremes(said(9, 6, 7, 7))) == ["9", "6", "7"]


def test_prices_that_did_not_come_in_order_are_all_telling() -> None:
    late = said(5, 6, 4, 5, times=(0, 2, 1, 3))
    assert extremes(late) == late


def test_of_a_one_way_market_the_newest_and_the_ends_are_telling() -> None:
    reported = texts(extremes(said(*range(100, 160))))
    assert reported == ["100", "143", *map(str, range(144, 160))]


def test_a_one_way_market_just_long_enough_is_told_whole() -> None:
    rising = said(*range(EXTREMES_MAX))
    assert extremes(rising) == rising


def test_the_exchanges_source_kline_is_known_without_the_prices_since() -> None:
    state = KlineState(T0, T0 + MINUTE_MS - 1)
    assert state.source_kline is None
    state.apply_price(price(T0 + 2000, "200"))
    assert state.source_kline is None
    state.apply_kline(kline())
    state.apply_price(price(T0 + 3000, "300"))
    assert state.source_kline == kline()


def test_a_source_kline_that_is_known_to_lack_something_confirms_nothing() -> None:
    state = KlineState(T0, T0 + MINUTE_MS - 1)
    state.apply_kline(kline(provisional=True))
    assert not state.confirmed


def test_prices_after_a_limit_are_dropped_and_earlier_ones_stay() -> None:
    state = KlineState(T0, T0 + MINUTE_MS - 1)
    for second, text in ((1, "100"), (2, "90"), (3, "110"), (50, "50")):
        state.apply_price(price(T0 + second * 1000, text))
    assert not state.drop_after(T0 + 50_000)
    assert state.drop_after(T0 + 10_000)
    made = state.value()
    assert made is not None
    # The 90 is gone: the lower price that is dropped had made it unnecessary.
    assert (made.open, made.high, made.low, made.close) == ("100", "110", "100", "110")
    assert state.apply_price(price(T0 + 4000, "95"))


def test_a_kline_of_dropped_prices_alone_is_unknown() -> None:
    state = KlineState(T0, T0 + MINUTE_MS - 1)
    state.apply_price(price(T0 + 50_000, "500"))
    assert state.drop_after(T0 + 10_000)
    assert state.value() is None


def test_a_source_kline_with_a_time_after_a_limit_is_older_than_any_other() -> None:
    state = KlineState(T0, T0 + MINUTE_MS - 1)
    state.apply_kline(kline(event_time_ms=T0 + 50_000))
    assert not state.apply_kline(kline(prices="1 2 1 2", event_time_ms=T0 + 4000))
    assert state.drop_after(T0 + 10_000)
    assert state.value() == kline(event_time_ms=0)
    assert state.apply_kline(kline(prices="1 2 1 2", event_time_ms=T0 + 4000))


# Built of shorter klines


def test_what_is_built_counts_until_the_source_sends_the_kline() -> None:
    state = KlineState(T0, CLOSE_MS)
    built = word(30, provisional=True)
    assert state.apply_built(built)
    assert not state.apply_built(built)
    assert (state.value(), state.source_kline) == (built, built)
    assert state.provisional
    assert not state.confirmed
    assert state.apply_built(word(20, "1 2 1 2", provisional=True)), "whatever was built before"
    assert state.apply_kline(word(10)), "also what is older"
    assert not state.apply_built(built)
    assert state.value() == word(10)


def test_what_the_source_sends_after_what_was_built_confirms_the_kline() -> None:
    state = KlineState(T0, CLOSE_MS)
    state.apply_built(word(30, provisional=True))
    state.apply_kline(word(10))
    assert state.confirmed
    assert not state.provisional


def test_prices_move_what_is_built_after_its_time() -> None:
    state = KlineState(T0, CLOSE_MS)
    apply(state, (10, "500"), (40, "120"))
    state.apply_built(word(30, provisional=True, volume="7"))
    assert candle(state) == "100 120 90 120"
    assert apply(state, (20, "600"), (50, "80")) == [False, True]
    assert candle(state) == "100 120 80 80"
    assert state.value() == word(50, "100 120 80 80", provisional=True, volume="7")


def test_a_delta_means_nothing_to_what_is_built() -> None:
    state = KlineState(T0, CLOSE_MS)
    state.apply_built(word(30, provisional=True))
    assert not diff(state, 40, volume="5")
