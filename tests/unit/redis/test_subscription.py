"""One subscribed connection: what it hands on, when it counts as connected, and when the watchdog ends it."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from gateway.redis.subscription import DRAIN_S, LAG_BYTES, LAG_TURNS, ConnectionLost, Subscription
from tests.unit.feed.doubles import FakeConnection, FakeTransport
from tests.virtual_time import in_virtual_time, settle

WATCHDOG_S = 10.0


class Receiver:
    def __init__(self) -> None:
        self.received_bytes = 0
        self.dropped = b""
        self.surging = False
        self.reads: list[list[list[bytes]]] = []
        self.charge: AbstractContextManager[None] = nullcontext()

    def reduce(self, data: bytes) -> bytes:
        return data.replace(self.dropped, b"") if self.dropped else data

    def take(self, messages: list[list[bytes]]) -> None:
        self.reads.append(messages)


class Subscribed:
    """A subscription on a fake transport."""

    def __init__(self, kind: str = "p", **transport: bool) -> None:
        self.receiver = Receiver()
        self.connected = 0
        self.lost_channels: list[bytes] = []
        self.subscription = Subscription(kind, self.receiver, self._connected, self.lost_channels.append)
        self.transport = FakeTransport(**transport)
        connection: Any = FakeConnection(self.transport)
        self.subscription.start(connection)

    def _connected(self) -> None:
        self.connected += 1

    async def ended(self) -> str:
        with pytest.raises(ConnectionLost) as lost:
            await self.subscription.watch(WATCHDOG_S)
        return str(lost.value)


def elapsed_s(since_s: float) -> float:
    return asyncio.get_running_loop().time() - since_s


@in_virtual_time
async def test_is_connected_when_the_last_name_is_acknowledged() -> None:
    it = Subscribed(acknowledges=False)
    it.subscription.subscribe(["a*", "b*"])
    assert it.transport.commands == [[b"PSUBSCRIBE", b"a*", b"b*"]]
    it.transport.send(b"psubscribe", b"a*", 1)
    await settle()
    assert (it.connected, it.subscription.connected) == (0, False)
    it.transport.send(b"psubscribe", b"b*", 2)
    await settle()
    assert (it.connected, it.subscription.connected) == (1, True)


@in_virtual_time
async def test_further_names_have_to_be_acknowledged_too() -> None:
    it = Subscribed("s")
    it.subscription.subscribe([b"a"], [b"b", b"c"])
    await settle()
    it.subscription.subscribe([b"d"])
    assert not it.subscription.connected
    await settle()
    assert it.connected == 2
    assert it.transport.commands == [[b"SSUBSCRIBE", b"a"], [b"SSUBSCRIBE", b"b", b"c"], [b"SSUBSCRIBE", b"d"]]


@in_virtual_time
async def test_one_read_is_handed_on_at_once_and_a_split_message_when_it_is_whole() -> None:
    it = Subscribed()
    raw = b"".join(b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$1\r\n%d\r\n" % number for number in (1, 2, 3))
    it.transport.send_raw(raw[:-5])
    it.transport.send_raw(raw[-5:])
    await settle()
    assert [[message[3] for message in read] for read in it.receiver.reads] == [[b"1", b"2"], [b"3"]]
    assert it.receiver.received_bytes == len(raw)


@in_virtual_time
async def test_a_connection_that_answers_pings_is_kept_however_quiet_it_is() -> None:
    it = Subscribed()
    watching = asyncio.create_task(it.subscription.watch(WATCHDOG_S))
    await asyncio.sleep(20 * WATCHDOG_S)
    assert not watching.done()
    assert it.transport.commands.count([b"PING"]) >= 30
    watching.cancel()


@in_virtual_time
async def test_a_frozen_server_is_noticed_within_the_watchdog_time() -> None:
    it = Subscribed(answers_pings=False)
    start_s = asyncio.get_running_loop().time()
    assert await it.ended() == "frozen: no answer in 10 s"
    assert elapsed_s(start_s) == pytest.approx(WATCHDOG_S, abs=0.01)
    assert it.transport.aborted


@in_virtual_time
async def test_messages_without_the_answer_to_a_ping_are_too_old() -> None:
    it = Subscribed(answers_pings=False)

    async def old_messages() -> None:
        while True:
            await asyncio.sleep(1)
            it.transport.publish(b"c", b"old")

    publishing = asyncio.create_task(old_messages())
    start_s = asyncio.get_running_loop().time()
    assert (await it.ended()).startswith("too slow")
    assert elapsed_s(start_s) == pytest.approx((LAG_TURNS / 2 + 1) * WATCHDOG_S, abs=0.01)
    assert it.transport.aborted
    publishing.cancel()


@in_virtual_time
async def test_while_messages_arrive_there_is_a_ping_only_now_and_then() -> None:
    it = Subscribed()
    watching = asyncio.create_task(it.subscription.watch(WATCHDOG_S))
    for _ in range(4 * LAG_TURNS):
        await asyncio.sleep(WATCHDOG_S / 4)
        it.transport.publish(b"c", b"news")
    assert it.transport.commands.count([b"PING"]) == 1
    await asyncio.sleep(1.1 * WATCHDOG_S)
    assert it.transport.commands.count([b"PING"]) == 3
    watching.cancel()


@in_virtual_time
async def test_while_much_arrives_pings_show_how_old_it_is() -> None:
    it = Subscribed()
    watching = asyncio.create_task(it.subscription.watch(WATCHDOG_S))
    for _ in range(16):
        it.transport.publish(b"c", b"x" * LAG_BYTES)
        await asyncio.sleep(WATCHDOG_S / 2)
    assert it.transport.commands.count([b"PING"]) >= 14
    watching.cancel()


@in_virtual_time
async def test_a_server_that_freezes_amid_messages_is_noticed_within_the_watchdog_time() -> None:
    it = Subscribed(answers_pings=False)
    watching = asyncio.create_task(it.subscription.watch(WATCHDOG_S))
    for _ in range(3):
        await asyncio.sleep(WATCHDOG_S / 4)
        it.transport.publish(b"c", b"news")
    start_s = asyncio.get_running_loop().time()
    with pytest.raises(ConnectionLost, match="frozen"):
        await watching
    assert elapsed_s(start_s) <= WATCHDOG_S + 0.01


@in_virtual_time
async def test_a_late_answer_to_a_ping_behind_messages_is_enough() -> None:
    it = Subscribed(answers_pings=False)
    watching = asyncio.create_task(it.subscription.watch(WATCHDOG_S))
    await asyncio.sleep(0.5 * WATCHDOG_S + 1)
    it.transport.publish(b"c", b"old")
    await asyncio.sleep(0.5 * WATCHDOG_S)
    it.transport.send(b"pong", b"")
    await asyncio.sleep(0.3 * WATCHDOG_S)
    assert not watching.done()
    watching.cancel()


@in_virtual_time
async def test_a_simple_string_answers_a_ping_too() -> None:
    it = Subscribed(answers_pings=False)
    watching = asyncio.create_task(it.subscription.watch(WATCHDOG_S))
    await asyncio.sleep(0.6 * WATCHDOG_S)
    for _ in range(4):
        it.transport.send_raw(b"+PONG\r\n")
        await asyncio.sleep(0.5 * WATCHDOG_S)
    assert not watching.done()
    watching.cancel()


@pytest.mark.parametrize(
    ("error", "reason"), [(None, "closed by the server"), (OSError("reset"), "reset")], ids=["closed", "error"]
)
def test_the_end_of_the_connection_ends_the_watch_with_its_reason(error: Exception | None, reason: str) -> None:
    @in_virtual_time
    async def run() -> None:
        it = Subscribed()
        it.transport.lose(error)
        assert await it.ended() == reason

    run()


@in_virtual_time
async def test_what_arrives_after_senseless_bytes_is_not_read() -> None:
    it = Subscribed()
    it.transport.send_raw(b"?senseless\r\n")
    assert (await it.ended()).startswith("protocol error")


@in_virtual_time
async def test_a_refused_subscription_ends_it_with_the_servers_words() -> None:
    it = Subscribed(acknowledges=False)
    it.subscription.subscribe(["a*"])
    it.transport.send_raw(b"-NOPERM this user may not\r\n")
    assert await it.ended() == "NOPERM this user may not"


@in_virtual_time
async def test_the_first_reason_wins() -> None:
    it = Subscribed()
    it.subscription.end("first")
    it.subscription.end("second")
    assert await it.ended() == "first"


@in_virtual_time
async def test_a_channel_that_the_server_unsubscribes_is_reported() -> None:
    it = Subscribed("s")
    it.subscription.subscribe([b"a", b"b"])
    it.transport.send(b"sunsubscribe", b"a", 1)
    await settle()
    assert it.lost_channels == [b"a"]


@in_virtual_time
async def test_other_replies_are_ignored() -> None:
    it = Subscribed()
    it.transport.send_raw(b"+OK\r\n")
    await settle()
    assert it.receiver.reads == []
    assert it.connected == 0


@in_virtual_time
async def test_in_a_surge_reads_are_collected_for_a_moment_and_parsed_at_once() -> None:
    it = Subscribed()
    it.subscription.subscribe(["a*"])
    await settle()
    it.receiver.surging = True
    for number in range(3):
        it.transport.send(b"pmessage", b"a*", b"a", b"%d" % number)
        await settle()
    before = list(it.receiver.reads)
    await asyncio.sleep(DRAIN_S)
    assert (before, [len(read) for read in it.receiver.reads]) == ([], [3])


@in_virtual_time
async def test_what_is_collected_is_parsed_before_a_read_after_the_surge(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Subscribed()
    it.subscription.subscribe(["a*"])
    await settle()
    it.receiver.surging = True
    it.transport.send(b"pmessage", b"a*", b"a", b"0")
    await settle()
    it.receiver.surging = False
    it.transport.send(b"pmessage", b"a*", b"a", b"1")
    await settle()
    assert [[message[-1] for message in read] for read in it.receiver.reads] == [[b"0", b"1"]]


@in_virtual_time
async def test_much_is_parsed_without_waiting_and_the_rest_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Subscribed()
    it.subscription.subscribe(["a*"])
    await settle()
    it.receiver.surging = True
    monkeypatch.setattr("gateway.redis.subscription.DRAIN_BYTES", 1)
    it.transport.send(b"pmessage", b"a*", b"a", b"0")
    await settle()
    monkeypatch.undo()
    it.transport.send(b"pmessage", b"a*", b"a", b"1")
    await settle()
    reads = len(it.receiver.reads)
    it.subscription.connection_lost(None)
    assert (reads, len(it.receiver.reads)) == (1, 2)


def message(payload: bytes) -> bytes:
    return b"*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$%d\r\n%b\r\n" % (len(payload), payload)


async def payloads(*reads: bytes, drops: bytes, surging: bool = True) -> list[bytes]:
    """What comes of some reads, of which the receiver does not want a part."""
    it = Subscribed()
    it.subscription.subscribe(["a*"])
    await settle()
    it.receiver.surging, it.receiver.dropped = surging, drops
    for data in reads:
        it.transport.send_raw(data)
        await settle()
        await asyncio.sleep(DRAIN_S)
    return [message[-1] for read in it.receiver.reads for message in read]


@in_virtual_time
async def test_what_the_receiver_does_not_want_in_a_surge_is_not_parsed() -> None:
    both = message(b"0") + message(b"1")
    assert await payloads(both, drops=message(b"0")) == [b"1"]
    assert await payloads(both, drops=message(b"0"), surging=False) == [b"0", b"1"]


@in_virtual_time
async def test_what_looks_like_a_message_inside_of_one_is_not_shown_to_the_receiver() -> None:
    payload = b"head" + message(b"0") * 2
    whole = message(payload)
    cut = whole.index(b"head") + 2
    assert await payloads(whole[:cut], whole[cut:], drops=message(b"0")) == [payload]


@in_virtual_time
async def test_after_the_end_of_a_message_of_an_earlier_read_the_receiver_is_asked_again() -> None:
    whole = message(b"first")
    assert await payloads(whole[:-4], whole[-4:] + message(b"0") + message(b"1"), drops=message(b"0")) == [
        b"first",
        b"1",
    ]
