"""The market as its readers see it: order of arrival does not matter, and what was shown is never silently taken back.

The model knows nothing of waiting and grace: it keeps all updates and says where they must have led to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import MarketConfig
from gateway.market.market import Market
from gateway.market.merge import KlineState, price
from gateway.model.kline import Kline, KlineUpdate, rank
from gateway.model.ticker import TickerUpdate
from tests.builders import MINUTE_MS, T0, closed_klines, kline, kline_update, ticker, ticker_update

if TYPE_CHECKING:
    from random import Random

GRACE_MS = 2000
LAST = 6
"""News are of klines 1 to `LAST`; state 0 has closed before."""

LOG_SIZES = pytest.mark.parametrize("log_size", [3, 16])


class Pass(NamedTuple):
    """Time goes by."""

    ms: int


class Stored(NamedTuple):
    """The store is read."""

    klines: list[Kline]


Update = TickerUpdate | KlineUpdate
numbers = st.integers(1, LAST)
values = st.integers(90, 110).map(str)
moments = st.integers(T0 + MINUTE_MS, T0 + (LAST + 1) * MINUTE_MS - 1)
tickers = st.builds(ticker_update, values, moments)


@st.composite
def kline_updates(draw: st.DrawFn) -> KlineUpdate:
    number = draw(numbers)
    closed = draw(st.booleans())
    open_time_ms = T0 + number * MINUTE_MS
    close_time_ms = open_time_ms + MINUTE_MS - 1
    seen_ms = draw(
        st.integers(close_time_ms + 1, close_time_ms + 9) if closed else st.integers(open_time_ms, close_time_ms)
    )
    close = draw(values)
    return kline_update(
        kline(number, f"100 111 89 {close}", closed=closed, event_time_ms=seen_ms, trades=draw(st.integers(0, 2)))
    )


def moment(update: Update) -> object:
    """Two updates of one stream and moment have no order but that of their arrival."""
    if isinstance(update, TickerUpdate):
        return True, update.event_time_ms
    return False, update.kline.event_time_ms


updates = st.lists(tickers | kline_updates(), max_size=30, unique_by=moment)
passes = st.sampled_from([1, GRACE_MS - 1, GRACE_MS, 60_000]).map(Pass)
stored = st.sets(st.integers(0, LAST)).map(
    lambda which: Stored([known._replace(event_time_ms=0) for known in closed_klines(sorted(which))])
)
steps = st.lists(tickers | kline_updates() | passes | stored, max_size=40)


def market_after_bar_0(log_size: int = 16) -> Market:
    market = Market(MarketConfig(intervals=("1m",), close_grace_ms=GRACE_MS), log_size)
    market.reseed("BTCUSDT", "1m", closed_klines([0]), T0 + MINUTE_MS)
    market.take_changes()
    return market


def number_of(at_ms: int) -> int:
    return (at_ms - T0) // MINUTE_MS


def expected_closed(updates: list[Update], log_size: int) -> list[Kline]:
    """Of every state the exchange has closed its best word; the newest of them."""
    best = {T0: kline(0, closed=True)}
    for word in (update.kline for update in updates if isinstance(update, KlineUpdate)):
        known = best.get(word.open_time_ms)
        if word.closed and (known is None or rank(word) > rank(known)):
            best[word.open_time_ms] = word
    return [best[open_time_ms] for open_time_ms in sorted(best)][-log_size:]


def expected_forming(updates: list[Update], newest_closed: Kline) -> Kline | None:
    """The newest state there is updates of, unless it has closed: made of all its updates."""
    newest = max((number_of(bar_time(update)) for update in updates), default=0)
    if newest <= number_of(newest_closed.open_time_ms):
        return None
    state = KlineState(T0 + newest * MINUTE_MS, T0 + (newest + 1) * MINUTE_MS - 1)
    for update in updates:
        if isinstance(update, TickerUpdate):
            state.apply_price(price(update.event_time_ms, update.fields["last"]))
        elif update.kline.open_time_ms == state.open_time_ms:
            state.apply_kline(update.kline)
    return state.value()


def bar_time(update: Update) -> int:
    return update.event_time_ms if isinstance(update, TickerUpdate) else update.kline.open_time_ms


def visible(known: Kline | None) -> Kline | None:
    """What clients are told of a kline. A price that is the same as before is updates of its time alone."""
    return known and known._replace(event_time_ms=0)


def wait_out(market: Market, now_ms: int) -> None:
    """Let every grace end, one after the other."""
    for turn in range(LAST + 1):
        market.advance(now_ms + turn * GRACE_MS)


@LOG_SIZES
@given(updates=updates, pauses=st.lists(passes, max_size=30), random=st.randoms(use_true_random=False))
def test_wherever_updates_arrive_and_time_passes_in_between_the_market_ends_the_same(
    log_size: int, updates: list[Update], pauses: list[Pass], random: Random
) -> None:
    closed = expected_closed(updates, log_size)
    forming = expected_forming(updates, closed[-1])
    newest = max(
        (one for one in updates if isinstance(one, TickerUpdate)), key=lambda one: one.event_time_ms, default=None
    )
    steps: list[Update | Pass] = [*updates, *pauses]
    random.shuffle(steps)
    market, now_ms = market_after_bar_0(log_size), T0 + MINUTE_MS
    for step in steps:
        if isinstance(step, Pass):
            now_ms += step.ms
            market.advance(now_ms)
        else:
            market.apply(step, now_ms)
    wait_out(market, now_ms)
    assert market.closed("BTCUSDT", "1m") == tuple(closed)
    assert market.forming("BTCUSDT", "1m") == forming
    assert market.ticker("BTCUSDT") == (newest and ticker(newest.fields["last"], event_time_ms=newest.event_time_ms))


@given(updates=updates)
def test_the_same_updates_once_more_changes_nothing(updates: list[Update]) -> None:
    market, now_ms = market_after_bar_0(), T0 + MINUTE_MS
    for update in updates:
        market.apply(update, now_ms)
    wait_out(market, now_ms)
    before = [market.closed("BTCUSDT", "1m"), market.forming("BTCUSDT", "1m"), market.ticker("BTCUSDT")]
    market.take_changes()
    for update in updates:
        market.apply(update, now_ms + LAST * MINUTE_MS)
    market.advance(now_ms + LAST * MINUTE_MS)
    changes = market.take_changes()
    assert not changes.tickers
    assert not changes.series
    assert [market.closed("BTCUSDT", "1m"), market.forming("BTCUSDT", "1m"), market.ticker("BTCUSDT")] == before


class Reader:
    """A client that follows the log from its place, and starts over only when it is told to."""

    def __init__(self, market: Market) -> None:
        series = market.series("BTCUSDT", "1m")
        assert series is not None
        self.market = market
        self.series = series
        self.resync()

    def resync(self) -> None:
        self.place = self.series.closed.end
        self.closed = list(self.series.closed)
        self.forming = self.series.forming
        self.newest_ms = max(state.open_time_ms for state in [*self.closed, *([self.forming] if self.forming else [])])

    def look(self) -> None:
        changes = self.market.take_changes()
        if self.series in changes.corrected or self.place < self.series.closed.start:
            self.resync()
        elif self.series in changes.series:
            for known in self.series.closed.since(self.place):
                # An older state than one already seen: no chart takes it as an update.
                assert known.open_time_ms >= self.newest_ms
                assert known.open_time_ms > self.closed[-1].open_time_ms
                self.closed.append(known)
                self.newest_ms = known.open_time_ms
            self.place = self.series.closed.end
            self.forming = self.series.forming
            if self.forming is not None:
                assert self.forming.open_time_ms >= self.newest_ms
                self.newest_ms = self.forming.open_time_ms
        newest = self.closed[-len(self.series.closed) :]
        assert [visible(known) for known in newest] == [visible(known) for known in self.series.closed]


@LOG_SIZES
@given(steps=steps, looks=st.data())
def test_a_reader_that_follows_the_changes_has_what_the_market_has(
    log_size: int, steps: list[Update | Pass | Stored], looks: st.DataObject
) -> None:
    market, now_ms = market_after_bar_0(log_size), T0 + MINUTE_MS
    reader = Reader(market)
    at = looks.draw(st.sets(st.integers(0, len(steps))))
    for place, step in enumerate(steps):
        match step:
            case Pass(ms):
                now_ms += ms
                market.advance(now_ms)
            case Stored(klines):
                market.reseed("BTCUSDT", "1m", klines, now_ms)
            case _:
                market.apply(step, now_ms)
        if place in at:
            reader.look()
            assert visible(reader.forming) == visible(market.forming("BTCUSDT", "1m"))
    reader.look()
    assert visible(reader.forming) == visible(market.forming("BTCUSDT", "1m"))


@LOG_SIZES
@given(steps=steps)
def test_closed_klines_ascend_and_the_forming_kline_is_open_and_after_them(
    log_size: int, steps: list[Update | Pass | Stored]
) -> None:
    market, now_ms = market_after_bar_0(log_size), T0 + MINUTE_MS
    spoken: set[int] = set()
    for step in steps:
        match step:
            case Pass(ms):
                now_ms += ms
                market.advance(now_ms)
            case Stored(klines):
                market.reseed("BTCUSDT", "1m", klines, now_ms)
            case KlineUpdate():
                spoken.add(step.kline.open_time_ms)
                market.apply(step, now_ms)
            case TickerUpdate():
                market.apply(step, now_ms)
        closed = list(market.closed("BTCUSDT", "1m"))
        opens = [known.open_time_ms for known in closed]
        assert opens == sorted(set(opens))
        assert all(known.closed and not known.provisional for known in closed)
        forming = market.forming("BTCUSDT", "1m")
        if forming is not None:
            assert not forming.closed
            assert forming.open_time_ms > opens[-1]
            assert forming.provisional is (forming.open_time_ms not in spoken)


@given(ahead=tickers, forming=kline_updates(), waited_ms=st.integers(0, 3 * GRACE_MS))
def test_price_after_the_close_waits_for_the_closing_kline_until_the_grace_ends(
    ahead: TickerUpdate, forming: KlineUpdate, waited_ms: int
) -> None:
    market, now_ms = market_after_bar_0(), T0 + MINUTE_MS
    open_bar = forming.kline._replace(closed=False, event_time_ms=forming.kline.open_time_ms)
    market.apply(kline_update(open_bar), now_ms)
    market.apply(ahead, now_ms)
    market.advance(now_ms + waited_ms)
    shown = market.forming("BTCUSDT", "1m")
    assert shown is not None
    assert market.ticker("BTCUSDT") == ticker(ahead.fields["last"], event_time_ms=ahead.event_time_ms), "at once"
    if ahead.event_time_ms <= open_bar.close_time_ms or waited_ms < GRACE_MS:
        assert shown.open_time_ms == open_bar.open_time_ms
        assert not shown.provisional
    else:
        assert shown.open_time_ms == T0 + number_of(ahead.event_time_ms) * MINUTE_MS
        assert shown.provisional


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(90, 110)), max_size=150), st.sets(st.integers(0, 149)))
def test_klines_that_hear_of_many_prices_at_once_end_as_if_they_had_heard_of_each(
    prices: list[tuple[int, int]], looks: set[int]
) -> None:
    config = MarketConfig(intervals=("1m", "5m"), close_grace_ms=GRACE_MS)
    eager, lazy = Market(config, 4), Market(config, 4, lazy=True)
    for place, (second, value) in enumerate(prices):
        for market in (eager, lazy):
            market.apply(ticker_update(str(value), T0 + second * 1000), T0)
            if market is eager or place in looks:
                market.forming("BTCUSDT", "1m")
    for interval in ("1m", "5m"):
        assert lazy.forming("BTCUSDT", interval) == eager.forming("BTCUSDT", interval)
