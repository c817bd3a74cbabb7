import pytest

from gateway.delivery.session import Session
from gateway.delivery.throttle import UNSENT_SLOW_BYTES
from gateway.runtime import fanout as fanout_module
from tests.unit.delivery.samples import CLOSED_ONLY
from tests.unit.runtime.rig import Rig


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
    (tier,) = rig.hub.due()
    flush = fanout_module.FlushInfo(0, False, None, False)
    assert list(rig.flusher._fanout.serve(tier, flush)) == [2, 2, 1]
    assert all(socket.read().endswith(b"[ t0:1>2 ]") for socket in sockets)


async def test_a_quiet_client_gets_a_heartbeat(rig: Rig) -> None:
    _, socket = rig.connect("AAAUSDT")
    await rig.flush("1")
    socket.read()
    for _ in range(100):
        await rig.flush()
    assert socket.read() == b"<heartbeat>"


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
