"""Klines made of shorter ones are those that the exchange makes of the same trades, in history and live."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import MarketConfig
from gateway.market.aggregate import Parts, aggregate_closed
from gateway.market.market import Market
from gateway.model.interval import INTERVALS, Interval
from gateway.model.kline import Kline
from tests.builders import T0, kline_update
from tests.examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

PAIRS = [
    pytest.param("1m", "3m", id="3m"),
    pytest.param("1m", "5m", id="5m"),
    pytest.param("15m", "1h", id="1h"),
    pytest.param("1h", "4h", id="4h"),
    pytest.param("1h", "1d", id="1d"),
    pytest.param("1d", "3d", id="3d"),
    pytest.param("1d", "1w", id="1w"),
    pytest.param("12h", "1M", id="1M"),
]


class Trade(NamedTuple):
    """One trade: price in cents, quantity in hundredths; `buyer`: whether the taker bought."""

    at_ms: int
    cents: int
    quantity: int
    buyer: bool


def exchange_kline(trades: Sequence[tuple[int, Trade]], span: Interval, open_ms: int, before: int) -> Kline:
    """The exchange's kline: of its numbered trades, and flat at the price `before` where there are none."""
    bought = [trade for _, trade in trades if trade.buyer]
    cents = [trade.cents for _, trade in trades] or [before]

    def volumes(of: Sequence[Trade]) -> tuple[str, str]:
        quantity = sum(trade.quantity for trade in of)
        value = sum(trade.quantity * trade.cents for trade in of)
        return f"{Decimal(quantity) / 100:.2f}", f"{Decimal(value) / 10_000:.4f}"

    volume, quote_volume = volumes([trade for _, trade in trades])
    taker_volume, taker_quote_volume = volumes(bought)
    ends = (cents[0], max(cents), min(cents), cents[-1])
    first, high, low, last = (f"{Decimal(price) / 100:.2f}" for price in ends)
    return Kline(
        open_ms,
        span.close_time(open_ms),
        first,
        high,
        low,
        last,
        volume=volume,
        quote_volume=quote_volume,
        trades=len(trades),
        taker_volume=taker_volume,
        taker_quote_volume=taker_quote_volume,
        first_trade_id=trades[0][0] if trades else -1,
        last_trade_id=trades[-1][0] if trades else -1,
        closed=True,
    )


def exchange_klines(trades: Sequence[Trade], span: Interval, first_ms: int, end_ms: int) -> list[Kline]:
    """Every state that opens from the first on and closes before the end."""
    klines = []
    before = 100
    open_ms = first_ms
    while (next_ms := span.next_open(open_ms)) <= end_ms:
        within = [(number, trade) for number, trade in enumerate(trades) if open_ms <= trade.at_ms < next_ms]
        klines.append(exchange_kline(within, span, open_ms, before))
        before = within[-1][1].cents if within else before
        open_ms = next_ms
    return klines


@st.composite
def markets(draw: st.DrawFn, part: str, whole: str) -> tuple[list[Trade], int, int]:
    """Trades over a few bars of the longer interval, from the beginning of one."""
    span = INTERVALS[whole]
    first_ms = span.open_time(T0 + draw(st.integers(0, 400)) * 86_400_000)
    end_ms = first_ms
    for _ in range(draw(st.integers(1, 4))):
        end_ms = span.next_open(end_ms)
    step = INTERVALS[part].length_ms // 2
    trades = st.builds(
        Trade,
        # Many at the edges of bars.
        st.integers(first_ms // step, end_ms // step - 1).map(lambda at: at * step) | st.integers(first_ms, end_ms - 1),
        st.integers(1, 500),
        st.integers(1, 10**12),
        st.booleans(),
    )
    return sorted(draw(st.lists(trades, max_size=30))), first_ms, end_ms


@pytest.mark.parametrize(("part", "whole"), PAIRS)
@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(data=st.data())
def test_klines_made_of_klines_are_those_made_of_the_trades(part: str, whole: str, data: st.DataObject) -> None:
    trades, first_ms, end_ms = data.draw(markets(part, whole))
    parts = exchange_klines(trades, INTERVALS[part], first_ms, end_ms)
    assert aggregate_closed(parts, INTERVALS[part], INTERVALS[whole]) == exchange_klines(
        trades, INTERVALS[whole], first_ms, end_ms
    )


@pytest.mark.parametrize(("part", "whole"), PAIRS)
@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(data=st.data())
def test_a_missing_part_takes_its_own_kline_away_and_no_other(part: str, whole: str, data: st.DataObject) -> None:
    trades, first_ms, end_ms = data.draw(markets(part, whole))
    parts = exchange_klines(trades, INTERVALS[part], first_ms, end_ms)
    lost = data.draw(st.sets(st.sampled_from(parts), max_size=3))
    touched = {INTERVALS[whole].open_time(kline.open_time_ms) for kline in lost}
    there = [kline for kline in parts if kline not in lost]
    assert aggregate_closed(there, INTERVALS[part], INTERVALS[whole]) == [
        kline
        for kline in exchange_klines(trades, INTERVALS[whole], first_ms, end_ms)
        if kline.open_time_ms not in touched
    ]


@pytest.mark.parametrize(("part", "whole"), PAIRS)
@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(data=st.data())
def test_a_live_series_closes_the_same_klines_whatever_was_known_at_its_start(
    part: str, whole: str, data: st.DataObject
) -> None:
    trades, first_ms, end_ms = data.draw(markets(part, whole))
    parts = exchange_klines(trades, INTERVALS[part], first_ms, end_ms)
    known = data.draw(st.integers(0, len(parts)))
    log_size = data.draw(st.integers(2, 6))
    market = Market(MarketConfig(intervals=(part, whole)), log_size, lazy=data.draw(st.booleans()))
    market.reseed("BTCUSDT", part, parts[:known][-log_size:], first_ms)
    made = aggregate_closed(parts[:known], INTERVALS[part], INTERVALS[whole])
    market.reseed("BTCUSDT", whole, made, first_ms, Parts(part, parts[:known]))
    for kline in parts[known:]:
        if data.draw(st.booleans()):
            forming = kline._replace(closed=False, trades=0, volume="0", event_time_ms=kline.open_time_ms + 1)
            market.apply(kline_update(forming, interval=part), kline.open_time_ms)
        seen = kline._replace(event_time_ms=kline.close_time_ms + 1)
        market.apply(kline_update(seen, interval=part), kline.close_time_ms)
        # A beat comes more often than the log turns over.
        if data.draw(st.booleans()) or not kline.open_time_ms // INTERVALS[part].length_ms % log_size:
            market.advance(kline.close_time_ms)
            market.take_changes()
    market.take_changes()
    series = market.series("BTCUSDT", whole)
    assert series is not None
    wanted = exchange_klines(trades, INTERVALS[whole], first_ms, end_ms)[-log_size:]
    assert [kline._replace(event_time_ms=0) for kline in series.closed] == wanted
    assert not series.gap or log_size < len(parts)
