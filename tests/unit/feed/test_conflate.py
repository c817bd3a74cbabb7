"""Conflation before decoding: the newest of each topic is kept, and nothing that must not be lost is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.feed.conflate import WHOLE_MIN_BYTES, Conflator
from gateway.redis.contract import Topic
from tests.builders import T0

BTC = Topic("BTCUSDT", "")
ETH = Topic("ETHUSDT", "")
BTC_1M = Topic("BTCUSDT", "1m")


def ticker(last: str, **fields: Any) -> bytes:
    whole = {
        "e": "24hrMiniTicker",
        "E": T0,
        "s": "BTCUSDT",
        "c": last,
        "o": "1",
        "h": "2",
        "l": "3",
        "v": "4.25",
        "q": "5",
    }
    payload = json.dumps(whole | fields).encode()
    assert len(payload) >= WHOLE_MIN_BYTES
    return payload


def kline(close: str, *, closed: bool = False) -> bytes:
    return json.dumps(
        {"t": T0, "T": T0 + 59_999, "s": "BTCUSDT", "i": "1m", "o": "1", "c": close, "h": "2", "l": "3", "v": "4",
         "n": 5, "x": closed, "q": "6"}
    ).encode()  # fmt: skip


def diff(**fields: Any) -> bytes:
    payload = json.dumps({"s": "BTCUSDT"} | fields).encode()
    assert len(payload) < WHOLE_MIN_BYTES
    return payload


def test_nothing_offered_is_nothing_kept() -> None:
    surge = Conflator()
    assert len(surge) == 0
    assert list(surge.take()) == []
    assert surge.conflated == 0


def test_of_each_topic_the_newest_whole_payload_is_kept_in_the_order_of_the_topics() -> None:
    surge = Conflator()
    for topic, payload in ((BTC, ticker("1")), (ETH, ticker("2")), (BTC_1M, kline("3")), (BTC, ticker("4"))):
        assert surge.offer(topic, payload) == ()
    assert len(surge) == 3
    assert surge.conflated == 1
    assert list(surge.take()) == [(BTC, ticker("4")), (ETH, ticker("2")), (BTC_1M, kline("3"))]


def test_what_was_taken_is_gone_and_the_count_goes_on() -> None:
    surge = Conflator()
    for _ in range(2):
        for last in ("1", "2", "3"):
            surge.offer(BTC, ticker(last))
        taken = surge.take()
        assert len(surge) == 0
        assert list(taken) == [(BTC, ticker("3"))]
    assert surge.conflated == 4


def test_a_closed_kline_passes_at_once() -> None:
    surge = Conflator()
    assert surge.offer(BTC_1M, kline("1", closed=True)) == (kline("1", closed=True),)
    assert len(surge) == 0


def test_a_closed_kline_passes_after_what_was_kept_of_its_series_alone() -> None:
    surge = Conflator()
    surge.offer(BTC, ticker("1"))
    surge.offer(BTC_1M, kline("1"))
    assert surge.offer(BTC_1M, kline("2", closed=True)) == (kline("1"), kline("2", closed=True))
    assert list(surge.take()) == [(BTC, ticker("1"))]
    assert surge.conflated == 0


def test_a_ticker_that_says_true_is_no_closed_kline() -> None:
    surge = Conflator()
    assert surge.offer(BTC, ticker("1", trusted=True)) == ()
    assert list(surge.take()) == [(BTC, ticker("1", trusted=True))]


def test_a_diff_replaces_one_of_the_same_fields() -> None:
    surge = Conflator()
    assert surge.offer(BTC, diff(E=T0, c="1.5")) == ()
    assert surge.offer(BTC, diff(E=T0 + 1, c="-12.25")) == ()
    assert surge.conflated == 1
    assert list(surge.take()) == [(BTC, diff(E=T0 + 1, c="-12.25"))]


@pytest.mark.parametrize(
    "before", [pytest.param(diff(h="9"), id="diff-of-other-fields"), pytest.param(ticker("1"), id="whole")]
)
def test_a_diff_that_would_lose_fields_lets_the_one_before_pass(before: bytes) -> None:
    surge = Conflator()
    assert surge.offer(BTC, before) == ()
    assert surge.offer(BTC, diff(c="2")) == (before,)
    assert surge.conflated == 0
    assert list(surge.take()) == [(BTC, diff(c="2"))]


def test_a_whole_payload_replaces_a_diff() -> None:
    surge = Conflator()
    surge.offer(BTC, diff(c="2"))
    assert surge.offer(BTC, ticker("3")) == ()
    assert surge.conflated == 1
    assert list(surge.take()) == [(BTC, ticker("3"))]
