from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.delivery.throttle import DEFAULT, FAST, TIER_RATES
from gateway.runtime.session_writer import FAST_FULL, FAST_PARTS, FAST_ROOM
from tests.unit.runtime.rig import CONFIG, START_S, Rig

if TYPE_CHECKING:
    from gateway.delivery.session import Session

LONGEST_MS = CONFIG.stream.flush_max_ms


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_clients_are_told_how_long_an_update_waits_at_most(rig: Rig) -> None:
    assert rig.writer.interval_ms(DEFAULT) == LONGEST_MS
    assert rig.writer.interval_ms(FAST) == 1
    assert rig.writer.interval_ms(TIER_RATES.index(4.0)) == 250
    assert rig.writer.interval_ms(TIER_RATES.index(15.0)) == 67


class TestBalanceFast:
    """The fast tier keeps to its share of the core."""

    def fast(self, rig: Rig, count: int) -> list[Session]:
        return [rig.connect("AAAUSDT", tier=FAST)[0] for _ in range(count)]

    def tiers(self, sessions: list[Session]) -> str:
        return "".join(str(session.pace.tier) for session in sessions)

    def test_who_came_last_leaves_the_tier_when_its_share_is_used_up(self, rig: Rig) -> None:
        sessions = self.fast(rig, 3)
        seen = []
        for _ in range(4):
            rig.writer.balance_fast(FAST_FULL)
            seen.append(self.tiers(sessions))
        assert seen == ["001", "011", "111", "111"]

    def test_who_has_waited_longest_comes_back_first(self, rig: Rig) -> None:
        sessions = self.fast(rig, 3)
        for _ in range(3):
            rig.writer.balance_fast(FAST_FULL)
        seen = []
        for _ in range(4):
            rig.writer.balance_fast(FAST_ROOM / 2)
            seen.append(self.tiers(sessions))
        assert seen == ["011", "001", "000", "000"]

    def test_in_between_all_stays_as_it_is(self, rig: Rig) -> None:
        sessions = self.fast(rig, 2)
        rig.writer.balance_fast(FAST_FULL)
        for used in (FAST_ROOM, (FAST_ROOM + FAST_FULL) / 2):
            rig.writer.balance_fast(used)
            assert self.tiers(sessions) == "01"

    def test_many_leave_in_parts(self, rig: Rig) -> None:
        sessions = self.fast(rig, 2 * FAST_PARTS)
        rig.writer.balance_fast(2.0)
        assert self.tiers(sessions) == "0" * (2 * FAST_PARTS - 2) + "11"

    def test_without_such_clients_nothing_happens(self, rig: Rig) -> None:
        session, _ = rig.connect("AAAUSDT")
        for used in (0.0, 2.0):
            rig.writer.balance_fast(used)
        assert session.pace.tier == DEFAULT

    async def test_clients_are_told(self, rig: Rig) -> None:
        session, socket = rig.connect("AAAUSDT", tier=FAST)
        await rig.run_until(2.0)
        socket.read()
        rig.writer.balance_fast(FAST_FULL)
        await rig.run_until(3.5)
        assert session.pace.tier == FAST, "it was idle since"
        assert socket.read() == f"<{LONGEST_MS} load><1 recovered>".encode()

    def test_who_has_another_wish_meanwhile_does_not_come_back(self, rig: Rig) -> None:
        (session,) = self.fast(rig, 1)
        rig.writer.balance_fast(FAST_FULL)
        rig.hub.want_fast(session, fast=False)
        rig.writer.balance_fast(0.0)
        assert session.pace.tier == DEFAULT

    async def test_the_flusher_measures_what_the_tier_uses(self, rig: Rig) -> None:
        used: list[float] = []
        rig.writer.balance_fast = used.append  # type: ignore[assignment, method-assign]
        rig.connect("AAAUSDT", tier=FAST)
        await rig.run_until(4.5)
        rig.costs(0.002)
        for number in range(2000):
            rig.price_at(4.5 + number / 1000, str(number))
        await rig.run_until(7.0)
        assert used[2] < 0.01
        assert max(used) == pytest.approx(1.0, abs=0.1), "the interval of the tier follows from its share"


async def test_a_slow_session_gets_faster_tier_by_tier(rig: Rig) -> None:
    session, _ = rig.connect("AAAUSDT")
    rig.hub.move(session, DEFAULT + 2)
    await rig.run_until(20.0)
    assert session.pace.tier == DEFAULT


async def test_a_session_with_an_allowance_that_is_spent_is_served_when_it_has_filled(rig: Rig) -> None:
    session, socket = rig.connect("AAAUSDT")
    rig.hub.limit_bytes(session, 600)
    for number in range(100):
        rig.price_at(1.0 + number / 10, str(number))
    await rig.run_until(11.0)
    times_s = [at_s for at_s, _ in socket.read_timed()]
    assert 8 <= len(times_s) <= 13, "about ten bytes a second, and as many in an update"
    assert session.pace.allowance is not None
    assert rig.now_s > START_S + 10


def test_a_session_whose_connection_has_ended_meanwhile_is_written_nothing(rig: Rig) -> None:
    session, socket = rig.connect("AAAUSDT")
    session.queue_control(b"<reply>")
    rig.hub.remove(session)
    rig.writer.write_pending(session)
    assert socket.read() == b""
