"""What time it is by the feed: who votes, how many counts it takes, and what is impossible then."""

from __future__ import annotations

import math

import pytest

from gateway.model.feed_time import AGREEING_COUNTS, BEHIND_COUNTS, BEHIND_MS, FeedClock, FeedTime
from tests.builders import MINUTE_MS, T0

DAY_MS = 24 * 60 * MINUTE_MS
TOLERANCE_MS = 10_000


def counted(times: FeedTime, votes: dict[str, int], counts: int = AGREEING_COUNTS) -> list[int]:
    """The changes after as many counts of equal votes."""
    changes = []
    for _ in range(counts):
        times.votes.update(votes)
        changes.append(times.count())
    return changes


def test_the_limit_is_this_machines_time_and_a_tolerance() -> None:
    assert FeedTime(TOLERANCE_MS).limit_ms(T0) == T0 + TOLERANCE_MS


def test_a_majority_ahead_corrects_the_clock_after_some_counts() -> None:
    times = FeedTime(TOLERANCE_MS)
    assert counted(times, {"a": DAY_MS, "b": DAY_MS, "c": 0}) == [0, 0, DAY_MS]
    assert times.limit_ms(T0) == T0 + DAY_MS + TOLERANCE_MS


@pytest.mark.parametrize(
    "votes",
    [
        pytest.param({"a": DAY_MS, "b": 0, "c": 0}, id="a-minority"),
        pytest.param({"a": DAY_MS, "b": 0}, id="half"),
        pytest.param({"a": DAY_MS, "b": 2 * DAY_MS, "c": MINUTE_MS}, id="all-ahead-and-not-alike"),
        pytest.param({"a": -DAY_MS, "b": -DAY_MS}, id="behind"),
        pytest.param({"a": TOLERANCE_MS // 2, "b": TOLERANCE_MS // 2}, id="a-little"),
        pytest.param({}, id="nobody"),
    ],
)
def test_without_a_majority_well_ahead_the_clock_stays(votes: dict[str, int]) -> None:
    assert counted(FeedTime(TOLERANCE_MS), votes, 20) == [0] * 20


def test_one_message_is_no_majority_however_few_topics_there_are() -> None:
    times = FeedTime(TOLERANCE_MS)
    for _ in range(20):
        assert counted(times, {"a": DAY_MS}, 1) == [0]
        assert counted(times, {"a": 0}, 1) == [0]


def test_counts_that_disagree_start_over() -> None:
    times = FeedTime(TOLERANCE_MS)
    changes = [*counted(times, {"a": DAY_MS}, 2), *counted(times, {"a": 2 * DAY_MS}, 2)]
    assert changes == [0, 0, 0, 0]
    assert counted(times, {"a": 2 * DAY_MS}, 1) == [2 * DAY_MS]


def test_the_correction_ends_when_the_feed_is_right_again() -> None:
    times = FeedTime(TOLERANCE_MS)
    counted(times, {"a": DAY_MS})
    assert counted(times, {"a": DAY_MS - 1000}) == [0, 0, 0], "nearly the same"
    assert counted(times, {"a": 0}) == [0, 0, -DAY_MS]
    assert times.ahead_ms == 0


def test_a_kline_without_an_event_time_votes_by_its_window() -> None:
    times = FeedTime(TOLERANCE_MS)
    length_ms = MINUTE_MS - 1
    times.vote_of_window("forming", T0, T0 + length_ms, length_ms, T0 - 5000)
    times.vote_of_window("now", T0, T0 + length_ms, length_ms, T0 + 5000)
    times.vote_of_window("past", T0, T0 + length_ms, length_ms, T0 + 2 * MINUTE_MS)
    assert times.votes == {"forming": 5000, "now": 0, "past": -MINUTE_MS - 1}


def test_only_klines_of_the_shortest_interval_vote_by_their_window() -> None:
    times = FeedTime(TOLERANCE_MS)
    times.vote_of_window("5m", T0, T0 + 5 * MINUTE_MS, 5 * MINUTE_MS, T0)
    times.vote_of_window("1m", T0, T0 + MINUTE_MS, MINUTE_MS, T0)
    times.vote_of_window("15m", T0, T0 + 15 * MINUTE_MS, 15 * MINUTE_MS, T0)
    assert set(times.votes) == {"5m", "1m"}
    times.votes.clear()
    times.vote_of_window("5m", T0, T0 + 5 * MINUTE_MS, 5 * MINUTE_MS, T0)
    assert not times.votes


def test_a_window_votes_for_the_corrected_time_where_it_holds_that() -> None:
    times = FeedTime(TOLERANCE_MS)
    counted(times, {"a": DAY_MS})
    times.vote_of_window("1m", T0 + DAY_MS, T0 + DAY_MS + MINUTE_MS, MINUTE_MS, T0 + DAY_MS + 1000)
    assert times.votes == {"1m": DAY_MS}


def test_a_feed_far_behind_is_distrusted_after_its_own_time() -> None:
    times = FeedTime(TOLERANCE_MS)
    counted(times, {"a": -DAY_MS}, BEHIND_COUNTS - 1)
    assert times.distrusted_ms(T0) == math.inf
    counted(times, {"a": -DAY_MS - 1000}, 1)
    assert times.distrusted_ms(T0) == T0 - DAY_MS + BEHIND_MS
    assert times.limit_ms(T0) == T0 + TOLERANCE_MS, "it may be late only"
    counted(times, {"a": -DAY_MS}, 50)
    counted(times, {"a": -1000}, 1)
    assert times.distrusted_ms(T0) == math.inf


def test_a_clock_by_the_feed() -> None:
    times = FeedTime(TOLERANCE_MS)
    clock = FeedClock(times, lambda: T0)
    assert (clock(), clock.limit_ms()) == (T0, T0 + TOLERANCE_MS)
    counted(times, {"a": DAY_MS})
    assert (clock(), clock.limit_ms()) == (T0 + DAY_MS, T0 + DAY_MS + TOLERANCE_MS)


def test_a_topic_that_also_brings_correct_times_does_not_vote_for_wrong_ones() -> None:
    times = FeedTime(TOLERANCE_MS)
    for _ in range(20):
        for ahead_ms in (DAY_MS, 40, -DAY_MS, MINUTE_MS):
            times.vote("ticker", ahead_ms)
        assert times.votes == {"ticker": 40}
        assert times.count() == 0


def test_when_this_machines_time_is_set_forward_the_feed_is_less_ahead_and_votes_begin_anew() -> None:
    times = FeedTime(TOLERANCE_MS)
    counted(times, {"a": DAY_MS})
    counted(times, {"a": 2 * DAY_MS}, AGREEING_COUNTS - 1)
    times.vote("a", 2 * DAY_MS)
    times.clock_set(MINUTE_MS)
    assert times.ahead_ms == DAY_MS - MINUTE_MS
    assert counted(times, {"a": DAY_MS - MINUTE_MS}) == [0] * AGREEING_COUNTS
    times.clock_set(DAY_MS - MINUTE_MS - 1)
    assert times.ahead_ms == 0


def test_when_this_machines_time_is_set_forward_a_feed_that_was_behind_is_not_distrusted() -> None:
    times = FeedTime(TOLERANCE_MS)
    counted(times, {"a": -2 * BEHIND_MS}, BEHIND_COUNTS)
    assert times.distrusted_ms(T0) < math.inf
    times.clock_set(MINUTE_MS)
    assert times.distrusted_ms(T0) == math.inf


@pytest.mark.parametrize(
    ("ahead_ms", "confirmed"),
    [(DAY_MS, True), (DAY_MS - 4999, True), (DAY_MS - 6000, False), (DAY_MS + 4999, True), (DAY_MS + 6000, False)],
)
def test_the_feed_confirms_a_time_that_is_about_its_own(ahead_ms: int, confirmed: bool) -> None:
    times = FeedTime(TOLERANCE_MS)
    assert not times.confirms(ahead_ms), "nothing is known"
    counted(times, {"a": DAY_MS})
    assert times.confirms(ahead_ms) is confirmed


def test_klines_without_event_times_confirm_any_time_within_them() -> None:
    times = FeedTime(TOLERANCE_MS)
    for _ in range(AGREEING_COUNTS):
        open_ms = T0 + DAY_MS
        times.vote_of_window("a", open_ms, open_ms + MINUTE_MS - 1, MINUTE_MS, T0)
        times.count()
    assert times.confirms(DAY_MS + MINUTE_MS)
    assert not times.confirms(DAY_MS + MINUTE_MS + 1)
