"""Trades to klines: every long kline is the sum of the short ones in it, whatever trades when."""

from __future__ import annotations

from random import Random

import pytest

from gateway.model.interval import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS
from simulator.klines import DayFigures, FormingKlines, RawKline, RollingDay, aggregate
from simulator.random_walk import Trade

ONE, FIVE, QUARTER = (INTERVALS[name] for name in ("1m", "5m", "15m"))
START = 1_732_309_200_000  # a full hour


def trade(minute: float, price: int, lots: int = 2, first_id: int = 1) -> Trade:
    return Trade(START + round(minute * MINUTE_MS), price, lots, 1, 1, first_id)


def closed(klines: FormingKlines) -> dict[str, RawKline]:
    return {interval.name: kline for interval, kline in klines.close()}


def forming(klines: FormingKlines) -> dict[str, RawKline]:
    return {interval.name: kline for interval, kline in klines.forming()}


def test_a_kline_is_the_sum_of_its_trades() -> None:
    kline = RawKline(START, 100)
    for price, lots, taker, first_id in [(100, 5, 2, 40), (120, 1, 1, 42), (90, 4, 0, 44), (110, 2, 2, 46)]:
        kline.take(Trade(START, price, lots, taker, 2, first_id))
    assert (kline.open, kline.high, kline.low, kline.close) == (100, 120, 90, 110)
    assert (kline.lots, kline.quote) == (12, 500 + 120 + 360 + 220)
    assert (kline.taker_lots, kline.taker_quote) == (5, 200 + 120 + 220)
    assert (kline.trades, kline.first_id) == (8, 40)


def test_klines_are_equal_by_value_and_show_their_fields() -> None:
    kline = RawKline(START, 100)
    assert kline == kline.copy(START)
    assert kline != RawKline(START, 101)
    assert kline != kline.figures()
    assert f"open_ms={START}" in repr(kline)


def test_a_copy_does_not_share_state() -> None:
    kline = RawKline(START, 100)
    other = kline.copy(START - 1)
    other.take(trade(0, 200))
    assert kline.high == 100
    assert (other.open_ms, other.high) == (START - 1, 200)


def test_adding_a_later_kline_keeps_the_first_trade_and_last_price() -> None:
    quiet, lively = RawKline(START, 100), RawKline(START + MINUTE_MS, 90)
    lively.take(trade(1, 80, first_id=7))
    quiet.fold(lively)
    assert (quiet.open, quiet.high, quiet.low, quiet.close, quiet.first_id) == (100, 100, 80, 80, 7)
    higher = RawKline(START + 2 * MINUTE_MS, 130)
    higher.take(trade(2, 130, first_id=8))
    quiet.fold(higher)
    assert (quiet.high, quiet.close, quiet.first_id, quiet.trades) == (130, 130, 7, 2)


def test_windows_close_finest_first_and_longer_ones_only_at_their_end() -> None:
    klines = FormingKlines((ONE, FIVE, QUARTER), START, 100)
    order = []
    for minute in range(15):
        klines.take(trade(minute, 100 + minute))
        order.append([interval.name for interval, _ in klines.close()])
    assert order == ([["1m"]] * 4 + [["1m", "5m"]]) * 2 + [["1m"]] * 4 + [["1m", "5m", "15m"]]


def test_long_klines_are_sums_of_short_ones_across_quiet_windows() -> None:
    random = Random(5)
    klines = FormingKlines((ONE, FIVE, QUARTER), START, 1_000)
    done: dict[str, list[RawKline]] = {"1m": [], "5m": [], "15m": []}
    for minute in range(60):
        for n in range(random.choice([0, 0, 1, 5])):
            klines.take(trade(minute + n / 10, random.randint(900, 1_100), random.randint(1, 9), minute * 10 + n))
        for interval, kline in klines.close():
            done[interval.name].append(kline)
    assert [len(done[name]) for name in ("1m", "5m", "15m")] == [60, 12, 4]
    assert any(kline.trades == 0 for kline in done["1m"])
    assert done["5m"] == aggregate(done["1m"], FIVE)
    assert done["15m"] == aggregate(done["5m"], QUARTER) == aggregate(done["1m"], QUARTER)
    for before, kline in zip(done["1m"], done["1m"][1:], strict=False):
        if not kline.trades:
            assert kline.open == kline.high == kline.low == kline.close == before.close


def test_a_window_without_a_trade_closes_at_the_last_price() -> None:
    klines = FormingKlines((ONE, FIVE), START, 4_321)
    assert closed(klines) == {"1m": RawKline(START, 4_321)}


def test_a_kline_opens_with_its_first_trade() -> None:
    klines = FormingKlines((ONE, FIVE), START, 100)
    assert (forming(klines), klines.finest) == ({}, None)
    klines.take(trade(0.5, 120))
    assert klines.finest == forming(klines)["1m"]
    assert {name: kline.high for name, kline in forming(klines).items()} == {"1m": 120, "5m": 120}
    klines.close()
    assert {name: kline.open_ms for name, kline in forming(klines).items()} == {"5m": START}
    klines.take(trade(1.5, 130))
    now = forming(klines)
    assert (now["1m"].open, now["1m"].open_ms) == (130, START + MINUTE_MS)
    assert (now["5m"].open, now["5m"].high, now["5m"].lots) == (120, 130, 4)


def test_reading_a_forming_kline_does_not_change_it() -> None:
    klines = FormingKlines((ONE, FIVE), START, 100)
    klines.take(trade(0, 110))
    klines.close()
    klines.take(trade(1, 120))
    assert forming(klines) == forming(klines)


def test_a_longer_kline_continues_from_its_initial_part() -> None:
    klines = FormingKlines((ONE, FIVE, QUARTER), START + 3 * MINUTE_MS, 100, [RawKline(START, 70), None])
    klines.take(trade(3, 100))
    assert (forming(klines)["5m"].open, forming(klines)["5m"].low) == (70, 70)
    assert (forming(klines)["15m"].open, forming(klines)["15m"].open_ms) == (100, START)
    klines.close()
    assert closed(klines)["5m"].open == 70


def test_a_trade_outside_of_the_open_window_raises() -> None:
    klines = FormingKlines((ONE,), START, 100)
    with pytest.raises(AssertionError):
        klines.take(trade(1, 100))


def test_aggregation_leaves_the_last_kline_incomplete() -> None:
    klines = [RawKline(START + n * MINUTE_MS, 100 + n) for n in range(7)]
    longer_klines = aggregate(klines, FIVE)
    assert [(kline.open_ms, kline.open, kline.close) for kline in longer_klines] == [
        (START, 100, 104),
        (START + 5 * MINUTE_MS, 105, 106),
    ]
    assert aggregate([], FIVE) == []


START = 1_732_233_600_000


def kline(hour: int, random: Random) -> RawKline:
    made = RawKline(START + hour * HOUR_MS, random.randint(90, 110))
    made.high, made.low = made.open + random.randint(0, 9), made.open - random.randint(0, 9)
    made.close = random.randint(made.low, made.high)
    made.lots, made.trades = random.randint(0, 50), random.randint(0, 9)
    made.quote = made.lots * made.open
    return made


def recount(klines: list[RawKline]) -> DayFigures:
    return DayFigures(
        open=klines[0].open,
        high=max(kline.high for kline in klines),
        low=min(kline.low for kline in klines),
        last=klines[-1].close,
        lots=sum(kline.lots for kline in klines),
        quote=sum(kline.quote for kline in klines),
        trades=sum(kline.trades for kline in klines),
    )


def test_figures_include_24_hours_and_the_forming_kline() -> None:
    random = Random(3)
    day, klines = RollingDay(), list[RawKline]()
    for hour in range(100):
        klines.append(kline(hour, random))
        end_ms = START + (hour + 1) * HOUR_MS
        day.add(klines[-1], end_ms)
        klines = [held for held in klines if held.open_ms >= end_ms - DAY_MS]
        assert day.figures(None) == recount(klines)
        forming = kline(hour + 1, random)
        assert day.figures(forming) == recount([*klines, forming])
    assert len(klines) == 24


def test_a_kline_longer_than_a_day_stays_until_the_next_one() -> None:
    random = Random(4)
    day = RollingDay()
    long, short = kline(0, random), kline(72, random)
    day.add(long, START + 72 * HOUR_MS)
    assert day.figures(None) == recount([long])
    day.add(short, START + 73 * HOUR_MS)
    assert day.figures(None) == recount([short])
