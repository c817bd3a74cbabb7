"""Which of several sources is active, and what the sink is told. Time is a number."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gateway.feed.failover import Source, SourceFailover
from gateway.redis.contract import Topic
from tests.unit.feed.doubles import CONNECTED, RecordingSink
from tests.virtual_time import in_virtual_time

SWITCH_S = 2.0
TOPIC, KLINE = Topic("BTCUSDT", ""), Topic("BTCUSDT", "1m")
GARBAGE = b"?"


def is_usable(_: Topic, payload: bytes) -> bool:
    return payload != GARBAGE


@dataclass
class Failover:
    """Sources `a`, `b` and `c` at a time that the test sets."""

    now_s: float = 1000.0
    sink: RecordingSink = field(default_factory=RecordingSink)
    sent: int = 0

    def __post_init__(self) -> None:
        self.sources = SourceFailover("abc", SWITCH_S, is_usable, lambda: self.now_s)
        self.sources.connect(self.sink)

    def __getitem__(self, name: str) -> Source:
        return self.sources.all[name]

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.sink.messages]

    @property
    def active(self) -> str:
        return self.sources.active.name if self.sources.active else ""

    def connect(self, *names: str) -> None:
        for name in names:
            self[name].connected()

    def send(self, name: str, payload: bytes | None = None, after_s: float = 0.0, topic: Topic = TOPIC) -> None:
        """Without a payload one that has not come before."""
        self.now_s += after_s
        self.sent += 1
        self[name].ingest([(topic, b"%d" % self.sent if payload is None else payload)])

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.sources.check()


def test_the_first_source_to_connect_is_active_and_only_its_messages_pass() -> None:
    failover = Failover()
    failover.connect("b", "a")
    failover.send("b", b"1")
    failover.send("a", b"2")
    failover.send("b", b"3")
    assert failover.active == "b"
    assert failover.payloads == [b"1", b"3"]
    assert (failover["a"].messages, failover["b"].messages) == (1, 2)


def test_each_source_that_connects_makes_the_sink_read_again() -> None:
    failover = Failover()
    failover.connect("a", "b")
    assert failover.sink.states == [CONNECTED, CONNECTED]


def test_the_freshest_source_replaces_a_lost_one_without_a_disconnect() -> None:
    failover = Failover()
    failover.connect("a", "b", "c")
    failover.send("c", after_s=1)
    failover.send("b", after_s=1)
    failover["a"].disconnected("closed")
    assert failover.active == "b"
    assert failover.sink.states == [CONNECTED] * 4
    assert (failover["a"].reason, failover["a"].failures, failover["a"].is_connected) == ("closed", 1, False)
    assert failover.sources.switches == 1


def test_the_sink_is_not_told_of_a_lost_standby_source() -> None:
    failover = Failover()
    failover.connect("a", "b")
    failover["b"].disconnected("closed")
    assert failover.sink.states == [CONNECTED, CONNECTED]
    assert (failover.active, failover.sources.switches) == ("a", 0)


def test_the_sink_is_told_when_the_last_source_is_lost_and_of_failed_retries() -> None:
    failover = Failover()
    failover.connect("a", "b")
    failover["b"].disconnected("first")
    failover["a"].disconnected("second")
    failover["a"].disconnected("third")
    assert failover.sink.states == [CONNECTED, CONNECTED, "second", "third"]
    failover["b"].disconnected("fourth")
    assert failover.sink.states[-1] == "third", "only the active source's state counts"
    failover.connect("b")
    assert failover.sink.states[-1] == CONNECTED
    assert failover.active == "b"
    assert failover["b"].reason == ""


def test_before_any_source_has_connected_every_failure_is_reported() -> None:
    failover = Failover()
    failover["b"].disconnected("refused")
    assert failover.sink.states == ["refused"]
    assert failover.active == ""


def test_a_disconnected_active_source_without_a_standby_still_delivers() -> None:
    failover = Failover()
    failover.connect("a")
    failover["a"].disconnected("one shard of three")
    failover.send("a", b"1")
    assert failover.payloads == [b"1"]
    failover.connect("a")
    assert failover.sink.states == [CONNECTED, "one shard of three", CONNECTED]


def test_a_disconnected_source_is_never_ahead() -> None:
    failover = Failover()
    failover.connect("a", "b")
    failover["b"].disconnected("one shard of three")
    failover.send("b")
    failover.wait(SWITCH_S)
    assert failover.active == "a"


def test_a_source_that_comes_back_does_not_become_active() -> None:
    failover = Failover()
    failover.connect("a", "b")
    failover["a"].disconnected("closed")
    failover.connect("a")
    failover.send("b", b"1")
    failover.send("a", b"2")
    assert failover.active == "b"
    assert failover.payloads == [b"1"]


class TestSilentSource:
    def test_is_left_when_it_lacks_an_update_for_long_enough(self) -> None:
        failover = Failover()
        failover.connect("a", "b")
        failover.send("a")
        failover.send("b", after_s=SWITCH_S)
        failover.wait(SWITCH_S - 0.1)
        assert failover.active == "a"
        failover.wait(0.1)
        assert failover.active == "b"
        assert failover.sink.states == [CONNECTED] * 3

    def test_a_late_copy_of_its_own_update_is_not_missing(self) -> None:
        failover = Failover()
        failover.connect("a", "b")
        failover.send("a")
        failover.send("b", after_s=SWITCH_S - 0.1)
        failover.wait(100)
        assert failover.active == "a"

    def test_an_update_that_it_delivers_a_little_later_is_not_missing(self) -> None:
        failover = Failover()
        failover.connect("a", "b")
        failover.send("a")
        failover.send("b", after_s=60)
        failover.send("a", after_s=SWITCH_S - 0.1)
        failover.wait(100)
        assert failover.active == "a"

    def test_is_left_when_it_never_delivered_anything(self) -> None:
        failover = Failover()
        failover.connect("a", "b")
        failover.send("b")
        failover.wait(SWITCH_S)
        assert failover.active == "b"

    def test_a_market_that_is_quiet_everywhere_is_no_reason_to_switch(self) -> None:
        failover = Failover()
        failover.connect("a", "b")
        failover.send("a")
        failover.wait(100)
        assert failover.active == "a"

    def test_a_source_that_was_ahead_and_is_lost_does_not_become_active(self) -> None:
        failover = Failover()
        failover.connect("a", "b")
        failover.send("b")
        failover["b"].disconnected("closed")
        failover.wait(SWITCH_S)
        assert failover.active == "a"

    def test_the_freshest_of_several_that_are_ahead_becomes_active(self) -> None:
        failover = Failover()
        failover.connect("a", "b", "c")
        failover.send("c")
        failover.send("b", after_s=0.1)
        failover.wait(SWITCH_S)
        assert failover.active == "b"

    def test_after_a_switch_the_comparison_starts_again(self) -> None:
        failover = Failover()
        failover.connect("a", "b", "c")
        failover.send("b")
        failover.send("c", after_s=0.1)
        failover.wait(SWITCH_S)
        failover.send("c")
        failover.wait(SWITCH_S)
        assert (failover.active, failover.sources.switches) == ("c", 1)


class TestSourceWithoutUsableData:
    @pytest.mark.parametrize("payload", [GARBAGE, b"the same"], ids=["garbage", "repetition"])
    def test_is_left_for_one_that_has_some(self, payload: bytes) -> None:
        failover = Failover()
        failover.connect("a", "b")
        failover.send("a", b"the same")
        for _ in range(20):
            failover.send("a", payload, after_s=0.1)
            failover.send("b", after_s=0.1)
            failover.sources.check()
        assert failover.active == "a"
        for _ in range(20):
            failover.send("a", payload, after_s=0.1)
            failover.send("b", after_s=0.1)
            failover.sources.check()
        assert (failover.active, failover.sources.switches) == ("b", 1)

    def test_does_not_become_active(self) -> None:
        failover = Failover()
        failover.connect("a", "b")
        failover.send("a")
        for _ in range(50):
            failover.send("b", GARBAGE, after_s=0.1)
            failover.sources.check()
        assert failover.active == "a"

    def test_is_the_last_choice_when_the_active_one_is_lost(self) -> None:
        failover = Failover()
        failover.connect("a", "b", "c")
        failover.send("c")
        failover.send("b", GARBAGE, after_s=1)
        failover["a"].disconnected("closed")
        assert failover.active == "c"

    def test_has_no_age(self) -> None:
        failover = Failover()
        failover.connect("a")
        failover.send("a", GARBAGE)
        assert failover.sources.health()["a"]["age_s"] is None
        assert failover.sources.health()["a"]["messages"] == 1

    def test_does_not_hide_that_the_active_one_is_better(self) -> None:
        failover = Failover()
        failover.connect("a", "b")
        for _ in range(30):
            failover.send("b", after_s=0.1)
            failover.send("a", after_s=0.1)
            failover.sources.check()
        assert failover.sources.switches == 0


class TestSourceWithoutALane:
    def send(self, failover: Failover, *lanes: tuple[str, Topic, bytes | None]) -> None:
        for _ in range(30):
            failover.now_s += 0.2
            for name, topic, payload in lanes:
                failover.send(name, payload, topic=topic)
            failover.sources.check()

    @pytest.mark.parametrize("bad", [TOPIC, KLINE], ids=["prices", "klines"])
    def test_is_left_for_one_that_has_both(self, bad: Topic) -> None:
        failover = Failover()
        failover.connect("a", "b")
        good = KLINE if bad is TOPIC else TOPIC
        self.send(failover, ("a", bad, GARBAGE), ("a", good, None), ("b", bad, None), ("b", good, None))
        assert (failover.active, failover.sources.switches) == ("b", 1)

    def test_stays_active_while_the_other_one_does_not_have_what_it_has(self) -> None:
        failover = Failover()
        failover.connect("a", "b")
        self.send(failover, ("a", KLINE, None), ("b", TOPIC, None))
        assert failover.sources.switches == 0

    def test_is_left_when_the_other_one_brings_that_too(self) -> None:
        failover = Failover()
        failover.connect("a", "b")
        self.send(failover, ("a", KLINE, None), ("b", TOPIC, None))
        self.send(failover, ("a", KLINE, None), ("b", TOPIC, None), ("b", KLINE, None))
        assert (failover.active, failover.sources.switches) == ("b", 1)

    def test_the_switch_says_what_was_missing(self, caplog: pytest.LogCaptureFixture) -> None:
        failover = Failover()
        failover.connect("a", "b")
        self.send(failover, ("a", KLINE, None), ("b", TOPIC, None), ("b", KLINE, None))
        assert "from a to b: no usable prices" in caplog.text


def test_reads_go_to_connected_sources_and_to_the_active_one_first() -> None:
    failover = Failover()
    assert failover.sources.by_health() == ["a", "b", "c"]
    failover.connect("c", "a")
    assert failover.sources.by_health() == ["c", "a"]
    failover["c"].disconnected("closed")
    assert failover.sources.by_health() == ["a"]
    failover["a"].disconnected("closed")
    assert failover.sources.by_health() == ["a", "b", "c"]


def test_a_surge_of_the_sink_is_one_of_every_source() -> None:
    failover = Failover()
    assert not failover["b"].surging
    failover.sink.surging = True
    assert failover["b"].surging


def test_health_and_metrics_report_each_source() -> None:
    failover = Failover()
    failover.connect("a")
    failover.send("a")
    failover["b"].disconnected("closed")
    failover.now_s += 1.5
    health = failover.sources.health()
    assert health["a"] == {
        "linked": True,
        "followed": True,
        "age_s": 1.5,
        "messages": 1,
        "failures": 0,
    }
    assert health["b"] == {
        "linked": False,
        "followed": False,
        "age_s": None,
        "messages": 0,
        "failures": 1,
    }
    assert failover["c"].reason == "not connected yet"
    assert failover.sources.metrics() == {
        "source_linked": {"a": 1, "b": 0, "c": 0},
        "source_followed": {"a": 1, "b": 0, "c": 0},
        "source_age_seconds": {"a": 1.5},
        "source_messages_total": {"a": 1, "b": 0, "c": 0},
        "source_failures_total": {"a": 0, "b": 1, "c": 0},
    }


@in_virtual_time
async def test_the_sources_are_compared_regularly() -> None:
    clock_s = asyncio.get_running_loop().time
    sources = SourceFailover("ab", SWITCH_S, is_usable, clock_s)
    sources.connect(RecordingSink())
    for source in sources.all.values():
        source.connected()
    checking = asyncio.create_task(sources.run())
    sources.all["b"].ingest([(TOPIC, b"")])
    await asyncio.sleep(1.5 * SWITCH_S)
    assert sources.active is sources.all["b"]
    checking.cancel()
