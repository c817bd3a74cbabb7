"""The end of a sorted set as last read, to tell new members from known ones. Pure; does not look inside members.

Each reading starts at the oldest member remembered, not after the newest: members that come late (T2 after T3) and
corrections (a second member of one score) lie between them, and whatever has come since the last reading is there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

REMEMBERED = 16
"""Members told apart. What is written later among older ones is read with history only."""

FIRST = 4
"""Members taken at the first look. Older ones are for who reads history, and a hole before them is found as such."""

READ_MAX = 512
"""Members in one reading: all that the collector keeps."""

Command = tuple[str | int | bytes, ...]


class SortedSetTail:
    __slots__ = ("_members", "_start")

    def __init__(self) -> None:
        self._members: tuple[bytes, ...] = ()
        self._start = b""

    def command(self, key: str) -> Command:
        """What to ask; the answer is for `take`."""
        if not self._members:
            return ("ZREVRANGE", key, 0, FIRST - 1, "WITHSCORES")
        return ("ZRANGEBYSCORE", key, self._start, "+inf", "WITHSCORES", "LIMIT", 0, READ_MAX)

    def take(self, answer: Sequence[bytes]) -> list[bytes]:
        """The members that are new, by score. `answer`: members and scores in turns, in any order."""
        scored = sorted(zip(answer[::2], answer[1::2], strict=True), key=_score)
        known = frozenset(self._members)
        fresh = [member for member, _ in scored if member not in known]
        if fresh:
            kept = scored[-REMEMBERED:]
            self._members = tuple(member for member, _ in kept)
            self._start = kept[0][1]
        return fresh


def _score(scored: tuple[bytes, bytes]) -> float:
    return float(scored[1])
