"""Plain numbers: where each observation goes."""

from __future__ import annotations

import logging

import pytest

from gateway.ops.counters import BUCKETS_S, Counters, Histogram, Stage


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (BUCKETS_S[0], 0), (0.0011, 1), (BUCKETS_S[-1], len(BUCKETS_S) - 1), (1e9, -1)]
)
def test_an_observation_counts_in_the_first_bucket_whose_bound_it_does_not_exceed(seconds: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.observe(seconds, 3)
    assert histogram.counts[bucket] == sum(histogram.counts) == 3
    assert histogram.total_s == seconds * 3


def test_a_clock_that_goes_wrong_is_no_negative_lag() -> None:
    counters = Counters()
    counters.observe_stage(Stage.FEED_TO_INGEST, -5.0)
    counters.observe_lag(-1.0)
    assert counters.stages[Stage.FEED_TO_INGEST].total_s == counters.lag.total_s == 0.0
    assert counters.stages[Stage.FEED_TO_INGEST].counts[0] == counters.lag.counts[0] == 1


def test_close_codes_of_clients_are_few_whatever_they_send() -> None:
    counters = Counters()
    for code in (1000, 1006, *range(3000, 5000)):
        counters.ended(1, "native", "a", client_close_code=code, sent_away=0, now_s=0)
    assert counters.departures == {"1000": 1, "1006": 1, "other": 2000}


def test_missed_beats_are_the_sum_over_their_causes() -> None:
    counters = Counters()
    counters.missed["socket_full"] += 2
    counters.missed["kernel_full"] += 1
    assert counters.missed_beats == 3


def test_a_dialect_shows_with_closed_klines_once_it_was_sent_some() -> None:
    counters = Counters()
    counters.sent("native", 5, 0)
    assert (counters.updates_out, counters.closed_out) == ({"native": 5}, {})
    counters.sent("native", 1, 1)
    assert (counters.updates_out, counters.closed_out) == ({"native": 6}, {"native": 1})


def test_who_is_sent_away_is_told_in_one_line_a_burst(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counters = Counters()
    for connection in range(100):
        counters.ended(connection, "native", "10.0.0.1", client_close_code=0, sent_away=4000, now_s=connection / 1000)
    counters.ended(100, "native", "10.0.0.1", client_close_code=0, sent_away=1013, now_s=1)
    counters.ended(101, "native", "10.0.0.1", client_close_code=1001, sent_away=0, now_s=1)
    lines = [(record.getMessage(), vars(record)["connection"], vars(record)["code"]) for record in caplog.records]
    assert lines == [("client sent away", 0, 4000), ("client sent away", 100, 1013)]
    caplog.clear()
    counters.sum_up(11)
    assert caplog.messages == ["client sent away ... and 99 more in 11 s"]


def test_with_debug_each_coming_and_going_has_its_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    counters = Counters()
    counters.entered(7, "native", "10.0.0.1")
    counters.ended(7, "native", "10.0.0.1", client_close_code=1000, sent_away=0, now_s=0)
    for connection in (8, 9):
        counters.ended(connection, "native", "10.0.0.1", client_close_code=0, sent_away=4000, now_s=0)
    lines = [(record.getMessage(), vars(record)["connection"]) for record in caplog.records]
    assert lines == [("client came", 7), ("client went", 7), ("client sent away", 8), ("client sent away", 9)]
