from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import StrictKlineChannel
from gateway.delivery.close_codes import Close
from gateway.delivery.flush_schedule import ALL_LANES, Due
from gateway.delivery.load_meter import Cause
from gateway.delivery.load_remedies import Level
from gateway.delivery.throttle import DEFAULT, FAST, TIER_RATES
from gateway.runtime import flush as flush_module
from tests.unit.runtime.rig import CONFIG, INTERVAL_S, START_S, Rig

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.session import Session
    from tests.fakes import FakeSocket
    from tests.unit.runtime.rig import TimedSocket


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_a_change_is_written_at_the_next_flush_and_then_as_a_delta(rig: Rig) -> None:
    _, socket = rig.connect("AAAUSDT")
    await rig.flush("5")
    assert socket.read() == b"[ t0:*>5 ]"
    await rig.flush("6")
    assert socket.read() == b"[ t0:5>6 ]"
    await rig.flush()
    assert socket.read() == b""


async def test_several_changes_within_an_interval_are_one_update(rig: Rig) -> None:
    _, socket = rig.connect("AAAUSDT")
    await rig.flush("5", "6", "7")
    assert socket.read() == b"[ t0:*>7 ]"


class TestRun:
    """When updates leave, in seconds since the start; a session has been in sync for long."""

    @pytest.fixture
    async def socket(self, rig: Rig) -> TimedSocket:
        _, socket = rig.connect("AAAUSDT")
        rig.price_at(1.0, "1")
        await rig.run_until(9.9)
        socket.read()
        return socket

    async def test_an_update_after_a_pause_leaves_at_once(self, rig: Rig, socket: TimedSocket) -> None:
        rig.price_at(10.02, "2")
        rig.price_at(10.0372, "3")
        await rig.run_until(10.9)
        assert socket.read_timed() == [(10.02, b"[ t0:1>2 ]"), (10.0372, b"[ t0:2>3 ]")]

    async def test_updates_in_quick_succession_leave_an_interval_apart(self, rig: Rig, socket: TimedSocket) -> None:
        for number in range(9):
            rig.price_at(10.02 + number / 1000, str(number))
        await rig.run_until(10.9)
        assert socket.read_timed() == [
            (10.02, b"[ t0:1>0 ]"),
            (10.025, b"[ t0:0>5 ]"),
            (10.03, b"[ t0:5>8 ]"),
        ]

    async def test_the_interval_is_as_long_as_what_a_flush_costs_allows(self, rig: Rig, socket: TimedSocket) -> None:
        rig.costs(0.004)
        for number in range(1000):
            rig.price_at(10.0 + number / 1000, str(number))
        await rig.run_until(11.0)
        times_s = [at_s for at_s, _ in socket.read_timed()]
        gaps_s = [after_s - before_s for before_s, after_s in pairwise(times_s)]
        assert gaps_s[:2] == pytest.approx([0.008, 0.008], abs=0.0015), "the first ones by their own cost"
        assert gaps_s[-9:] == pytest.approx([0.005 + 0.004 / 0.5] * 9, abs=0.0015), "then by what all cost on average"

    async def test_an_update_that_comes_during_a_flush_leaves_with_the_next_one(
        self, rig: Rig, socket: TimedSocket
    ) -> None:
        rig.costs(0.02)
        rig.price_at(10.52, "2")
        rig.price_at(10.53, "3")
        await rig.run_until(10.9)
        assert socket.read_timed() == [(10.54, b"[ t0:1>2 ]"), (10.58, b"[ t0:2>3 ]")]

    async def test_a_late_flush_is_not_repeated(self, rig: Rig, socket: TimedSocket) -> None:
        def hang() -> None:
            rig.now_s += 5 * INTERVAL_S

        rig.at(10.0, hang)
        rig.price_at(10.0, "2")
        rig.price_at(10.1, "3")
        await rig.run_until(11.0)
        assert socket.read_timed() == [(10.25, b"[ t0:1>3 ]")]
        assert rig.counters.overruns == 1

    async def test_without_news_only_visits_are_paid(self, rig: Rig, socket: TimedSocket) -> None:
        (group,) = rig.hub.tiers[DEFAULT].groups
        before, waits = group.flushes, len(rig.alarm.waits)
        await rig.run_until(20.0)
        assert 9 <= group.flushes - before <= 11, "once a second"
        assert len(rig.alarm.waits) - waits <= 1 + 10 / INTERVAL_S + 10, "the clock is looked at"

    async def test_news_without_clients_wakes_nobody(self, rig: Rig) -> None:
        rig.price_at(0.05, "1")
        await rig.run_until(0.5)
        looks = range(1, len(rig.alarm.waits) + 1)
        assert rig.alarm.waits == pytest.approx([START_S + number * INTERVAL_S for number in looks])
        assert not any(group.flushes for group in rig.hub.groups())

    async def test_a_slow_client_is_written_to_at_its_rate(self, rig: Rig, socket: TimedSocket) -> None:
        _, slow = rig.connect("AAAUSDT", tier=TIER_RATES.index(4.0))
        await rig.run_until(10.99)
        slow.read()
        for number in range(100):
            rig.price_at(11.0 + number / 100, str(number))
        await rig.run_until(12.0)
        times_s = [at_s for at_s, _ in slow.read_timed()]
        assert times_s == pytest.approx([times_s[0] + number / 4 for number in range(4)])
        assert len(socket.read_timed()) == 100

    async def test_a_client_with_a_rate_gets_it_without_others_too(self, rig: Rig) -> None:
        _, alone = rig.connect("AAAUSDT", tier=TIER_RATES.index(60.0))
        await rig.run_until(0.99)
        alone.read()
        for number in range(100):
            rig.price_at(1.0 + number / 100, str(number))
        await rig.run_until(2.0)
        assert len(alone.read_timed()) >= 45

    async def test_a_closed_kline_leaves_at_once_while_all_else_waits(self, rig: Rig) -> None:
        session, socket = rig.connect("AAAUSDT")
        kline = rig.hub.kline_channel("AAAUSDT", "1m")
        rig.kline(0, closed=True)
        rig.hub.subscribe(session, [kline])
        await rig.run_until(0.99)
        rig.costs(0.01)
        rig.price_at(1.52, "2")
        rig.price_at(1.531, "3")
        rig.batch_at(1.532, lambda: rig.kline(1, closed=True), closed=True)
        socket.read()
        await rig.run_until(1.9)
        (first_s, _), (closed_s, closed), (last_s, last) = socket.read_timed()
        assert (first_s, closed_s, last_s) == (1.53, 1.543, 1.553)
        assert (b"c1:1" in closed, b"t0:" in closed) == (True, False)
        assert b"t0:2>3" in last

    async def test_a_ring_for_a_closed_kline_is_not_lost_because_a_price_came_before(self, rig: Rig) -> None:
        rig.connect("AAAUSDT")
        await rig.flusher.flush()
        rig.flusher.schedule.flushed(Due(rig.hub.tiers[DEFAULT].groups[0], frozenset()), rig.now_s, 0.02)
        rung: list[float] = []
        rig.alarm.ring_at = rung.append  # type: ignore[assignment, method-assign]
        for closed in (False, False, True, False, True):
            rig.flusher.changed(closed)
        assert rung == pytest.approx([rig.now_s + 0.04, rig.now_s])

    async def test_a_client_that_wants_so_is_not_held_up_by_the_others(self, rig: Rig) -> None:
        _, fast = rig.connect("AAAUSDT", tier=FAST)
        _, usual = rig.connect("AAAUSDT")
        await rig.run_until(0.99)
        rig.load.levels[Cause.HTTP] = Level.BUSY
        await rig.run_until(1.09)
        rig.costs(0.002)
        for socket in (fast, usual):
            socket.read()
        for number in range(6):
            rig.price_at(1.1 + number / 100, str(number))
        await rig.run_until(1.14)
        assert [at_s for at_s, _ in fast.read_timed()] == [1.102, 1.112, 1.122, 1.132]
        assert len(usual.read_timed()) == 1


class TestVisits:
    async def test_each_group_is_told_a_new_feed_state_and_the_load(self, rig: Rig) -> None:
        sockets = [rig.connect("AAAUSDT", tier=tier)[1] for tier in (FAST, DEFAULT, TIER_RATES.index(1.0))]
        rig.ingest.connected()
        rig.price("1")
        await rig.run_until(2.0)
        for socket in sockets:
            socket.read()
        rig.ingest.disconnected("closed by the server")
        rig.load.levels[Cause.FLUSH] = Level.BUSY
        await rig.run_until(4.0)
        for socket in sockets:
            said = socket.read()
            assert said.count(b"redis>") == 1
            assert said.count(b"<100 load>") == 1

    async def test_a_closed_kline_does_not_use_up_a_visit(self, rig: Rig) -> None:
        rig.ingest.connected()
        _, socket = rig.connect("AAAUSDT")
        await rig.run_until(0.99)
        socket.read()
        (group,) = rig.hub.tiers[DEFAULT].groups
        state = group.feed_state
        rig.ingest.disconnected("closed by the server")
        rig.hub.publish(rig.market.take_changes())
        await rig.flusher._flush_group(Due(group, ALL_LANES), rig.now_s, rig.now_ms)
        assert group.feed_state is state
        await rig.run_until(1.1)
        assert b"redis>" in socket.read()


async def test_a_socket_that_is_full_misses_a_flush_and_gets_full_values_later(rig: Rig) -> None:
    session, socket = rig.connect("AAAUSDT")
    await rig.flush("5")
    socket.stall()
    await rig.flush("6")
    await rig.flush("7")
    assert session.cohort is None
    socket.stall(False)
    socket.read()
    await rig.flush()
    await rig.flush("8")
    assert socket.read() == b"[ t0:*>7 ][ t0:7>8 ]"


async def test_a_socket_that_takes_nothing_for_long_is_aborted(rig: Rig) -> None:
    _, socket = rig.connect("AAAUSDT")
    await rig.flush("5")
    socket.stall()
    for number in range(30):
        await rig.flush(str(number + 6))
    assert socket.aborted


async def test_the_market_does_not_advance_while_it_is_not_known_what_was_missed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    advanced: list[object] = []
    monkeypatch.setattr(rig.market, "advance", lambda now_ms, reading: advanced.append(reading))
    rig.ingest.disconnected("closed by the server")
    await rig.flush()
    assert advanced == []
    rig.ingest.connected()
    await rig.flush()
    assert advanced == [rig.backfill], "series that are being read do not advance"


async def test_a_flush_lets_other_tasks_run_between_slices(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        rig.connect("AAAUSDT")
    await rig.flush("1")
    monkeypatch.setattr(flush_module, "SLICE_S", -1.0)
    monkeypatch.setattr(flush_module, "CLOCK_SESSIONS", 1)
    rig.sleeps.clear()
    await rig.flush("2")
    assert rig.sleeps == [0.0]
    assert rig.resyncs == 2


async def test_what_others_take_between_slices_is_no_cost_of_the_flush(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        rig.connect("AAAUSDT")
    await rig.flush("1")
    await rig.flush("2")
    monkeypatch.setattr(flush_module, "SLICE_S", -1.0)

    def others(seconds: float) -> None:
        rig.now_s += 0.5

    rig.on_sleep = others
    rig.costs(0.002)
    noted: list[float] = []
    (group,) = rig.hub.tiers[DEFAULT].groups
    monkeypatch.setattr(group, "note_cost", noted.append)
    await rig.flush("3")
    assert noted == pytest.approx([0.002])


async def test_groups_whose_flushes_take_long_are_split_about_once_a_second(rig: Rig) -> None:
    sockets = [rig.connect("AAAUSDT")[1] for _ in range(8)]
    await rig.run_until(1.9)
    rig.costs(0.02)
    for number in range(300):
        rig.price_at(2.0 + number / 100, str(number))
    await rig.run_until(5.0)
    groups = rig.hub.tiers[DEFAULT].groups
    assert sorted(group.size for group in groups)[-1] <= 4
    assert sum(group.size for group in groups) == 8
    await rig.run_until(6.0)
    assert all(updates(socket).endswith(b">299 ]") for socket in sockets)


async def run_until(rig: Rig, done: Callable[[], bool]) -> None:
    """Let the flusher run with a new price every ten milliseconds until `done`."""
    for number in range(1000):
        if done():
            return
        rig.price_at(rig.now_s - START_S + 0.01, str(number))
        await rig.run_until(rig.now_s - START_S + 0.01)
    raise AssertionError("not done within ten seconds")


async def test_flushes_that_take_the_core_raise_the_level_which_every_client_is_told(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    _, socket = rig.connect("AAAUSDT")
    rig.costs(2 * INTERVAL_S)
    await run_until(rig, lambda: rig.load.level is Level.BUSY)
    socket.read()
    assert rig.flusher.schedule.busy
    await rig.flush()
    assert b"<100 load>" in socket.read()
    assert "load level busy (was normal) because flush 9" in caplog.text


async def test_while_the_process_is_busy_flushes_are_as_far_apart_as_they_may_be(rig: Rig) -> None:
    _, socket = rig.connect("AAAUSDT")
    rig.load.levels[Cause.INGEST] = Level.BUSY
    await run_until(rig, lambda: rig.flusher.schedule.busy)
    start_s = round(rig.now_s - START_S, 6)
    socket.read()
    for number in range(20):
        rig.price_at(start_s + number / 100, str(number))
    await rig.run_until(start_s + 0.2)
    times_s = [at_s for at_s, _ in socket.read_timed()]
    gaps_s = [after_s - before_s for before_s, after_s in pairwise(times_s)]
    assert gaps_s == pytest.approx([INTERVAL_S] * len(gaps_s), abs=0.001)
    assert len(gaps_s) >= 2


async def test_other_work_leaves_flushes_a_smaller_share(rig: Rig) -> None:
    given: list[tuple[float, float, bool]] = []

    def give(got: float, rest: float, *, others_wait: bool) -> None:
        given.append((got, rest, others_wait))

    rig.flusher.schedule.give = give  # type: ignore[method-assign]
    rig.load.shares.update({Cause.INGEST: 0.4, Cause.FLUSH: 0.2, Cause.OTHERS: 0.3})
    rig.flusher._observe_load(0.0)
    ((got, rest, others_wait),) = given
    assert not others_wait
    assert got == pytest.approx(0.7, abs=0.001)
    assert rest == pytest.approx(0.4, abs=0.001)


async def test_a_flush_that_others_keep_from_the_core_raises_no_level(rig: Rig) -> None:
    def lose() -> None:
        rig.now_s += 10 * INTERVAL_S

    rig.connect("AAAUSDT")
    for number in range(100):
        rig.at(number, lose)
    await rig.run_until(100.0)
    assert rig.load.level is Level.NORMAL


async def test_a_level_that_slows_no_flush_is_not_announced(rig: Rig) -> None:
    _, socket = rig.connect("AAAUSDT")
    rig.load.levels[Cause.INGEST] = Level.BUSY
    await run_until(rig, lambda: rig.load.level is Level.NORMAL)
    await rig.flush()
    assert b"<" not in socket.read()


async def test_sheds_the_slowest_clients_when_the_last_level_lasts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first = rig.connect("AAAUSDT")
    slow, second = rig.connect("AAAUSDT")
    rig.hub.move(slow, 5)
    monkeypatch.setattr(type(rig.load), "sheds", lambda self, now_s: 1)
    rig.flusher._observe_load(0.0)
    assert (first.closed_for, second.closed_for) == (None, Close.OVERLOADED)


def updates(socket: FakeSocket) -> bytes:
    """What was written since the last call, without notices and heartbeats."""
    return b"".join(re.findall(rb"\[[^]]*\]", socket.read()))


def follow(rig: Rig) -> tuple[StrictKlineChannel, Session, FakeSocket]:
    """A client that takes no corrections, and is shown kline 0."""
    session, socket = rig.connect()
    rig.kline(0)
    channel = rig.hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
    assert isinstance(channel, StrictKlineChannel)
    rig.hub.subscribe(session, [channel])
    session.add_pending([channel.n])
    return channel, session, socket


async def pass_s(rig: Rig, seconds: float) -> None:
    for _ in range(round(seconds / INTERVAL_S)):
        await rig.flush()


async def test_a_strict_channel_waits_for_a_close_for_as_long_as_it_may(rig: Rig) -> None:
    rig.ingest.connected()
    _, _, socket = follow(rig)
    rig.kline(1, close="101")
    await pass_s(rig, 9)
    assert updates(socket).replace(b"[ k0:105>105 ]", b"") == b"[ k0:*>105 ]"
    rig.kline(0, closed=True)
    await rig.flush()
    assert updates(socket) == b"[ c0:0 k0:105>101 ]"


async def test_a_client_that_lacks_a_close_is_disconnected(rig: Rig) -> None:
    rig.ingest.connected()
    _, _, socket = follow(rig)
    rig.kline(1, close="101")
    await pass_s(rig, 13)
    assert updates(socket).replace(b"[ k0:105>105 ]", b"") == b"[ k0:*>105 ][ k0:105>101 ]"
    rig.kline(0, closed=True)
    await rig.flush()
    assert socket.closed_for is Close.MISSED
    assert b"c0:0" not in socket.read()


async def test_clients_that_lack_a_close_are_disconnected_a_few_at_a_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush_module, "ENDS_MIN", 1)
    channel, _, _ = follow(rig)
    sockets = []
    for _ in range(3):
        session, socket = rig.connect()
        rig.hub.subscribe(session, [channel])
        rig.hub.strict.mark_to_end(channel, [session])
        sockets.append(socket)
    for ended in (1, 2, 3):
        await rig.flush()
        assert [socket.closing for socket in sockets] == [True] * ended + [False] * (3 - ended)


async def test_a_strict_channel_waits_for_as_long_as_the_store_is_read_for_it(rig: Rig) -> None:
    rig.ingest.connected()
    channel, _, socket = follow(rig)
    rig.kline(1, close="101")
    rig.backfill.reading.add(channel.series)
    await pass_s(rig, 30)
    rig.kline(0, closed=True)
    await rig.flush()
    assert updates(socket).replace(b"[ k0:105>105 ]", b"") == b"[ k0:*>105 ][ c0:0 k0:105>101 ]"


async def test_a_client_whose_pending_closes_were_dropped_is_disconnected(rig: Rig) -> None:
    rig.ingest.connected()
    _, session, socket = follow(rig)
    await rig.flush()
    socket.stall()
    for number in range(CONFIG.stream.closed_log + 2):
        rig.kline(number, closed=True)
        await rig.flush()
    socket.stall(False)
    socket.read()
    await pass_s(rig, 1)
    assert session.lacks_closed
    assert socket.closed_for is Close.MISSED
    assert socket.read() == b""
