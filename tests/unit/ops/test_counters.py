"""Totals of a process: what each method counts and logs."""

from __future__ import annotations

import logging

import pytest

from gateway.ops.counters import BUCKETS_S, UNKNOWN_STREAMS_MAX, Counters, Histogram, Stage


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (BUCKETS_S[0], 0), (0.0011, 1), (BUCKETS_S[-1], len(BUCKETS_S) - 1), (1e9, -1)]
)
def test_an_observation_counts_in_the_first_bucket_whose_bound_it_does_not_exceed(seconds: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.observe(seconds, 3)
    assert histogram.counts[bucket] == sum(histogram.counts) == 3
    assert histogram.total_s == seconds * 3


def test_a_wrong_clock_never_counts_as_negative_lag() -> None:
    counters = Counters()
    counters.observe_stage(Stage.FEED_TO_INGEST, -5.0)
    counters.observe_lag(-1.0)
    assert counters.stages[Stage.FEED_TO_INGEST].total_s == counters.lag.total_s == 0.0
    assert counters.stages[Stage.FEED_TO_INGEST].counts[0] == counters.lag.counts[0] == 1


def test_unknown_close_codes_of_clients_share_one_label() -> None:
    counters = Counters()
    for code in (1000, 1006, *range(3000, 5000)):
        counters.connection_closed(1, "native", "a", client_close_code=code, gateway_close_code=0, now_s=0)
    assert counters.client_disconnects == {"1000": 1, "1006": 1, "other": 2000}


def test_unknown_streams_are_counted_by_name_up_to_a_limit() -> None:
    counters = Counters()
    for number in range(UNKNOWN_STREAMS_MAX + 10):
        counters.count_unknown_stream(f"{number}usdt@depth")
    counters.count_unknown_stream("0usdt@depth")
    counters.count_unknown_stream("x" * 1000)
    assert counters.unknown_streams["0usdt@depth"] == 2
    assert counters.unknown_streams["other"] == 11
    assert len(counters.unknown_streams) == UNKNOWN_STREAMS_MAX + 1


def test_refusals_share_one_log_line_a_burst_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    with caplog.at_level(logging.WARNING):
        for number in range(60):
            counters.count_refusal("origin", f"192.0.2.{number}: origin x", 1.0)
        counters.count_refusal("full", "192.0.2.1: full", 1.0)
        counters.log_burst_summaries(12.0)
    assert [record.getMessage() for record in caplog.records] == [
        "refused: 192.0.2.0: origin x",
        "refused: 192.0.2.1: full",
        "refused: 192.0.2.59: origin x ... and 59 more in 11 s",
    ]
    assert counters.refusals == {"origin": 60, "full": 1}


def test_missed_flushes_are_the_sum_over_their_causes() -> None:
    counters = Counters()
    counters.missed["socket_full"] += 2
    counters.missed["kernel_full"] += 1
    assert counters.missed_flushes == 3


def test_closed_klines_are_counted_only_for_dialects_that_got_some() -> None:
    counters = Counters()
    counters.count_updates("native", 5, 0)
    assert (counters.updates_out, counters.closed_out) == ({"native": 5}, {})
    counters.count_updates("native", 1, 1)
    assert (counters.updates_out, counters.closed_out) == ({"native": 6}, {"native": 1})


def test_connections_closed_by_the_gateway_share_one_log_line_a_burst(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counters = Counters()
    for connection in range(100):
        counters.connection_closed(
            connection, "native", "10.0.0.1", client_close_code=0, gateway_close_code=4000, now_s=connection / 1000
        )
    counters.connection_closed(100, "native", "10.0.0.1", client_close_code=0, gateway_close_code=1013, now_s=1)
    counters.connection_closed(101, "native", "10.0.0.1", client_close_code=1001, gateway_close_code=0, now_s=1)
    lines = [(record.getMessage(), vars(record)["connection"], vars(record)["code"]) for record in caplog.records]
    assert lines == [("client closed by gateway", 0, 4000), ("client closed by gateway", 100, 1013)]
    caplog.clear()
    counters.log_burst_summaries(11)
    assert caplog.messages == ["client closed by gateway ... and 99 more in 11 s"]


def test_at_debug_each_connection_and_disconnection_has_its_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    counters = Counters()
    counters.connection_opened(7, "native", "10.0.0.1")
    counters.connection_closed(7, "native", "10.0.0.1", client_close_code=1000, gateway_close_code=0, now_s=0)
    for connection in (8, 9):
        counters.connection_closed(
            connection, "native", "10.0.0.1", client_close_code=0, gateway_close_code=4000, now_s=0
        )
    lines = [(record.getMessage(), vars(record)["connection"]) for record in caplog.records]
    assert lines == [
        ("client connected", 7),
        ("client disconnected", 7),
        ("client closed by gateway", 8),
        ("client closed by gateway", 9),
    ]
