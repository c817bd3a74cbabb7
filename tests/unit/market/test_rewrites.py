"""A change of closed klines is told to whoever may have been away."""

from __future__ import annotations

import pytest

from gateway.market.change import CORRECTED, UNCHANGED
from gateway.market.closed_log import ClosedLog
from gateway.market.rewrites import KEPT, Rewrites
from tests.builders import kline


@pytest.mark.parametrize(
    ("cursor_ms", "missed"),
    [
        pytest.param(29, False, id="older than all that changed"),
        pytest.param(30, True, id="at the kline that changed"),
        pytest.param(45, True, id="between"),
        pytest.param(50, True, id="at the newest of that time"),
        pytest.param(51, False, id="reached after the change"),
    ],
)
def test_a_client_may_have_missed_a_change_of_what_it_holds(cursor_ms: int, missed: bool) -> None:
    rewrites = Rewrites()
    assert not rewrites.may_have_missed(cursor_ms)
    rewrites.note(30, 50)
    assert rewrites.may_have_missed(cursor_ms) is missed


def test_the_oldest_changes_are_forgotten() -> None:
    rewrites = Rewrites()
    for at in range(KEPT + 1):
        rewrites.note(at, at)
    assert [at for at in range(KEPT + 1) if not rewrites.may_have_missed(at)] == [0]


def test_a_log_notes_what_it_corrects_and_inserts() -> None:
    log, at = ClosedLog(8), [kline(number, closed=True) for number in range(5)]
    for number in (0, 1, 3, 4):
        log.append(at[number])
        assert not log.rewrites.may_have_missed(at[number].open_time_ms)
    assert log.merge(at[4]) == UNCHANGED
    assert not log.rewrites.may_have_missed(at[4].open_time_ms)
    assert log.merge(at[2]) == CORRECTED
    assert [log.rewrites.may_have_missed(one.open_time_ms) for one in at] == [False, False, True, True, True]
    newer = at[1].event_time_ms + 1
    assert log.merge(at[1]._replace(close="106", event_time_ms=newer)) == CORRECTED
    assert [log.rewrites.may_have_missed(one.open_time_ms) for one in at] == [False, True, True, True, True]
