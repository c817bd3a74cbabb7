"""Whether what arrives keeps up with what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.feed.mode_detector import KLINES, TICKERS, FeedModeDetector
from gateway.redis.contract import Topic

if TYPE_CHECKING:
    from collections.abc import Callable

AFTER_S = 5.0
BTC = Topic("BTCUSDT", "")
ETH = Topic("ETHUSDT", "")
BTC_1M = Topic("BTCUSDT", "1m")
MINUTE_MS = 60_000


def seen(
    seconds: int, keys: Callable[[int], dict[Topic, bytes | None]], held: Callable[[int], dict[Topic, int]]
) -> set[str]:
    """The verdict after so many samples, one a second."""
    evidence = FeedModeDetector(AFTER_S)
    for now_s in range(seconds + 1):
        evidence.sample(now_s, keys(now_s), held(now_s))
    return evidence.behind(seconds)


def moving(now_s: int) -> dict[Topic, bytes | None]:
    return {BTC: b"%d" % (1000 + now_s)}


def test_keys_that_move_and_nothing_arrives() -> None:
    assert seen(5, moving, lambda _: {}) == set()
    assert seen(6, moving, lambda _: {}) == {TICKERS}


def test_keys_that_move_and_what_is_held_moves_too() -> None:
    # Not in step and by another clock: only that it moves counts.
    assert seen(20, moving, lambda now_s: {BTC: 7 + now_s // 3}) == set()


def test_keys_that_stand_still_say_nothing() -> None:
    assert seen(20, lambda _: {BTC: b"1", BTC_1M: None}, lambda _: {}) == set()


def test_keys_that_appear_have_moved_and_those_that_vanish_have_not() -> None:
    assert seen(10, lambda now_s: {BTC: b"1" if now_s else None}, lambda _: {}) == {TICKERS}
    assert seen(10, lambda now_s: {BTC: None if now_s else b"1"}, lambda _: {}) == set()


def test_one_topic_that_arrives_speaks_for_its_kind_and_not_for_the_other() -> None:
    def keys(now_s: int) -> dict[Topic, bytes | None]:
        return {**moving(now_s), ETH: b"%d" % now_s, BTC_1M: b"%d" % (now_s // 3 * MINUTE_MS)}

    assert seen(20, keys, lambda now_s: {ETH: now_s}) == {KLINES}


def test_what_arrived_once_and_never_again_is_behind() -> None:
    assert seen(20, moving, lambda now_s: {BTC: min(now_s, 3)}) == {TICKERS}


@pytest.mark.parametrize(
    ("mark", "held", "behind"),
    [
        pytest.param(b"119999", 119_999, set(), id="there"),
        pytest.param(b"120000", 119_999, set(), id="closes-a-millisecond-later"),
        pytest.param(b"179999", 119_999, {KLINES}, id="one-missing"),
        pytest.param(b"59999", 119_999, set(), id="older"),
        pytest.param(b"soon", 119_999, set(), id="no-number"),
    ],
)
def test_a_closed_kline_has_arrived_when_it_is_held(mark: bytes, held: int, behind: set[str]) -> None:
    assert seen(10, lambda now_s: {BTC_1M: mark if now_s else b"1"}, lambda _: {BTC_1M: held}) == behind


def test_what_arrived_between_two_samples_has_arrived() -> None:
    # The key and what is held both moved since the sample before, and stand still from then on.
    assert seen(20, lambda now_s: {BTC: b"2" if now_s else b"1"}, lambda now_s: {BTC: 2 if now_s else 1}) == set()


def test_what_is_no_longer_sampled_is_no_longer_awaited() -> None:
    assert seen(20, lambda now_s: moving(now_s) if now_s < 3 else {ETH: b"1"}, lambda _: {}) == set()


class TestPublished:
    @pytest.fixture
    def evidence(self) -> FeedModeDetector:
        """BTC's ticker and klines have moved since the sample before, ETH's ticker has not."""
        found = FeedModeDetector(AFTER_S)
        for sample in (b"1", b"2"):
            found.sample(0, {BTC: sample, BTC_1M: sample, ETH: b"1"}, {})
        assert found.moved == {BTC, BTC_1M}
        return found

    def test_messages_about_all_that_moved_are_enough(self, evidence: FeedModeDetector) -> None:
        assert evidence.published({TICKERS, KLINES}, {BTC, BTC_1M})

    def test_a_key_that_moved_without_a_message_says_no(self, evidence: FeedModeDetector) -> None:
        assert not evidence.published({TICKERS}, {ETH})

    def test_a_kind_that_was_missing_must_be_among_them(self, evidence: FeedModeDetector) -> None:
        assert not evidence.published({TICKERS, KLINES}, {BTC})

    def test_a_kind_that_was_not_missing_need_not(self, evidence: FeedModeDetector) -> None:
        assert evidence.published({TICKERS}, {BTC})
