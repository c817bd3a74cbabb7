"""When a silent link is replaced."""

from __future__ import annotations

import math

from gateway.feed.silence import DOUBLINGS_MAX, NEVER, Silence, SilenceTimer


def test_the_first_replacement_is_due_after_the_time_without_a_message() -> None:
    timer = SilenceTimer(Silence(60.0))
    assert timer.due_s(1000.0) == 1060.0
    assert timer.due_s(1030.0) == 1090.0


def test_replacements_in_vain_get_rarer_up_to_a_bound() -> None:
    timer = SilenceTimer(Silence(60.0))
    waits = []
    now_s = 1060.0
    for _ in range(DOUBLINGS_MAX + 3):
        timer.replaced(now_s)
        waits.append(timer.due_s(1000.0) - now_s)
        now_s = timer.due_s(1000.0)
    assert waits == [120.0, 240.0, 480.0, 960.0, 960.0, 960.0, 960.0]


def test_a_message_starts_the_schedule_again() -> None:
    timer = SilenceTimer(Silence(60.0))
    for now_s in (1060.0, 1180.0):
        timer.replaced(now_s)
    assert timer.due_s(1200.0) == 1260.0


def test_the_timer_is_asked_again_before_a_message_could_make_a_replacement_due() -> None:
    timer = SilenceTimer(Silence(60.0))
    assert timer.look_s(1010.0, 1000.0) == 1060.0
    timer.replaced(1060.0)
    assert timer.look_s(1060.0, 1000.0) == 1120.0
    assert timer.look_s(1120.0, 1000.0) == 1180.0


def test_an_infinite_time_is_never_over() -> None:
    assert SilenceTimer(NEVER).due_s(0.0) == math.inf


def test_while_nothing_has_to_come_nothing_is_replaced() -> None:
    quiet_s = 1100.0
    timer = SilenceTimer(Silence(60.0, lambda: quiet_s))
    assert timer.due_s(1000.0) == 1100.0
    quiet_s = 0.0
    assert timer.due_s(1000.0) == 1060.0
