"""Whether the active feed delivers what the collector writes."""

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

START_MS = 1_700_000_000_000


def missing_after(
    seconds: int,
    timestamps: Callable[[int], dict[Topic, bytes | None]],
    known_ms: Callable[[int], dict[Topic, int]],
) -> set[str]:
    """The verdict after one sample per second."""
    detector = FeedModeDetector(AFTER_S)
    for now_s in range(seconds + 1):
        detector.sample(now_s, timestamps(now_s), known_ms(now_s))
    return detector.missing_kinds(seconds)


def changing(now_s: int) -> dict[Topic, bytes | None]:
    return {BTC: b"%d" % (1000 + now_s)}


def test_a_kind_whose_keys_change_and_that_does_not_arrive_is_missing() -> None:
    assert missing_after(5, changing, lambda _: {}) == set()
    assert missing_after(6, changing, lambda _: {}) == {TICKERS}


def test_a_ticker_arrives_when_its_known_time_changes_by_whatever_clock() -> None:
    assert missing_after(20, changing, lambda now_s: {BTC: 7 + now_s // 3}) == set()


def test_unchanged_keys_give_no_verdict() -> None:
    assert missing_after(20, lambda _: {BTC: b"1", BTC_1M: None}, lambda _: {}) == set()


def test_a_key_that_appears_has_changed_and_one_that_vanishes_has_not() -> None:
    assert missing_after(10, lambda now_s: {BTC: b"1" if now_s else None}, lambda _: {}) == {TICKERS}
    assert missing_after(10, lambda now_s: {BTC: None if now_s else b"1"}, lambda _: {}) == set()


def test_one_arrived_topic_stands_for_its_kind_and_not_for_the_other() -> None:
    def timestamps(now_s: int) -> dict[Topic, bytes | None]:
        return {**changing(now_s), ETH: b"%d" % now_s, BTC_1M: b"%d" % (START_MS + now_s // 3 * MINUTE_MS)}

    assert missing_after(20, timestamps, lambda now_s: {ETH: now_s}) == {KLINES}


def test_a_kind_that_stops_arriving_becomes_missing() -> None:
    assert missing_after(20, changing, lambda now_s: {BTC: min(now_s, 3)}) == {TICKERS}


@pytest.mark.parametrize(
    ("timestamp", "known_ms", "missing"),
    [
        pytest.param(b"1700000119999", START_MS + 119_999, set(), id="known"),
        pytest.param(b"1700000120000", START_MS + 119_999, set(), id="closes-a-millisecond-later"),
        pytest.param(b"1700000179999", START_MS + 119_999, {KLINES}, id="one-missing"),
        pytest.param(b"1700000059999", START_MS + 119_999, set(), id="older"),
        pytest.param(b"soon", START_MS + 119_999, set(), id="no-number"),
        pytest.param(b"1700000119999000", START_MS + 119_999, set(), id="microseconds"),
    ],
)
def test_a_closed_kline_has_arrived_when_it_is_known(timestamp: bytes, known_ms: int, missing: set[str]) -> None:
    found = missing_after(10, lambda now_s: {BTC_1M: timestamp if now_s else b"1"}, lambda _: {BTC_1M: known_ms})
    assert found == missing


def test_a_value_that_arrives_between_two_samples_has_arrived() -> None:
    # Key and known value both changed since the previous sample, and do not change any more.
    keys: dict[Topic, bytes | None] = {BTC: b"2"}
    assert (
        missing_after(20, lambda now_s: keys if now_s else {BTC: b"1"}, lambda now_s: {BTC: 1 + bool(now_s)}) == set()
    )


def test_a_topic_that_is_no_longer_sampled_is_no_longer_expected() -> None:
    assert missing_after(20, lambda now_s: changing(now_s) if now_s < 3 else {ETH: b"1"}, lambda _: {}) == set()


class TestAllPublished:
    @pytest.fixture
    def detector(self) -> FeedModeDetector:
        """BTC's ticker and klines have changed since the previous sample, ETH's ticker has not."""
        detector = FeedModeDetector(AFTER_S)
        for timestamp in (b"1", b"2"):
            detector.sample(0, {BTC: timestamp, BTC_1M: timestamp, ETH: b"1"}, {})
        assert detector.changed == {BTC, BTC_1M}
        return detector

    def test_messages_about_all_changed_keys_are_enough(self, detector: FeedModeDetector) -> None:
        assert detector.all_published({TICKERS, KLINES}, {BTC, BTC_1M})

    def test_a_changed_key_without_a_message_is_not(self, detector: FeedModeDetector) -> None:
        assert not detector.all_published({TICKERS}, {ETH})

    def test_each_missing_kind_needs_a_message(self, detector: FeedModeDetector) -> None:
        assert not detector.all_published({TICKERS, KLINES}, {BTC})

    def test_a_kind_that_was_not_missing_needs_none(self, detector: FeedModeDetector) -> None:
        assert detector.all_published({TICKERS}, {BTC})


@pytest.mark.parametrize(
    ("ahead_ms", "missing_s"),
    [
        pytest.param(0, 7, id="closed-now"),
        pytest.param(10_000, 17, id="closes-in-ten-seconds"),
        pytest.param(24 * 3_600_000, None, id="tomorrow"),
    ],
)
def test_a_kline_cannot_be_missing_before_it_has_closed(ahead_ms: int, missing_s: int | None) -> None:
    detector = FeedModeDetector(AFTER_S)
    verdicts = []
    for now_s in range(60):
        timestamp = b"1" if now_s == 0 else b"%d" % (START_MS + 1000 + ahead_ms)
        detector.sample(now_s, {BTC_1M: timestamp}, {}, START_MS + now_s * 1000)
        verdicts.append(detector.missing_kinds(now_s))
    first = next((now_s for now_s, verdict in enumerate(verdicts) if verdict), None)
    assert first == (None if missing_s is None else missing_s - 1)


def test_a_last_closed_that_is_always_one_kline_ahead_is_no_evidence() -> None:
    detector = FeedModeDetector(AFTER_S)
    for now_s in range(600):
        feed_ms = START_MS + now_s * 1000
        closes_ms = feed_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS - 1
        detector.sample(now_s, {BTC_1M: b"%d" % closes_ms}, {BTC_1M: closes_ms - MINUTE_MS}, feed_ms)
        assert not detector.missing_kinds(now_s)
