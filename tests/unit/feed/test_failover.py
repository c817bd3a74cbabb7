"""Which of several sources is followed, and what the sink is told. Time is a number."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.feed.failover import Source, SourceFailover
from gateway.redis.contract import Topic

SWITCH_S = 2.0
TOPIC = Topic("BTCUSDT", "")


@dataclass
class Sink:
    told: list[str] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    surging: bool = False

    def connected(self) -> None:
        self.told.append("linked")

    def disconnected(self, reason: str) -> None:
        self.told.append(reason)

    def ingest(self, batch: list[tuple[Topic, bytes]]) -> None:
        self.payloads += [payload for _, payload in batch]


@dataclass
class Stage:
    """Sources `a`, `b` and `c` at a time that the test sets."""

    now_s: float = 1000.0
    sink: Sink = field(default_factory=Sink)

    def __post_init__(self) -> None:
        self.sources = SourceFailover("abc", self.sink, SWITCH_S, lambda: self.now_s)

    def __getitem__(self, name: str) -> Source:
        return self.sources.all[name]

    @property
    def active(self) -> str:
        return self.sources.active.name if self.sources.active else ""

    def link(self, *names: str) -> None:
        for name in names:
            self[name].connected()

    def says(self, name: str, payload: bytes = b"", after_s: float = 0.0) -> None:
        self.now_s += after_s
        self[name].ingest([(TOPIC, payload)])

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.sources.look()


def test_the_first_that_is_linked_is_followed_and_only_its_messages_count() -> None:
    stage = Stage()
    stage.link("b", "a")
    stage.says("b", b"1")
    stage.says("a", b"2")
    stage.says("b", b"3")
    assert stage.active == "b"
    assert stage.sink.payloads == [b"1", b"3"]
    assert (stage["a"].messages, stage["b"].messages) == (1, 2)


def test_each_source_that_comes_is_a_reason_to_read() -> None:
    stage = Stage()
    stage.link("a", "b")
    assert stage.sink.told == ["linked", "linked"]


def test_when_the_one_followed_is_lost_the_freshest_takes_over_and_the_sink_hears_of_no_loss() -> None:
    stage = Stage()
    stage.link("a", "b", "c")
    stage.says("c", after_s=1)
    stage.says("b", after_s=1)
    stage["a"].disconnected("closed")
    assert stage.active == "b"
    assert stage.sink.told == ["linked"] * 4
    assert (stage["a"].reason, stage["a"].failures, stage["a"].is_connected) == ("closed", 1, False)
    assert stage.sources.switches == 1


def test_the_loss_of_one_that_is_not_followed_is_nothing_to_the_sink() -> None:
    stage = Stage()
    stage.link("a", "b")
    stage["b"].disconnected("closed")
    assert stage.sink.told == ["linked", "linked"]
    assert (stage.active, stage.sources.switches) == ("a", 0)


def test_only_the_loss_of_the_last_one_is_told_and_attempts_that_fail_after_it_are_too() -> None:
    stage = Stage()
    stage.link("a", "b")
    stage["b"].disconnected("first")
    stage["a"].disconnected("second")
    stage["a"].disconnected("third")
    assert stage.sink.told == ["linked", "linked", "second", "third"]
    stage["b"].disconnected("fourth")
    assert stage.sink.told[-1] == "third", "the one that is followed speaks for all"
    stage.link("b")
    assert stage.sink.told[-1] == "linked"
    assert stage.active == "b"
    assert stage["b"].reason == ""


def test_before_any_was_linked_every_failure_is_told() -> None:
    stage = Stage()
    stage["b"].disconnected("refused")
    assert stage.sink.told == ["refused"]
    assert stage.active == ""


def test_of_the_last_one_what_still_comes_is_taken_though_it_is_not_whole() -> None:
    stage = Stage()
    stage.link("a")
    stage["a"].disconnected("one shard of three")
    stage.says("a", b"1")
    assert stage.sink.payloads == [b"1"]
    stage.link("a")
    assert stage.sink.told == ["linked", "one shard of three", "linked"]


def test_one_that_is_not_whole_is_never_ahead() -> None:
    stage = Stage()
    stage.link("a", "b")
    stage["b"].disconnected("one shard of three")
    stage.says("b")
    stage.wait(SWITCH_S)
    assert stage.active == "a"


def test_one_that_comes_back_is_not_followed_for_that() -> None:
    stage = Stage()
    stage.link("a", "b")
    stage["a"].disconnected("closed")
    stage.link("a")
    stage.says("b", b"1")
    stage.says("a", b"2")
    assert stage.active == "b"
    assert stage.sink.payloads == [b"1"]


class TestSilence:
    def test_one_that_lacks_what_another_has_is_left_after_a_time(self) -> None:
        stage = Stage()
        stage.link("a", "b")
        stage.says("a")
        stage.says("b", after_s=SWITCH_S)
        stage.wait(SWITCH_S - 0.1)
        assert stage.active == "a"
        stage.wait(0.1)
        assert stage.active == "b"
        assert stage.sink.told == ["linked"] * 3

    def test_a_late_copy_of_what_it_said_is_no_lack(self) -> None:
        stage = Stage()
        stage.link("a", "b")
        stage.says("a")
        stage.says("b", after_s=SWITCH_S - 0.1)
        stage.wait(100)
        assert stage.active == "a"

    def test_news_that_it_has_a_little_later_is_no_lack(self) -> None:
        stage = Stage()
        stage.link("a", "b")
        stage.says("a")
        stage.says("b", after_s=60)
        stage.says("a", after_s=SWITCH_S - 0.1)
        stage.wait(100)
        assert stage.active == "a"

    def test_one_that_never_said_anything_is_left_for_one_that_does(self) -> None:
        stage = Stage()
        stage.link("a", "b")
        stage.says("b")
        stage.wait(SWITCH_S)
        assert stage.active == "b"

    def test_a_market_that_is_quiet_everywhere_is_no_reason(self) -> None:
        stage = Stage()
        stage.link("a", "b")
        stage.says("a")
        stage.wait(100)
        assert stage.active == "a"

    def test_one_that_was_ahead_and_is_lost_is_not_followed(self) -> None:
        stage = Stage()
        stage.link("a", "b")
        stage.says("b")
        stage["b"].disconnected("closed")
        stage.wait(SWITCH_S)
        assert stage.active == "a"

    def test_of_several_that_are_ahead_the_freshest_is_followed(self) -> None:
        stage = Stage()
        stage.link("a", "b", "c")
        stage.says("c")
        stage.says("b", after_s=0.1)
        stage.wait(SWITCH_S)
        assert stage.active == "b"

    def test_after_a_switch_the_account_starts_anew(self) -> None:
        stage = Stage()
        stage.link("a", "b", "c")
        stage.says("b")
        stage.says("c", after_s=0.1)
        stage.wait(SWITCH_S)
        stage.says("c")
        stage.wait(SWITCH_S)
        assert (stage.active, stage.sources.switches) == ("c", 1)


def test_those_to_read_from_are_the_linked_ones_and_the_one_followed_comes_first() -> None:
    stage = Stage()
    assert stage.sources.by_health() == ["a", "b", "c"]
    stage.link("c", "a")
    assert stage.sources.by_health() == ["c", "a"]
    stage["c"].disconnected("closed")
    assert stage.sources.by_health() == ["a"]
    stage["a"].disconnected("closed")
    assert stage.sources.by_health() == ["a", "b", "c"]


def test_all_of_them_surge_together() -> None:
    stage = Stage()
    assert not stage["b"].surging
    stage.sink.surging = True
    assert stage["b"].surging


def test_health_and_metrics_say_how_each_is() -> None:
    stage = Stage()
    stage.link("a")
    stage.says("a")
    stage["b"].disconnected("closed")
    stage.now_s += 1.5
    health = stage.sources.health()
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
    assert stage["c"].reason == "not linked yet"
    assert stage.sources.metrics() == {
        "source_linked": {"a": 1, "b": 0, "c": 0},
        "source_followed": {"a": 1, "b": 0, "c": 0},
        "source_age_seconds": {"a": 1.5},
        "source_messages_total": {"a": 1, "b": 0, "c": 0},
        "source_failures_total": {"a": 0, "b": 1, "c": 0},
    }
