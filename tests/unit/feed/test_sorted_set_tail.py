"""What is new in a sorted set, whatever order it was written in."""

from __future__ import annotations

from bisect import insort

from gateway.feed.sorted_set_tail import FIRST, READ_MAX, REMEMBERED, SortedSetTail

KEY = "klines:BTCUSDT:1m"


class SortedSet:
    """As much of one as the commands need."""

    def __init__(self) -> None:
        self.members: list[tuple[int, bytes]] = []

    def add(self, score: int, member: bytes = b"") -> None:
        insort(self.members, (score, member or b"%d" % score))

    def look(self, tail: SortedSetTail) -> list[bytes]:
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
    stored.look(tail)
    return stored, tail


def test_the_first_look_brings_the_newest_few_oldest_first() -> None:
    stored, tail = SortedSet(), SortedSetTail()
    for score in range(100):
        stored.add(score)
    assert stored.look(tail) == [b"%d" % score for score in range(100 - FIRST, 100)]
    assert stored.look(tail) == []


def test_an_empty_set_brings_nothing_and_its_first_member_is_new() -> None:
    stored, tail = SortedSet(), SortedSetTail()
    assert stored.look(tail) == []
    stored.add(7)
    assert stored.look(tail) == [b"7"]


def test_everything_that_has_come_since_is_new_however_much_it_is() -> None:
    stored, tail = filled(10)
    for score in range(10, 300):
        stored.add(score)
    assert stored.look(tail) == [b"%d" % score for score in range(10, 300)]
    assert stored.look(tail) == []


def test_what_comes_late_is_new() -> None:
    stored, tail = filled(0)
    for score in (10, 20, 40):
        stored.add(score)
    stored.look(tail)
    stored.add(30)
    assert stored.look(tail) == [b"30"]


def test_a_second_member_of_one_score_is_new() -> None:
    stored, tail = filled(10)
    stored.add(8, b"8 again")
    stored.add(9, b"9 again")
    assert stored.look(tail) == [b"8 again", b"9 again"]


def test_only_the_newest_members_are_told_apart() -> None:
    stored, tail = filled(4)
    for score in range(100, 100 + REMEMBERED):
        stored.add(score)
    stored.look(tail)
    stored.add(50)
    assert stored.look(tail) == [], "before all that is remembered"
    stored.add(105, b"late")
    assert stored.look(tail) == [b"late"]


def test_a_set_that_was_emptied_and_filled_again_brings_only_what_is_new() -> None:
    stored, tail = filled(10)
    stored.members.clear()
    assert stored.look(tail) == []
    for score in range(12):
        stored.add(score)
    assert stored.look(tail) == [b"10", b"11"]
