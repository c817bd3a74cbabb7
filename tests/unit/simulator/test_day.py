"""The rolling 24 hours against a plain recount of the bars inside."""

from __future__ import annotations

from random import Random

from gateway.model.interval import DAY_MS, HOUR_MS
from simulator.day import Day, Figures
from simulator.klines import Bar

START = 1_732_233_600_000


def bar(hour: int, random: Random) -> Bar:
    made = Bar(START + hour * HOUR_MS, random.randint(90, 110))
    made.high, made.low = made.open + random.randint(0, 9), made.open - random.randint(0, 9)
    made.close = random.randint(made.low, made.high)
    made.lots, made.trades = random.randint(0, 50), random.randint(0, 9)
    made.quote = made.lots * made.open
    return made


def recount(bars: list[Bar]) -> Figures:
    return Figures(
        open=bars[0].open,
        high=max(bar.high for bar in bars),
        low=min(bar.low for bar in bars),
        last=bars[-1].close,
        lots=sum(bar.lots for bar in bars),
        quote=sum(bar.quote for bar in bars),
        trades=sum(bar.trades for bar in bars),
    )


def test_figures_are_those_of_the_bars_of_24_hours_and_of_the_forming_one() -> None:
    random = Random(3)
    day, bars = Day(), list[Bar]()
    for hour in range(100):
        bars.append(bar(hour, random))
        end_ms = START + (hour + 1) * HOUR_MS
        day.add(bars[-1], end_ms)
        bars = [held for held in bars if held.open_ms >= end_ms - DAY_MS]
        assert day.figures(None) == recount(bars)
        forming = bar(hour + 1, random)
        assert day.figures(forming) == recount([*bars, forming])
    assert len(bars) == 24


def test_a_bar_longer_than_a_day_stays_until_the_next_comes() -> None:
    random = Random(4)
    day = Day()
    long, short = bar(0, random), bar(72, random)
    day.add(long, START + 72 * HOUR_MS)
    assert day.figures(None) == recount([long])
    day.add(short, START + 73 * HOUR_MS)
    assert day.figures(None) == recount([short])
