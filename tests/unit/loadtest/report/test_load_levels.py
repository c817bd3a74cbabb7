from __future__ import annotations

from loadtest.report.load_levels import load_changes, recovery_s
from loadtest.report.result import LoadChange

LOG = """\
Serving on http://127.0.0.1:1
1970-01-01T00:01:40.500Z warning gateway.runtime.flush: load level busy (was normal) because http 38 %, others 47 %
1970-01-01T00:01:41.000Z info gateway.history.redis_store: store is readable again
1970-01-01T00:01:50.000Z warning gateway.runtime.flush: load level normal (was busy)
"""

BUSY = LoadChange(100.5, "busy", "http 38 %, others 47 %")
NORMAL = LoadChange(110.0, "normal", "")


def test_changes_are_read_off_the_gateway_s_log() -> None:
    assert load_changes(LOG.splitlines()) == [BUSY, NORMAL]


def test_recovery_counts_from_the_end_of_the_load_to_the_last_normal_level() -> None:
    assert recovery_s([BUSY, NORMAL], ended_s=107.0, closed_s=120.0) == 3
    assert recovery_s([BUSY, NORMAL], ended_s=112.0, closed_s=120.0) == 0
    assert recovery_s([], ended_s=112.0, closed_s=120.0) == 0


def test_a_level_that_is_never_normal_again_lasts_to_the_end_of_the_run() -> None:
    assert recovery_s([BUSY], ended_s=107.0, closed_s=120.0) == 13
