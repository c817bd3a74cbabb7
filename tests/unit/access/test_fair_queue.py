"""Groups take turns."""

from __future__ import annotations

import pytest

from gateway.access.fair_queue import FairQueue


def test_groups_take_turns_and_keep_their_own_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for group, item in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
        queue.push(group, item)
    assert [queue.pop() for _ in range(len(queue))] == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_an_item_can_be_pushed_before_the_others_of_its_group() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("a", "a1")
    queue.push("a", "a0", first=True)
    assert [queue.pop(), queue.pop()] == ["a0", "a1"]


def test_an_empty_queue_has_no_next_item() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("a", "a1")
    queue.pop()
    assert not queue
    with pytest.raises(IndexError):
        queue.pop()


def test_the_items_of_a_group_are_counted() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2"):
        queue.push("a", item)
    queue.push("b", "b1")
    assert (len(queue), queue.size_of("a"), queue.size_of("c")) == (3, 2, 0)
    queue.pop()
    assert (len(queue), queue.size_of("a")) == (2, 1)
