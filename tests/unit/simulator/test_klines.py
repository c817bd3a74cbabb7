"""Trades to bars: every long bar is the sum of the short ones in it, whatever trades when."""

from __future__ import annotations

from random import Random

import pytest

from gateway.model.interval import INTERVALS, MINUTE_MS
from simulator.klines import Bar, Bars, roll_up
from simulator.market import Trade

ONE, FIVE, QUARTER = (INTERVALS[name] for name in ("1m", "5m", "15m"))
START = 1_732_309_200_000  # a full hour


def trade(minute: float, price: int, lots: int = 2, first_id: int = 1) -> Trade:
    return Trade(START + round(minute * MINUTE_MS), price, lots, 1, 1, first_id)


def closed(bars: Bars) -> dict[str, Bar]:
    return {interval.name: bar for interval, bar in bars.close()}


def forming(bars: Bars) -> dict[str, Bar]:
    return {interval.name: bar for interval, bar in bars.forming()}


def test_a_bar_is_what_its_trades_were() -> None:
    bar = Bar(START, 100)
    for price, lots, taker, first_id in [(100, 5, 2, 40), (120, 1, 1, 42), (90, 4, 0, 44), (110, 2, 2, 46)]:
        bar.take(Trade(START, price, lots, taker, 2, first_id))
    assert (bar.open, bar.high, bar.low, bar.close) == (100, 120, 90, 110)
    assert (bar.lots, bar.quote) == (12, 500 + 120 + 360 + 220)
    assert (bar.taker_lots, bar.taker_quote) == (5, 200 + 120 + 220)
    assert (bar.trades, bar.first_id) == (8, 40)


def test_bars_are_equal_by_value_and_say_what_they_hold() -> None:
    bar = Bar(START, 100)
    assert bar == bar.copy(START)
    assert bar != Bar(START, 101)
    assert bar != bar.figures()
    assert f"open_ms={START}" in repr(bar)


def test_a_copy_is_on_its_own() -> None:
    bar = Bar(START, 100)
    other = bar.copy(START - 1)
    other.take(trade(0, 200))
    assert bar.high == 100
    assert (other.open_ms, other.high) == (START - 1, 200)


def test_folding_keeps_the_first_trade_and_the_last_price() -> None:
    quiet, lively = Bar(START, 100), Bar(START + MINUTE_MS, 90)
    lively.take(trade(1, 80, first_id=7))
    quiet.fold(lively)
    assert (quiet.open, quiet.high, quiet.low, quiet.close, quiet.first_id) == (100, 100, 80, 80, 7)
    higher = Bar(START + 2 * MINUTE_MS, 130)
    higher.take(trade(2, 130, first_id=8))
    quiet.fold(higher)
    assert (quiet.high, quiet.close, quiet.first_id, quiet.trades) == (130, 130, 7, 2)


def test_windows_close_finest_first_and_longer_ones_only_at_their_end() -> None:
    bars = Bars((ONE, FIVE, QUARTER), START, 100)
    order = []
    for minute in range(15):
        bars.take(trade(minute, 100 + minute))
        order.append([interval.name for interval, _ in bars.close()])
    assert order == ([["1m"]] * 4 + [["1m", "5m"]]) * 2 + [["1m"]] * 4 + [["1m", "5m", "15m"]]


def test_long_bars_are_the_sums_of_short_ones_with_quiet_windows_in_between() -> None:
    random = Random(5)
    bars = Bars((ONE, FIVE, QUARTER), START, 1_000)
    done: dict[str, list[Bar]] = {"1m": [], "5m": [], "15m": []}
    for minute in range(60):
        for n in range(random.choice([0, 0, 1, 5])):
            bars.take(trade(minute + n / 10, random.randint(900, 1_100), random.randint(1, 9), minute * 10 + n))
        for interval, bar in bars.close():
            done[interval.name].append(bar)
    assert [len(done[name]) for name in ("1m", "5m", "15m")] == [60, 12, 4]
    assert any(bar.trades == 0 for bar in done["1m"])
    assert done["5m"] == roll_up(done["1m"], FIVE)
    assert done["15m"] == roll_up(done["5m"], QUARTER) == roll_up(done["1m"], QUARTER)
    for before, bar in zip(done["1m"], done["1m"][1:], strict=False):
        if not bar.trades:
            assert bar.open == bar.high == bar.low == bar.close == before.close


def test_a_quiet_beginning_closes_at_the_price_the_market_began_with() -> None:
    bars = Bars((ONE, FIVE), START, 4_321)
    assert closed(bars) == {"1m": Bar(START, 4_321)}


def test_a_bar_is_open_only_from_its_first_trade_on() -> None:
    bars = Bars((ONE, FIVE), START, 100)
    assert (forming(bars), bars.finest) == ({}, None)
    bars.take(trade(0.5, 120))
    assert bars.finest == forming(bars)["1m"]
    assert {name: bar.high for name, bar in forming(bars).items()} == {"1m": 120, "5m": 120}
    bars.close()
    assert {name: bar.open_ms for name, bar in forming(bars).items()} == {"5m": START}
    bars.take(trade(1.5, 130))
    now = forming(bars)
    assert (now["1m"].open, now["1m"].open_ms) == (130, START + MINUTE_MS)
    assert (now["5m"].open, now["5m"].high, now["5m"].lots) == (120, 130, 4)


def test_looking_at_a_forming_bar_does_not_change_it() -> None:
    bars = Bars((ONE, FIVE), START, 100)
    bars.take(trade(0, 110))
    bars.close()
    bars.take(trade(1, 120))
    assert forming(bars) == forming(bars)


def test_a_longer_bar_goes_on_from_what_was_before() -> None:
    bars = Bars((ONE, FIVE, QUARTER), START + 3 * MINUTE_MS, 100, [Bar(START, 70), None])
    bars.take(trade(3, 100))
    assert (forming(bars)["5m"].open, forming(bars)["5m"].low) == (70, 70)
    assert (forming(bars)["15m"].open, forming(bars)["15m"].open_ms) == (100, START)
    bars.close()
    assert closed(bars)["5m"].open == 70


def test_a_trade_outside_of_the_open_window_is_a_bug_of_the_caller() -> None:
    bars = Bars((ONE,), START, 100)
    with pytest.raises(AssertionError):
        bars.take(trade(1, 100))


def test_rolling_up_leaves_the_last_bar_incomplete() -> None:
    bars = [Bar(START + n * MINUTE_MS, 100 + n) for n in range(7)]
    rolled = roll_up(bars, FIVE)
    assert [(bar.open_ms, bar.open, bar.close) for bar in rolled] == [
        (START, 100, 104),
        (START + 5 * MINUTE_MS, 105, 106),
    ]
    assert roll_up([], FIVE) == []
