from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.replay.walk import walk
from tests.builders import MINUTE_MS, T0, kline


def prices(text: str) -> list[str]:
    """The states of a minute with these prices, as its seconds and open, high, low and close."""
    states = walk(kline(0, text, closed=True, volume="5", trades=3))
    return [f"{(one.event_time_ms - T0) // 1000}: {one.open} {one.high} {one.low} {one.close}" for one in states]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "100 110 90 105",
            ["0: 100 100 100 100", "15: 100 100 90 90", "30: 100 110 90 110", "45: 100 110 90 105"],
            id="one that rises goes down first",
        ),
        pytest.param(
            "100 110 90 95",
            ["0: 100 100 100 100", "15: 100 110 100 110", "30: 100 110 90 90", "45: 100 110 90 95"],
            id="one that falls goes up first",
        ),
        pytest.param("100 100.0 100 100.00", ["0: 100 100 100 100", "30: 100 100.0 100 100.0",
                                              "45: 100 100.0 100 100.00"], id="the digits are those of the kline"),
        pytest.param("100 110 100 110", ["0: 100 100 100 100", "30: 100 110 100 110"], id="nothing twice"),
        pytest.param("100 100 100 100", ["0: 100 100 100 100"], id="a kline that does not move"),
    ],
)  # fmt: skip
def test_a_kline_walks_from_open_to_close(text: str, expected: list[str]) -> None:
    assert prices(text) == expected


def test_its_states_are_provisional_and_have_no_volume() -> None:
    states = walk(
        kline(0, closed=True, volume="5", quote_volume="500", trades=3, taker_volume="1", taker_quote_volume="100")
    )
    for one in states:
        assert (one.closed, one.provisional, one.trades) == (False, True, 0)
        assert {one.volume, one.quote_volume, one.taker_volume, one.taker_quote_volume} == {"0"}
        assert (one.first_trade_id, one.last_trade_id) == (-1, -1)


def test_an_hour_walks_in_quarters() -> None:
    times_ms = [one.event_time_ms - T0 for one in walk(kline(0, interval="1h", closed=True))]
    assert times_ms == [quarter * 15 * MINUTE_MS for quarter in range(4)]


@given(st.lists(st.decimals(1, 1000, places=2), min_size=4, max_size=4))
def test_high_and_low_only_widen_and_end_where_the_kline_does(values: list[Decimal]) -> None:
    low, first, last, high = sorted(values)
    for open_, close in ((first, last), (last, first)):
        whole = kline(0, f"{open_} {high} {low} {close}", closed=True)
        states = walk(whole)
        assert states[0][2:6] == (str(open_),) * 4
        assert states[-1][2:6] == whole[2:6]
        for before, after in itertools.pairwise(states):
            assert Decimal(after.high) >= Decimal(before.high)
            assert Decimal(after.low) <= Decimal(before.low)
            assert T0 <= before.event_time_ms < after.event_time_ms < T0 + MINUTE_MS
        assert all(Decimal(one.low) <= Decimal(one.close) <= Decimal(one.high) for one in states)
