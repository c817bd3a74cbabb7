"""Which stream goes over which connection."""

from __future__ import annotations

from collector.binance.plan import Change, Plan


def test_streams_fill_one_connection_after_the_other() -> None:
    plan = Plan(2)
    assert plan.want(["a", "b", "c"]) == [Change(0, (), ["a", "b"]), Change(1, (), ["c"])]
    assert plan.numbers == [0, 1]
    assert plan.streams(0) == ["a", "b"]


def test_streams_stay_where_they_are_and_new_ones_take_the_places_that_are_free() -> None:
    plan = Plan(2)
    plan.want(["a", "b", "c"])
    assert plan.want(["b", "c", "d", "e"]) == [Change(0, ["a"], ["d"]), Change(1, [], ["e"])]


def test_nothing_changes_where_the_same_is_wanted_again() -> None:
    plan = Plan(2)
    plan.want(["a"])
    assert plan.want(["a"]) == []


def test_a_connection_without_streams_is_over_and_its_number_is_used_again() -> None:
    plan = Plan(1)
    plan.want(["a", "b"])
    assert plan.want(["b"]) == [Change(0, ["a"], ())]
    assert plan.numbers == [1]
    assert plan.streams(0) == []
    assert plan.want(["b", "c"]) == [Change(0, (), ["c"])]
