"""Pings of a client behind a proxy: when they are due, and which pongs are late."""

from __future__ import annotations

import pytest

from gateway.protocol.frame import PING, frame
from gateway.server.ping_meter import LATE_S, LATEST_S, LEAST_PING_S, PING_S, WATCH_S, WINDOW_BYTES, PingMeter

NEAR_S, FAR_S = 0.01, 0.4
"""Seconds between a ping and the pong of a client that reads at once."""


def answered(meter: PingMeter, now_s: float, took_s: float) -> None:
    """A ping at `now_s` and its pong."""
    ping = meter.due_ping(now_s)
    assert ping
    assert meter.answered(ping[2:], now_s + took_s)


def fresh(took_s: float = NEAR_S) -> PingMeter:
    """Of a connection that was opened at 0 s, whose first ping has been answered."""
    meter = PingMeter(0.0)
    answered(meter, 0.0, took_s)
    return meter


def test_a_ping_is_a_frame_with_a_number() -> None:
    meter = PingMeter(0.0)
    assert meter.due_ping(0.0) == frame(PING, b"read-1")
    assert meter.is_unanswered()
    assert meter.answered(b"read-1", 0.1)
    assert not meter.is_unanswered()
    assert meter.due_ping(1.0) == frame(PING, b"read-2")


def test_a_ping_is_due_when_the_last_one_is_answered() -> None:
    meter = PingMeter(0.0)
    meter.due_ping(0.0)
    assert meter.due_ping(100.0) == b""
    meter.answered(b"read-1", 100.1)
    assert meter.due_ping(100.2)


def test_pings_are_as_far_apart_as_the_connection_is_old_up_to_a_limit() -> None:
    meter = fresh()
    assert not meter.due_ping(LEAST_PING_S / 2)
    answered(meter, 1.0, NEAR_S)
    assert not meter.due_ping(1.9)
    answered(meter, 2.1, NEAR_S)
    assert not meter.due_ping(4.0)
    answered(meter, 100.0, NEAR_S)
    assert not meter.due_ping(100.0 + PING_S - 0.1)
    assert meter.due_ping(100.0 + PING_S)


def test_a_late_pong_is_reported_once_and_the_client_watched() -> None:
    meter = fresh()
    assert not meter.is_watched(10.0)
    answered(meter, 10.0, LATE_S + 0.1)
    answered(meter, 20.0, NEAR_S)
    assert meter.takes_late(20.1)
    assert not meter.takes_late(20.1)
    # It is pinged as often as may be, for a time.
    assert meter.is_watched(21.0)
    answered(meter, 21.0, NEAR_S)
    assert not meter.due_ping(21.0 + LEAST_PING_S / 2)
    answered(meter, 21.0 + LEAST_PING_S, NEAR_S)
    assert not meter.is_watched(10.0 + LATE_S + 0.1 + WATCH_S)


def test_a_client_waits_from_when_its_pong_is_late_until_it_comes() -> None:
    meter = fresh()
    ping = meter.due_ping(10.0)
    assert not meter.waits(10.0 + LATE_S - 0.1)
    assert not meter.takes_late(10.0 + LATE_S - 0.1)
    assert meter.waits(10.0 + LATE_S + 0.1)
    assert meter.takes_late(10.0 + LATE_S + 0.1)
    assert meter.answered(ping[2:], 11.0)
    assert not meter.waits(11.0)


def test_a_client_that_is_far_away_is_not_late() -> None:
    meter = fresh(FAR_S)
    meter.due_ping(10.0)
    assert not meter.waits(10.0 + 2 * FAR_S - 0.1)
    assert meter.waits(10.0 + 2 * FAR_S + 0.1)


def test_a_client_whose_pongs_were_all_slow_is_late_after_a_fixed_time() -> None:
    meter = fresh(10.0)
    meter.due_ping(20.0)
    assert not meter.waits(20.0 + LATEST_S - 0.1)
    assert meter.waits(20.0 + LATEST_S + 0.1)


def test_a_client_that_has_never_answered_is_not_late() -> None:
    meter = PingMeter(0.0)
    meter.due_ping(0.0)
    assert not meter.waits(1000.0)


@pytest.mark.parametrize("payload", [b"kg", b"", b"read-1"])
def test_a_pong_for_another_ping_is_an_answer_that_measures_nothing(payload: bytes) -> None:
    meter = fresh(FAR_S)
    assert meter.due_ping(10.0)
    assert not meter.answered(payload, 10.0 + NEAR_S)
    assert not meter.waits(20.0)
    # Half a second is still not late for it.
    meter.due_ping(30.0)
    assert not meter.waits(30.5)


def test_a_pong_that_nobody_asked_for_is_none_of_ours() -> None:
    assert not fresh().answered(b"read-1", 1.0)


def test_a_new_client_is_watched_at_first() -> None:
    meter = fresh()
    assert meter.is_watched(PING_S - 0.1)
    assert not meter.is_watched(PING_S)


def test_a_ping_is_due_after_many_bytes_and_too_many_behind_it_fill_the_window() -> None:
    meter = fresh()
    meter.wrote(WINDOW_BYTES)
    assert not meter.is_full()
    ping = meter.due_ping(NEAR_S)
    assert ping
    meter.wrote(WINDOW_BYTES)
    assert not meter.is_full()
    meter.wrote(1)
    assert meter.is_full()
    assert meter.answered(ping[2:], 1.0)
    assert not meter.is_full()


def test_the_window_of_a_client_that_has_never_answered_is_not_full() -> None:
    meter = PingMeter(0.0)
    assert meter.due_ping(0.0)
    meter.wrote(2 * WINDOW_BYTES)
    assert not meter.is_full()
