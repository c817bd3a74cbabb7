"""What of live messages and stored values is refused or odd, and what heals; through the ingest that uses it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from gateway.model.feed_error import FeedError, Odd
from gateway.model.feed_time import BEHIND_COUNTS, COUNT_S
from tests.builders import MINUTE_MS, T0
from tests.unit.runtime.test_ingest import KLINES, PRICE, Fixture, kline_json, price

if TYPE_CHECKING:
    from gateway.redis.contract import Topic

DAY_MS = 24 * 60 * MINUTE_MS


@pytest.fixture
def gateway() -> Fixture:
    made = Fixture()
    made.ingest.connected()
    return made


def errors(gateway: Fixture) -> dict[str, int]:
    return dict(gateway.counters.feed_errors)


def odd(gateway: Fixture) -> dict[str, int]:
    return dict(gateway.counters.feed_odd)


def pass_s(gateway: Fixture, seconds: float) -> None:
    gateway.now_s += seconds
    gateway.ingest.judge_feed(gateway.now_s, gateway.clock())


def say(gateway: Fixture, ahead_ms: int, counts: int = 3, topic: Topic = PRICE, **fields: Any) -> None:
    """Messages that are so far ahead of the gateway's clock, for so many counts."""
    for number in range(counts):
        event = {"E": gateway.clock() + ahead_ms, "c": str(100 + number)} | fields
        gateway.ingest.ingest([(topic, json.dumps(event).encode())])
        pass_s(gateway, COUNT_S)


def test_a_ticker_of_the_future_is_refused_and_the_next_one_is_the_price(gateway: Fixture) -> None:
    gateway.ingest.ingest([(PRICE, price("150", E=T0 + DAY_MS)), (PRICE, price("100", E=T0))])
    assert gateway.last == "100"
    assert errors(gateway) == {"future_time": 1}


@pytest.mark.parametrize("ahead_ms", [0, 10_000])
def test_a_ticker_within_the_tolerance_is_taken(gateway: Fixture, ahead_ms: int) -> None:
    gateway.ingest.ingest([(PRICE, price("150", E=T0 + ahead_ms))])
    assert (gateway.last, errors(gateway)) == ("150", {})


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(kline_json(1), id="forming"),
        pytest.param(kline_json(0, closed=True), id="closed-before-its-time"),
        pytest.param(kline_json(0, E=T0 + DAY_MS), id="forming-with-a-future-event-time"),
        pytest.param(json.dumps({"t": T0 + DAY_MS, "c": "1"}).encode(), id="delta"),
        pytest.param(json.dumps({"t": T0, "x": True}).encode(), id="closing-delta"),
    ],
)
def test_a_kline_of_the_future_is_refused(gateway: Fixture, payload: bytes) -> None:
    gateway.ingest.ingest([(KLINES, payload)])
    assert errors(gateway) == {"future_time": 1}
    assert gateway.market.forming("BTCUSDT", "1m") is None
    assert gateway.ingest.plausibility.refused_klines() == [], "it has not ended, so it is not missing"


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "delta"])
def test_a_closed_kline_is_not_lost_to_the_time_of_its_message(gateway: Fixture, whole: bool) -> None:
    closing = kline_json(-1, closed=True, E=T0 + DAY_MS)
    if not whole:
        gateway.ingest.ingest([(KLINES, kline_json(-1))])
        closing = json.dumps({"t": T0 - MINUTE_MS, "x": True, "E": T0 + DAY_MS}).encode()
    gateway.ingest.ingest([(KLINES, closing)])
    (kline,) = gateway.market.closed("BTCUSDT", "1m")
    assert kline.event_time_ms == T0
    assert odd(gateway) == {"future_time": 1}


def test_a_feed_ahead_of_the_clock_is_followed_and_what_is_stored_is_read_again(gateway: Fixture) -> None:
    reads = gateway.backfill.started
    say(gateway, DAY_MS)
    assert gateway.ingest.plausibility.ahead_s == DAY_MS / 1000
    assert gateway.backfill.started == reads + 1
    say(gateway, DAY_MS, 1)
    assert gateway.last == "100"
    gateway.ingest.ingest([(PRICE, price("7"))])
    assert gateway.last == "7", "what has no time of its own is dated by the feed's"
    say(gateway, 2 * DAY_MS, 1)
    assert gateway.last == "7"


def test_what_got_in_is_dropped_when_the_feed_is_right_again(gateway: Fixture) -> None:
    gateway.ingest.ingest([(KLINES, kline_json(-1, closed=True))])
    say(gateway, DAY_MS, 4)
    gateway.ingest.ingest([(KLINES, kline_json(24 * 60 - 1, closed=True)), (KLINES, kline_json(24 * 60))])
    say(gateway, 0, 4)
    assert gateway.ingest.plausibility.ahead_s == 0
    assert gateway.last == "103"
    assert [kline.open_time_ms for kline in gateway.market.closed("BTCUSDT", "1m")] == [T0 - MINUTE_MS]
    forming = gateway.market.forming("BTCUSDT", "1m")
    assert forming is not None
    assert forming.open_time_ms == T0


def test_without_a_connection_nothing_is_read_when_the_clock_is_corrected() -> None:
    gateway = Fixture()
    say(gateway, DAY_MS)
    assert gateway.ingest.plausibility.ahead_s == DAY_MS / 1000
    assert gateway.backfill.started == 0


def test_one_outlier_of_a_feed_that_is_behind_is_dropped_by_the_next_price(gateway: Fixture) -> None:
    say(gateway, -DAY_MS, BEHIND_COUNTS)
    assert gateway.ingest.plausibility.distrusts_after_ms < math.inf
    gateway.ingest.ingest([(PRICE, price("500", E=gateway.clock()))])
    assert gateway.last == "500"
    say(gateway, -DAY_MS, 1)
    assert gateway.last == "100"


def test_klines_without_an_event_time_correct_a_clock_that_is_behind(gateway: Fixture) -> None:
    gateway.ingest.ingest([(PRICE, price("99"))])
    for _ in range(10):
        gateway.ingest.ingest([(KLINES, kline_json(24 * 60)), (PRICE, price("100"))])
        pass_s(gateway, COUNT_S)
    gateway.market.advance(gateway.clock())
    forming = gateway.market.forming("BTCUSDT", "1m")
    assert forming is not None
    assert forming.open_time_ms == T0 + DAY_MS


def test_a_closed_kline_that_is_refused_is_remembered_until_it_comes(gateway: Fixture) -> None:
    gateway.ingest.ingest([(KLINES, kline_json(-1, closed=True, l="200")), (KLINES, kline_json(-2, l="200"))])
    (refused,) = gateway.ingest.plausibility.refused_klines()
    assert (refused.open_time_ms, refused.reason) == (T0 - MINUTE_MS, "contradictory_kline")
    gateway.ingest.ingest([(KLINES, kline_json(-1, closed=True))])
    assert gateway.ingest.plausibility.refused_klines() == []


def test_stored_values_that_are_refused_are_counted_and_klines_remembered(gateway: Fixture) -> None:
    judge = gateway.ingest.plausibility
    assert judge.limit_ms() == T0 + 10_000
    judge.refuse_stored("ticker of BTCUSDT", FeedError("missing_field", "c"), None, b"")
    judge.refuse_stored("kline of BTCUSDT 1m", FeedError("negative"), KLINES, kline_json(-1, closed=True))
    judge.refuse_stored("kline of BTCUSDT 1m", FeedError("bad_json"), KLINES, b"oops")
    assert errors(gateway) == {"missing_field": 1, "negative": 1, "bad_json": 1}
    assert [kline.reason for kline in judge.refused_klines()] == ["negative"]


def test_jumps_and_odd_fields_are_counted_with_an_example(gateway: Fixture, caplog: pytest.LogCaptureFixture) -> None:
    gateway.ingest.ingest([(PRICE, price("1")), (PRICE, price("9", n=None)), (PRICE, price("1", n=None))])
    assert odd(gateway) == {"price_jump": 2, "bad_field": 2}
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["feed: bad_field: BTCUSDT : n=None", "feed: price_jump: BTCUSDT: from 1 to 9"]


def test_what_is_odd_outside_of_a_message_is_counted_too() -> None:
    gateway = Fixture()
    gateway.ingest.plausibility.note(Odd.BAD_TIME, "lastUpdate of BTCUSDT is b'soon'")
    assert odd(gateway) == {"bad_time": 1}


@pytest.mark.parametrize(
    ("topic", "payload", "usable"),
    [
        pytest.param(PRICE, price("1"), True, id="price"),
        pytest.param(PRICE, price("0"), False, id="price-of-0"),
        pytest.param(PRICE, b"{", False, id="no-json"),
        pytest.param(PRICE, price("1", E=T0 + DAY_MS), False, id="price-of-the-future"),
        pytest.param(KLINES, kline_json(0), True, id="forming"),
        pytest.param(KLINES, kline_json(1), False, id="forming-of-the-future"),
        pytest.param(KLINES, kline_json(-1, closed=True), True, id="closed"),
        pytest.param(KLINES, kline_json(0, closed=True), False, id="closed-before-its-time"),
        pytest.param(KLINES, json.dumps({"t": T0, "c": "1"}).encode(), True, id="delta"),
        pytest.param(KLINES, json.dumps({"t": T0 + DAY_MS, "c": "1"}).encode(), False, id="delta-of-the-future"),
        pytest.param(KLINES, b"", False, id="empty"),
    ],
)
def test_whether_a_message_could_be_used_is_said_without_using_it(
    gateway: Fixture, topic: Topic, payload: bytes, usable: bool
) -> None:
    assert gateway.ingest.plausibility.is_usable(topic, payload) is usable
    assert (errors(gateway), odd(gateway)) == ({}, {})
    assert not gateway.market.symbols()


def test_a_message_of_a_standby_source_is_no_vote_for_the_feeds_time(gateway: Fixture) -> None:
    for number in range(10):
        gateway.ingest.plausibility.is_usable(PRICE, price(str(number + 1), E=gateway.clock() + DAY_MS))
        pass_s(gateway, COUNT_S)
    assert gateway.ingest.plausibility.ahead_s == 0
