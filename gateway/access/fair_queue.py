"""A queue in which groups take turns. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Groups take turns; within a group the first in is the first out."""

    def __init__(self) -> None:
        self._groups: OrderedDict[str, deque[T]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def size_of(self, group: str) -> int:
        """How many items of a group are in the queue."""
        return len(self._groups.get(group, ()))

    def push(self, group: str, item: T, *, first: bool = False) -> None:
        """`first`: before the other items of the group."""
        items = self._groups.setdefault(group, deque())
        if first:
            items.appendleft(item)
        else:
            items.append(item)
        self._size += 1

    def pop(self) -> T:
        """The next item of the group whose turn it is. Raises `IndexError` if the queue is empty."""
        if not self._size:
            raise IndexError("the queue is empty")
        group, items = self._groups.popitem(last=False)
        item = items.popleft()
        if items:
            # To the end of the order.
            self._groups[group] = items
        self._size -= 1
        return item
