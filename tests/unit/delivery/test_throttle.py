from __future__ import annotations

import pytest

from gateway.delivery.hub import TIER_PERIODS
from gateway.delivery.session import Session
from gateway.delivery.throttle import (
    CALM_S,
    MISSES_TO_SLOW,
    UNSENT_SLOW_BYTES,
    Allowance,
    budget,
    calmed,
    missed,
    taken,
    tier_for_rate,
    unsent_max,
)
from tests.fakes import FakeSocket
from tests.unit.delivery.stage import STYLE

SLOWEST = len(TIER_PERIODS) - 1


@pytest.fixture
def session() -> Session:
    return Session(FakeSocket(), STYLE)


@pytest.mark.parametrize(
    ("max_rate", "tier"), [(0.0, 0), (100.0, 0), (20.0, 0), (19.0, 1), (10.0, 1), (4.0, 3), (1.25, 4), (0.1, 4)]
)
def test_a_rate_gets_the_fastest_tier_that_keeps_to_it(max_rate: float, tier: int) -> None:
    assert tier_for_rate(max_rate, 50) == tier


class TestMissed:
    def test_a_hiccup_is_not_slowness(self, session: Session) -> None:
        assert [missed(session, 1.0) for _ in range(MISSES_TO_SLOW)] == [0] * (MISSES_TO_SLOW - 1) + [1]

    def test_misses_count_in_a_row_only(self, session: Session) -> None:
        for _ in range(5):
            for _ in range(MISSES_TO_SLOW - 1):
                assert missed(session, 1.0) == 0
            taken(session)

    def test_the_slowest_tier_is_the_end(self, session: Session) -> None:
        session.tier = SLOWEST
        assert {missed(session, 1.0) for _ in range(10)} == {SLOWEST}

    def test_a_stall_is_remembered_from_its_first_beat(self, session: Session) -> None:
        missed(session, 3.0)
        missed(session, 4.0)
        assert session.stalled_since_s == 3.0
        taken(session)
        assert session.stalled_since_s is None


class TestCalmed:
    def test_one_rung_faster_after_each_calm_time(self, session: Session) -> None:
        session.tier = 2
        missed(session, 10.0)
        taken(session)
        assert calmed(session, 10.0 + CALM_S - 1) == 2
        assert calmed(session, 10.0 + CALM_S) == 1
        session.tier = 1
        assert calmed(session, 10.0 + CALM_S + 1) == 1
        assert calmed(session, 10.0 + 2 * CALM_S) == 0

    def test_a_stall_is_not_calm_however_long_it_lasts(self, session: Session) -> None:
        session.tier = 2
        missed(session, 10.0)
        assert calmed(session, 1000.0) == 2

    def test_never_faster_than_it_wants(self, session: Session) -> None:
        session.tier = session.floor = 2
        assert calmed(session, 1000.0) == 2

    def test_never_slower_than_it_is_unless_it_wants(self, session: Session) -> None:
        session.tier, session.floor = 1, 3
        assert calmed(session, 1000.0) == 3


def test_a_flush_is_halved_for_every_rung_a_client_is_too_slow_for(session: Session) -> None:
    assert (budget(session, 1024), unsent_max(session)) == (1024, UNSENT_SLOW_BYTES)
    session.tier = 3
    assert (budget(session, 1024), unsent_max(session)) == (128, UNSENT_SLOW_BYTES // 8)
    session.floor = 3
    assert budget(session, 1024) == 1024
    session.floor = 4
    assert budget(session, 1024) == 1024


class TestAllowance:
    """60,000 bytes a minute are 1,000 a second."""

    def test_is_there_from_the_beginning(self) -> None:
        assert Allowance(60_000).has_any(5.0)

    def test_is_paid_back_over_time_when_overdrawn(self) -> None:
        allowance = Allowance(60_000)
        allowance.has_any(5.0)
        allowance.spend(2500)
        assert [allowance.has_any(5.0 + half / 2) for half in range(7)] == [False] * 5 + [True] * 2

    def test_is_not_saved_up_for_more_than_a_second(self) -> None:
        allowance = Allowance(60_000)
        allowance.has_any(5.0)
        assert allowance.has_any(500.0)
        allowance.spend(1500)
        assert not allowance.has_any(500.0)
        assert allowance.has_any(500.5)
