"""How often to look."""

from __future__ import annotations

from gateway.feed.poll_interval import SHARE, PollInterval


def test_the_first_look_is_followed_soon() -> None:
    assert PollInterval(0.1, 1.0).period_s == 0.1


def test_quiet_looks_come_less_and_less_often_up_to_a_limit() -> None:
    pace, periods = PollInterval(0.1, 1.0), []
    for _ in range(20):
        pace.looked(changed=False, took_s=0.001)
        periods.append(pace.period_s)
    assert periods == sorted(periods)
    assert periods[0] > 0.1
    assert periods[-1] == 1.0


def test_a_change_brings_the_shortest_wait_at_once() -> None:
    pace = PollInterval(0.1, 1.0)
    for _ in range(20):
        pace.looked(changed=False, took_s=0.001)
    pace.looked(changed=True, took_s=0.001)
    assert pace.period_s == 0.1


def test_a_slow_server_is_asked_no_faster_than_its_share_allows() -> None:
    pace = PollInterval(0.1, 1.0)
    pace.looked(changed=True, took_s=0.5)
    assert pace.period_s == 0.5 / SHARE
    pace.looked(changed=True, took_s=0.001)
    assert pace.period_s == 0.1
