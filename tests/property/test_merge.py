"""The candle rules against a slow model that keeps all updates of a state and starts over for every answer."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.market.merge import CANDIDATES_MAX, KlineState, Price, price
from gateway.model.kline import Kline
from tests.builders import MINUTE_MS, T0, kline

if TYPE_CHECKING:
    from random import Random

CLOSE_MS = T0 + MINUTE_MS - 1


class Diff(NamedTuple):
    event_time_ms: int
    close: str


Change = Kline | Price | Diff


class Model:
    """The table at the top of `merge.py`, said once more as slowly and plainly as possible."""

    def __init__(self) -> None:
        self.words: list[Kline] = []
        self.prices: list[Price] = []

    def apply(self, updates: Change) -> None:
        match updates:
            case Kline():
                self.words.append(updates)
            case Price() if T0 <= updates.event_time_ms <= CLOSE_MS:
                self.prices.append(updates)
            case Diff() if self.words:
                self._lay_over(updates)

    def value(self) -> Kline | None:
        word = max(self.words, key=_rank, default=None)
        if word is not None and word.closed:
            return word
        after = T0 - 1 if word is None else word.event_time_ms
        # Of equal times the later arrival is the later price: sorting keeps the order of arrival.
        prices = sorted((p for p in self.prices if p.event_time_ms > after), key=lambda p: p.event_time_ms)
        if not prices:
            return word
        first, last = prices[0], prices[-1]
        # Of equal extremes the last one is shown.
        high = max(reversed(prices), key=lambda p: p.value)
        low = min(reversed(prices), key=lambda p: p.value)
        if word is None:
            return Kline(
                T0, CLOSE_MS, first.text, high.text, low.text, last.text,
                provisional=True, event_time_ms=last.event_time_ms,
            )  # fmt: skip
        return word._replace(
            high=high.text if high.value > Decimal(word.high) else word.high,
            low=low.text if low.value < Decimal(word.low) else word.low,
            close=last.text,
            event_time_ms=last.event_time_ms,
        )

    def _lay_over(self, diff: Diff) -> None:
        word = max(self.words, key=_rank)
        if word.closed or diff.event_time_ms < word.event_time_ms:
            return
        changed = word._replace(event_time_ms=diff.event_time_ms, close=diff.close)
        if Decimal(diff.close) > Decimal(word.high):
            changed = changed._replace(high=diff.close)
        if Decimal(diff.close) < Decimal(word.low):
            changed = changed._replace(low=diff.close)
        # What it lies over is gone, even where that would win the tie.
        self.words = [changed]


def _rank(word: Kline) -> tuple[object, ...]:
    return word.closed, word.event_time_ms, word.trades, Decimal(word.volume), word


# Few distinct values, so that ties, equal extremes and repetitions are common; two spellings of each price.
values = st.integers(95, 112).flatmap(lambda value: st.sampled_from([str(value), f"{value}.0"]))
moments = st.integers(-3, 63).map(lambda second: T0 + second * 1000)
inside = st.integers(T0, CLOSE_MS)


@st.composite
def words(draw: st.DrawFn, times: st.SearchStrategy[int] = moments) -> Kline:
    prices = sorted(draw(st.lists(values, min_size=4, max_size=4)), key=Decimal)
    low, one, other, high = prices
    open_, close = draw(st.permutations([one, other]))
    return kline(
        0,
        f"{open_} {high} {low} {close}",
        closed=draw(st.integers(0, 9)) == 0,
        trades=draw(st.integers(0, 3)),
        volume=draw(st.sampled_from(["1", "9.5", "10"])),
        event_time_ms=draw(times),
    )


def prices(times: st.SearchStrategy[int] = moments) -> st.SearchStrategy[Price]:
    return st.builds(price, times, values)


diffs = st.builds(Diff, moments, values)
# A list of at most CANDIDATES_MAX prices never overflows the candidates, so that the comparison is exact.
anything = st.lists(prices() | prices() | words() | diffs, max_size=CANDIDATES_MAX)
sets = st.tuples(
    st.lists(prices(), max_size=CANDIDATES_MAX, unique_by=lambda p: p.event_time_ms), st.lists(words(), max_size=8)
).map(lambda parts: [*parts[0], *parts[1]])


def apply(state: KlineState, updates: Change) -> bool:
    match updates:
        case Kline():
            return state.apply_kline(updates)
        case Price():
            return state.apply_price(updates)
        case Diff():
            return state.apply_delta({"close": updates.close}, updates.event_time_ms)


def value_of(updates: list[Change]) -> Kline | None:
    state = KlineState(T0, CLOSE_MS)
    for one in updates:
        apply(state, one)
    return state.value()


@given(anything, st.data())
def test_after_every_piece_of_updates_the_kline_is_what_the_model_says(
    updates: list[Change], data: st.DataObject
) -> None:
    state, model = KlineState(T0, CLOSE_MS), Model()
    looked_at = data.draw(st.sets(st.integers(0, len(updates))))
    for place, one in enumerate(updates):
        apply(state, one)
        model.apply(one)
        # Not after each one: a value that is remembered must not hide that it is out of date.
        if place in looked_at:
            assert state.value() == model.value()
    assert state.value() == model.value()


@given(sets, st.randoms(use_true_random=False))
def test_any_arrival_order_ends_in_the_same_kline(updates: list[Change], random: Random) -> None:
    expected = value_of(updates)
    random.shuffle(updates)
    assert value_of(updates) == expected


@given(sets, st.randoms(use_true_random=False))
def test_what_arrives_again_and_again_in_any_order_changes_nothing(updates: list[Change], random: Random) -> None:
    expected = value_of(updates)
    more = [*updates, *updates]
    random.shuffle(more)
    assert value_of(more) == expected


@given(anything, st.data())
def test_updates_taken_twice_in_a_row_changes_nothing_and_says_so(updates: list[Change], data: st.DataObject) -> None:
    state = KlineState(T0, CLOSE_MS)
    for one in updates:
        apply(state, one)
        before = state.value()
        assert not apply(state, one)
        assert state.value() == before


@given(anything, prices())
def test_a_price_says_whether_it_changed_the_kline(updates: list[Change], last: Price) -> None:
    state = KlineState(T0, CLOSE_MS)
    for one in updates:
        apply(state, one)
    before = state.value()
    said = state.apply_price(last)
    after = state.value()
    if before is not None and after is not None:
        before, after = before._replace(event_time_ms=0), after._replace(event_time_ms=0)
    # It may say so once too often (the first price after a word of the exchange), never once too seldom.
    assert said or before == after


@given(anything, words())
def test_a_closed_kline_never_changes_by_a_price(updates: list[Change], word: Kline) -> None:
    state = KlineState(T0, CLOSE_MS)
    apply(state, word._replace(closed=True, event_time_ms=CLOSE_MS + 60_000))
    before = state.value()
    for one in updates:
        if isinstance(one, Price):
            assert not apply(state, one)
            assert state.value() == before


@given(anything, prices(st.integers(-(10**9), T0 - 1) | st.integers(CLOSE_MS + 1, 10**14)))
def test_a_price_outside_the_window_never_touches_the_kline(updates: list[Change], outside: Price) -> None:
    state = KlineState(T0, CLOSE_MS)
    for one in updates:
        apply(state, one)
    before = state.value()
    assert not state.apply_price(outside)
    assert state.value() == before


@given(anything, prices(inside))
def test_a_price_only_widens_the_extremes_and_never_touches_volumes(updates: list[Change], last: Price) -> None:
    state = KlineState(T0, CLOSE_MS)
    for one in updates:
        apply(state, one)
    before = state.value()
    state.apply_price(last)
    after = state.value()
    assert after is not None
    if before is not None:
        assert Decimal(after.high) >= Decimal(before.high)
        assert Decimal(after.low) <= Decimal(before.low)
        assert after._replace(open="", high="", low="", close="", event_time_ms=0) == before._replace(
            open="", high="", low="", close="", event_time_ms=0
        )


@given(anything, prices())
def test_an_older_price_never_moves_the_close(updates: list[Change], older: Price) -> None:
    state = KlineState(T0, CLOSE_MS)
    for one in updates:
        apply(state, one)
    before = state.value()
    state.apply_price(older)
    after = state.value()
    if before is not None and older.event_time_ms < before.event_time_ms:
        assert after is not None
        assert (after.close, after.event_time_ms) == (before.close, before.event_time_ms)


@given(anything)
def test_a_kline_never_contradicts_itself(updates: list[Change]) -> None:
    state = KlineState(T0, CLOSE_MS)
    for one in updates:
        apply(state, one)
        value = state.value()
        if value is not None:
            ends = [Decimal(value.open), Decimal(value.close)]
            assert Decimal(value.low) <= min(ends)
            assert max(ends) <= Decimal(value.high)
            assert value.provisional is not state.confirmed


@pytest.mark.parametrize("in_order", [True, False], ids=["in-order", "any-order"])
@given(
    candidates=st.lists(
        st.tuples(inside, st.integers(1, 10**6)), min_size=CANDIDATES_MAX, max_size=300, unique_by=lambda s: s[0]
    ),
    covered=inside,
)
def test_too_many_candidates_make_extremes_too_wide_at_most_and_never_too_narrow(
    in_order: bool, candidates: list[tuple[int, int]], covered: int
) -> None:
    updates = [price(at_ms, str(value)) for at_ms, value in (sorted(candidates) if in_order else candidates)]
    word = kline(0, "500 500 500 500", event_time_ms=covered)
    state, model = KlineState(T0, CLOSE_MS), Model()
    for one in updates:
        apply(state, one)
        model.apply(one)
        assert max(len(state._highs), len(state._lows)) <= CANDIDATES_MAX
    assert state.value() == model.value(), "nothing covered yet: exact"
    apply(state, word)
    model.apply(word)
    ours, exact = state.value(), model.value()
    assert ours is not None
    assert exact is not None
    assert ours._replace(high="", low="") == exact._replace(high="", low="")
    assert Decimal(ours.high) >= Decimal(exact.high)
    assert Decimal(ours.low) <= Decimal(exact.low)
    said = [one.value for one in updates] + [Decimal(500)]
    assert Decimal(ours.high) in said, "a price that there was"
    assert Decimal(ours.low) in said
