"""Which stored klines correct those in memory, and which differences mean nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.market.corrections import corrections
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, kline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model.kline import Kline

FULL: dict[str, Any] = {
    "volume": "2.50",
    "quote_volume": "250",
    "trades": 7,
    "taker_volume": "1",
    "taker_quote_volume": "100",
}
IDS: dict[str, Any] = {"first_trade_id": 3, "last_trade_id": 9}


def series(numbers: Iterable[int] = (0, 1, 2), **changes: Any) -> Series:
    made = Series("BTCUSDT", INTERVALS["1m"], 4)
    for number in numbers:
        made.apply_kline(kline(number, closed=True, **(FULL | IDS | changes)), T0)
        made.settle(T0, 0)
    return made


def stored(number: int, prices: str = "100 110 90 105", **changes: Any) -> Kline:
    """A kline as the store has it: without an event time."""
    return kline(number, prices, closed=True, event_time_ms=0, **(FULL | IDS | changes))


def at(number: int) -> int:
    return T0 + number * MINUTE_MS


def test_equal_klines_are_no_correction() -> None:
    assert corrections(series(), [stored(0), stored(1), stored(2)]) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"open": "101"}, {"high": "111"}, {"low": "89"}, {"close": "109"}, {"volume": "3"}, {"quote_volume": "251"},
        {"trades": 8}, {"taker_volume": "2"}, {"taker_quote_volume": "101"}, {"first_trade_id": 4},
        {"last_trade_id": 10},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_another_value_of_any_field_is_one_and_is_newer_than_what_is_known(changes: dict[str, Any]) -> None:
    made = series()
    (found,) = corrections(made, [stored(1)._replace(**changes)]).values()
    name, value = next(iter(changes.items()))
    assert getattr(found, name) == value
    made.apply_kline(found, T0)
    assert [getattr(each, name) == value for each in made.closed] == [False, True, False]


def test_digits_that_say_the_same_are_none() -> None:
    assert corrections(series(), [stored(1, "100.0 110.00 90 105.000", volume="2.5")]) == {}


def test_fields_that_a_stored_kline_may_lack_are_kept() -> None:
    bare = kline(1, closed=True, event_time_ms=0, volume="2.5")
    assert corrections(series(), [bare]) == {}
    (found,) = corrections(series(), [bare._replace(close="109")]).values()
    assert (found.close, found.trades, found.taker_volume, found.last_trade_id) == ("109", 7, "1", 9)
    assert (found.quote_volume, found.taker_quote_volume, found.first_trade_id) == ("250", "100", 3)


def test_a_stored_kline_with_a_newer_event_time_keeps_it() -> None:
    (found,) = corrections(series(), [stored(1, "100 110 90 109")._replace(event_time_ms=at(9))]).values()
    assert found.event_time_ms == at(9)


def test_a_kline_that_memory_lacks_between_others_is_one() -> None:
    missing = stored(1)
    assert corrections(series((0, 2)), [missing]) == {at(1): missing}


@pytest.mark.parametrize("number", [-1, 3], ids=["older", "newer"])
def test_what_lies_outside_of_memory_is_none(number: int) -> None:
    assert corrections(series(), [stored(number, "1 1 1 1")]) == {}


def test_an_empty_series_has_nothing_to_correct() -> None:
    assert corrections(series(()), [stored(0)]) == {}
