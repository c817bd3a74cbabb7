from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from gateway.delivery.channel import StrictKlineChannel
from gateway.delivery.close_codes import Close
from gateway.delivery.load_meter import Cause
from gateway.delivery.load_remedies import Level
from gateway.runtime import flush as flush_module
from tests.builders import kline, kline_update
from tests.unit.runtime.rig import CONFIG, INTERVAL_S, Rig, Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.session import Session
    from gateway.market.state import Changes
    from tests.fakes import FakeSocket


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


async def test_run_flushes_once_an_interval_and_skips_what_it_is_late_for(rig: Rig) -> None:
    _, socket = rig.connect("AAAUSDT")
    starts: list[float] = []

    def on_sleep(seconds: float) -> None:
        starts.append(round(rig.now_s - 1000, 3))
        if len(starts) == 2:
            # Something else kept the loop for five intervals.
            rig.now_s += 5 * INTERVAL_S
        if len(starts) == 4:
            raise Stop
        rig.price(str(len(starts)))

    rig.on_sleep = on_sleep
    with pytest.raises(Stop):
        await rig.flusher.run()
    assert starts == [0.05, 0.1, 0.35, 0.4]
    assert socket.read() == b"[ t0:*>1 ][ t0:1>2 ][ t0:2>3 ]"
    assert rig.counters.overruns == 1
    assert rig.flusher.flushed_s == pytest.approx(1000.35)


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


async def run_until(rig: Rig, done: Callable[[], bool], *, cpu_s: float) -> None:
    """Let the flusher run, where every flush takes so much CPU time (and as long on the clock), until `done`."""
    flushes = 0

    def on_sleep(seconds: float) -> None:
        nonlocal flushes
        flushes += 1
        if done() or flushes > 1000:
            raise Stop
        rig.price(str(flushes))

    publish = rig.hub.publish

    def costly(changes: Changes) -> None:
        publish(changes)
        rig.now_s += cpu_s
        rig.cpu_s += cpu_s

    rig.on_sleep = on_sleep
    rig.hub.publish = costly  # type: ignore[method-assign]
    with pytest.raises(Stop):
        await rig.flusher.run()
    rig.on_sleep = lambda seconds: None
    rig.hub.publish = publish  # type: ignore[method-assign]


async def test_flushes_that_take_the_core_raise_the_level_which_every_client_is_told(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    _, socket = rig.connect("AAAUSDT")
    await run_until(rig, lambda: rig.load.level is Level.BUSY, cpu_s=INTERVAL_S)
    socket.read()
    await rig.flush()
    assert b"<100 load>" in socket.read()
    assert "load level busy (was normal) because flush 9" in caplog.text


async def test_a_flush_that_others_keep_from_the_core_raises_no_level(rig: Rig) -> None:
    def lose(seconds: float) -> None:
        rig.now_s += 10 * INTERVAL_S
        if rig.now_s > 1100:
            raise Stop

    rig.connect("AAAUSDT")
    rig.on_sleep = lose
    with pytest.raises(Stop):
        await rig.flusher.run()
    assert rig.load.level is Level.NORMAL


async def test_a_level_that_slows_no_flush_is_not_announced(rig: Rig) -> None:
    _, socket = rig.connect("AAAUSDT")
    rig.load.levels[Cause.INGEST] = Level.BUSY
    await run_until(rig, lambda: rig.load.level is Level.NORMAL, cpu_s=0.0)
    await rig.flush()
    assert b"<" not in socket.read()


async def test_sheds_the_slowest_clients_when_the_last_level_lasts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first = rig.connect("AAAUSDT")
    slow, second = rig.connect("AAAUSDT")
    rig.hub.move(slow, 3)
    monkeypatch.setattr(type(rig.load), "sheds", lambda self, now_s: 1)
    rig.flusher._observe_load(0.0)
    assert (first.closed_for, second.closed_for) == (None, Close.OVERLOADED)


def updates(socket: FakeSocket) -> bytes:
    """What was written since the last call, without notices and heartbeats."""
    return b"".join(re.findall(rb"\[[^]]*\]", socket.read()))


def follow(rig: Rig) -> tuple[StrictKlineChannel, Session, FakeSocket]:
    """A client that takes no corrections, and is shown kline 0."""
    session, socket = rig.connect()
    apply(rig, 0)
    channel = rig.hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
    assert isinstance(channel, StrictKlineChannel)
    rig.hub.subscribe(session, [channel])
    session.add_pending([channel.n])
    return channel, session, socket


def apply(rig: Rig, number: int, **changes: Any) -> None:
    rig.market.apply(kline_update(kline(number, **changes), "AAAUSDT"), rig.now_ms)


async def pass_s(rig: Rig, seconds: float) -> None:
    for _ in range(round(seconds / INTERVAL_S)):
        await rig.flush()


async def test_a_strict_channel_waits_for_a_close_for_as_long_as_it_may(rig: Rig) -> None:
    rig.ingest.connected()
    _, _, socket = follow(rig)
    apply(rig, 1, close="101")
    await pass_s(rig, 9)
    assert updates(socket).replace(b"[ k0:105>105 ]", b"") == b"[ k0:*>105 ]"
    apply(rig, 0, closed=True)
    await rig.flush()
    assert updates(socket) == b"[ c0:0 k0:105>101 ]"


async def test_a_client_that_lacks_a_close_is_disconnected(rig: Rig) -> None:
    rig.ingest.connected()
    _, _, socket = follow(rig)
    apply(rig, 1, close="101")
    await pass_s(rig, 13)
    assert updates(socket).replace(b"[ k0:105>105 ]", b"") == b"[ k0:*>105 ][ k0:105>101 ]"
    apply(rig, 0, closed=True)
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
    apply(rig, 1, close="101")
    rig.backfill.reading.add(channel.series)
    await pass_s(rig, 30)
    apply(rig, 0, closed=True)
    await rig.flush()
    assert updates(socket).replace(b"[ k0:105>105 ]", b"") == b"[ k0:*>105 ][ c0:0 k0:105>101 ]"


async def test_a_client_whose_pending_closes_were_dropped_is_disconnected(rig: Rig) -> None:
    rig.ingest.connected()
    _, session, socket = follow(rig)
    await rig.flush()
    socket.stall()
    for number in range(CONFIG.stream.closed_log + 2):
        apply(rig, number, closed=True)
        await rig.flush()
    socket.stall(False)
    socket.read()
    await pass_s(rig, 1)
    assert session.lacks_closed
    assert socket.closed_for is Close.MISSED
    assert socket.read() == b""
