from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.delivery.flush_schedule import ALL_LANES, VISIT_S, Due
from gateway.delivery.load_meter import Cause
from gateway.delivery.load_remedies import Level
from gateway.delivery.throttle import DEFAULT, FAST, TIER_RATES, UNSENT_SLOW_BYTES
from gateway.runtime import fanout as fanout_module
from tests.fakes import FakeSocketBatch
from tests.unit.delivery.samples import CLOSED_ONLY
from tests.unit.runtime.rig import CONFIG, INTERVAL_S, Rig

if TYPE_CHECKING:
    from gateway.delivery.group import Group
    from gateway.delivery.session import Session
    from gateway.delivery.subscription_set import Cohort


def in_sync(session: Session) -> bool:
    return session.cohort is not None


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_equal_subscription_sets_share_one_frame(rig: Rig) -> None:
    sockets = [rig.connect("AAAUSDT")[1] for _ in range(3)]
    await rig.flush("1")
    for socket in sockets:
        socket.read()
    await rig.flush("2")
    (first,), (second,), (third,) = (socket.written for socket in sockets)
    assert first is second is third
    assert first == b"[ t0:1>2 ]"


async def test_a_client_gets_only_what_it_is_subscribed_to(rig: Rig) -> None:
    _, one = rig.connect("AAAUSDT")
    _, other = rig.connect("BBBUSDT")
    await rig.flush("1")
    assert (one.read(), other.read()) == (b"[ t0:*>1 ]", b"")


async def test_sessions_are_served_in_slices(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = [rig.connect("AAAUSDT")[1] for _ in range(5)]
    await rig.flush("1")
    monkeypatch.setattr(fanout_module, "SLICE_SESSIONS", 2)
    rig.price("2")
    rig.hub.publish(rig.market.take_changes())
    (group,) = rig.hub.tiers[DEFAULT].groups
    rig.hub.begin(group)
    flush = fanout_module.FlushInfo(0, rig.now_s, spare=False, announcement=None, counted=False, visits=False)
    assert list(rig.flusher._fanout.serve(group, flush)) == [2, 2, 1]
    assert all(socket.read().endswith(b"[ t0:1>2 ]") for socket in sockets)


async def test_a_quiet_client_gets_a_heartbeat(rig: Rig) -> None:
    _, socket = rig.connect("AAAUSDT")
    await rig.flush("1")
    socket.read()
    await rig.run_until(CONFIG.stream.heartbeat_s + 2)
    assert socket.read() == b"<heartbeat>"


async def test_a_client_that_gets_updates_gets_no_heartbeat(rig: Rig) -> None:
    _, busy = rig.connect("AAAUSDT")
    _, quiet = rig.connect("BBBUSDT")
    for second in range(round(3 * CONFIG.stream.heartbeat_s)):
        rig.price_at(second + 0.5, str(second))
    await rig.run_until(3 * CONFIG.stream.heartbeat_s)
    assert b"<heartbeat>" not in busy.read()
    assert quiet.read().count(b"<heartbeat>") == 2


async def test_heartbeats_come_in_every_tier_and_to_who_limits_bytes(rig: Rig) -> None:
    sockets = [rig.connect("AAAUSDT", tier=tier)[1] for tier in (FAST, TIER_RATES.index(1.0))]
    session, socket = rig.connect("AAAUSDT")
    rig.hub.limit_bytes(session, 60_000)
    await rig.run_until(3 * CONFIG.stream.heartbeat_s)
    assert {each.read().count(b"<heartbeat>") for each in (*sockets, socket)} <= {2, 3}


async def test_only_the_clients_of_what_has_changed_are_looked_at(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = [f"S{number:02d}USDT" for number in range(20)]
    sockets = [rig.connect(symbol)[1] for symbol in symbols]
    await rig.flush()
    framed: list[Cohort] = []
    frame = rig.flusher._fanout._frame

    def watched(group: Group, cohort: Cohort, flush: fanout_module.FlushInfo) -> bytes | None:
        framed.append(cohort)
        return frame(group, cohort, flush)

    monkeypatch.setattr(rig.flusher._fanout, "_frame", watched)
    rig.price("1", symbols[3])
    await rig.flush()
    assert [socket.read() for socket in sockets] == [b"[ t3:*>1 ]" if n == 3 else b"" for n in range(20)]
    assert len(framed) == 1
    rig.now_s += VISIT_S
    await rig.flush()
    assert len(framed) == 21, "a visit"


async def test_a_client_that_is_not_looked_at_counts_as_served(rig: Rig) -> None:
    sessions = [rig.connect(f"S{number:02d}USDT")[0] for number in range(20)]
    await rig.flush()
    rig.price("1", "S03USDT")
    await rig.flush()
    for session in sessions:
        rig.hub.leave_sync(session)
    assert {session.served_at_flush for session in sessions} == {rig.hub.flush_number}


async def test_every_cohort_is_told_once_what_is_for_all(rig: Rig) -> None:
    rig.ingest.connected()
    clients = [
        rig.connect("AAAUSDT"),
        rig.connect("BBBUSDT"),
        rig.connect("AAAUSDT", "BBBUSDT"),
        rig.connect("AAAUSDT", style=CLOSED_ONLY),
    ]
    await rig.run_until(2.0)
    assert all(in_sync(session) for session, _ in clients)
    for _, socket in clients:
        socket.read()
    rig.ingest.disconnected("closed by the server")
    rig.load.levels[Cause.FLUSH] = Level.SURGE
    for seconds in (2.5, 2.6, 2.7):
        rig.price_at(seconds, str(seconds))
    await rig.run_until(2.8)
    for _, socket in clients:
        said = socket.read()
        assert (said.count(b"redis>"), said.count(b"<200 load>")) == (1, 1)


class TestProbes:
    """Sockets in sync are asked what the kernel holds for them."""

    @pytest.fixture
    async def asked(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
        """Which places were asked, at each flush; there are a hundred."""
        for _ in range(100):
            rig.connect("AAAUSDT")
        await rig.flush()
        await rig.flush()
        (group,) = rig.hub.tiers[DEFAULT].groups
        group.note_probed(0, rig.now_s)
        asked: list[tuple[int, int]] = []

        def backed_up(batch: FakeSocketBatch, start: int, stop: int, most_bytes: int) -> list[int]:
            asked.append((start, stop))
            return []

        monkeypatch.setattr(FakeSocketBatch, "backed_up", backed_up)
        return asked

    async def test_all_are_asked_within_a_second_a_part_at_each_flush(
        self, rig: Rig, asked: list[tuple[int, int]]
    ) -> None:
        for number in range(4):
            rig.now_s += 0.25 - INTERVAL_S
            await rig.flush(str(number))
        assert asked == [(0, 25), (25, 50), (50, 75), (75, 100)]

    async def test_after_a_pause_all_are_asked_once(self, rig: Rig, asked: list[tuple[int, int]]) -> None:
        rig.now_s += 5.0
        await rig.flush("1")
        assert asked == [(0, 100)]

    async def test_nobody_is_asked_with_a_flush_of_closed_klines(self, rig: Rig, asked: list[tuple[int, int]]) -> None:
        (group,) = rig.hub.tiers[DEFAULT].groups
        rig.hub.publish(rig.market.take_changes())
        await rig.flusher._flush_group(Due(group, ALL_LANES), rig.now_s + 1, rig.now_ms)
        assert asked == []


async def test_a_style_without_forming_klines_gets_nothing_of_tickers(rig: Rig) -> None:
    _, socket = rig.connect("AAAUSDT", style=CLOSED_ONLY)
    await rig.flush("1")
    await rig.flush("2")
    assert socket.read() == b""


async def test_a_client_whose_kernel_buffer_fills_is_taken_out_of_sync(rig: Rig) -> None:
    session, socket = rig.connect("AAAUSDT")
    await rig.flush("1")
    assert in_sync(session)
    socket.unsent = UNSENT_SLOW_BYTES + 1
    for number in range(20):
        await rig.flush(str(number))
    assert not in_sync(session)
    assert rig.counters.missed["kernel_full"]


async def test_a_frame_beyond_the_budget_is_left_to_each_session(rig: Rig) -> None:
    session, socket = rig.connect("AAAUSDT")
    await rig.flush("1")
    socket.read()
    rig.flusher._fanout.configure(0, 100)
    await rig.flush("2")
    assert in_sync(session), "it took what was pending in the same flush"
    assert socket.read() == b"[ t0:*>2 ]"
