"""Which values have changed, which members are new, and how often to poll."""

from __future__ import annotations

from bisect import insort

from gateway.feed.key_changes import (
    FIRST,
    READ_MAX,
    REMEMBERED,
    TIME_SHARE,
    KeyChangeTracker,
    PollInterval,
    SortedSetTail,
)
from gateway.redis.contract import Topic

BTC = Topic("BTCUSDT", "")
ETH = Topic("ETHUSDT", "")
KEY = "klines:BTCUSDT:1m"


class TestKeyChangeTracker:
    def test_an_unknown_topic_is_due(self) -> None:
        changes = KeyChangeTracker()
        assert changes.due(BTC, b"1")
        assert changes.due(ETH, b"1")

    def test_a_changed_timestamp_is_due_twice_because_the_value_may_follow_it(self) -> None:
        changes = KeyChangeTracker()
        assert [changes.due(BTC, b"1") for _ in range(4)] == [True, True, False, False]
        assert [changes.due(BTC, b"2") for _ in range(3)] == [True, True, False]

    def test_a_timestamp_that_goes_back_has_changed(self) -> None:
        changes = KeyChangeTracker()
        for _ in range(3):
            changes.due(BTC, b"2")
        assert changes.due(BTC, b"1")

    def test_a_topic_without_a_timestamp_is_always_due(self) -> None:
        changes = KeyChangeTracker()
        assert [changes.due(BTC, None) for _ in range(3)] == [True, True, True]
        assert changes.due(BTC, b"1")

    def test_a_forgotten_topic_is_due_again(self) -> None:
        changes = KeyChangeTracker()
        for _ in range(3):
            changes.due(BTC, b"1")
        changes.forget(BTC)
        changes.forget(ETH)
        assert changes.due(BTC, b"1")


class SortedSet:
    """As much of a sorted set as the commands need."""

    def __init__(self) -> None:
        self.members: list[tuple[int, bytes]] = []

    def add(self, score: int, member: bytes = b"") -> None:
        insort(self.members, (score, member or b"%d" % score))

    def read(self, tail: SortedSetTail) -> list[bytes]:
        name, key, start, *rest = tail.command(KEY)
        assert key == KEY
        if name == "ZREVRANGE":
            assert rest[1:] == ["WITHSCORES"]
            found = self.members[::-1][int(start) : int(rest[0]) + 1]
        else:
            assert (name, rest) == ("ZRANGEBYSCORE", ["+inf", "WITHSCORES", "LIMIT", 0, READ_MAX])
            found = [pair for pair in self.members if pair[0] >= int(start)][:READ_MAX]
        return tail.take([part for score, member in found for part in (member, b"%d" % score)])


def filled(count: int) -> tuple[SortedSet, SortedSetTail]:
    stored, tail = SortedSet(), SortedSetTail()
    for score in range(count):
        stored.add(score)
    stored.read(tail)
    return stored, tail


class TestSortedSetTail:
    def test_the_first_read_returns_the_newest_few_oldest_first(self) -> None:
        stored, tail = SortedSet(), SortedSetTail()
        for score in range(100):
            stored.add(score)
        assert stored.read(tail) == [b"%d" % score for score in range(100 - FIRST, 100)]
        assert stored.read(tail) == []

    def test_the_first_member_of_an_empty_set_is_new(self) -> None:
        stored, tail = SortedSet(), SortedSetTail()
        assert stored.read(tail) == []
        stored.add(7)
        assert stored.read(tail) == [b"7"]

    def test_all_members_since_the_last_read_are_new_however_many(self) -> None:
        stored, tail = filled(10)
        for score in range(10, 300):
            stored.add(score)
        assert stored.read(tail) == [b"%d" % score for score in range(10, 300)]
        assert stored.read(tail) == []

    def test_a_late_member_is_new(self) -> None:
        stored, tail = filled(0)
        for score in (10, 20, 40):
            stored.add(score)
        stored.read(tail)
        stored.add(30)
        assert stored.read(tail) == [b"30"]

    def test_a_second_member_with_the_same_score_is_new(self) -> None:
        stored, tail = filled(10)
        stored.add(8, b"8 again")
        stored.add(9, b"9 again")
        assert stored.read(tail) == [b"8 again", b"9 again"]

    def test_members_older_than_all_remembered_ones_are_not_returned(self) -> None:
        stored, tail = filled(4)
        for score in range(100, 100 + REMEMBERED):
            stored.add(score)
        stored.read(tail)
        stored.add(50)
        assert stored.read(tail) == []
        stored.add(105, b"late")
        assert stored.read(tail) == [b"late"]

    def test_impossible_members_are_returned_once_and_are_not_where_the_next_read_starts(self) -> None:
        tail, limit_ms = SortedSetTail(), 1_700_000_060_000
        past, future = b"1700000000000", b"1800000000000"
        assert tail.take([b"future", future], limit_ms) == [b"future"]
        assert tail.command(KEY)[0] == "ZREVRANGE"
        assert tail.take([b"future", future], limit_ms) == []
        assert tail.take([b"future", future, b"real", past], limit_ms) == [b"real"]
        assert tail.command(KEY)[2] == past
        assert tail.take([b"future", future, b"real", past], limit_ms) == []

    def test_where_all_that_was_read_is_impossible_all_is_read(self) -> None:
        tail = SortedSetTail()
        members = [part for number in range(FIRST) for part in (b"%d" % number, b"1800000000000")]
        tail.take(members, 1_700_000_000_000)
        assert tail.needs_more
        assert tail.command(KEY) == ("ZREVRANGE", KEY, 0, READ_MAX - 1, "WITHSCORES")
        tail.take([*members, b"real", b"1600000000000"], 1_700_000_000_000)
        assert not tail.needs_more

    def test_scores_in_another_unit_are_judged_by_the_time_that_they_mean(self) -> None:
        tail = SortedSetTail()
        tail.take([b"one", b"1700000000000000"], 1_700_000_060_000)
        assert tail.command(KEY)[2] == b"1700000000000000"

    def test_a_set_that_was_deleted_and_written_again_returns_only_new_members(self) -> None:
        stored, tail = filled(10)
        stored.members.clear()
        assert stored.read(tail) == []
        for score in range(12):
            stored.add(score)
        assert stored.read(tail) == [b"10", b"11"]


class TestPollInterval:
    def test_starts_with_the_shortest_interval(self) -> None:
        assert PollInterval(0.1, 1.0).period_s == 0.1

    def test_grows_up_to_the_longest_while_nothing_changes(self) -> None:
        interval, periods = PollInterval(0.1, 1.0), []
        for _ in range(20):
            interval.polled(changed=False, took_s=0.001)
            periods.append(interval.period_s)
        assert periods == sorted(periods)
        assert periods[0] > 0.1
        assert periods[-1] == 1.0

    def test_a_change_brings_back_the_shortest_interval_at_once(self) -> None:
        interval = PollInterval(0.1, 1.0)
        for _ in range(20):
            interval.polled(changed=False, took_s=0.001)
        interval.polled(changed=True, took_s=0.001)
        assert interval.period_s == 0.1

    def test_polls_of_a_slow_server_take_no_more_than_their_share_of_time(self) -> None:
        interval = PollInterval(0.1, 1.0)
        interval.polled(changed=True, took_s=0.5)
        assert interval.period_s == 0.5 / TIME_SHARE
        interval.polled(changed=True, took_s=0.001)
        assert interval.period_s == 0.1
