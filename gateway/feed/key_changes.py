"""What has changed since the last read, and when to read next. Pure: `key_reader.py` and `poll.py` do the reading.

The collector writes a small key with each value (`lastUpdate` of a ticker, `lastClosed` of a series), here called its
timestamp. Timestamps are cheap to read and tell which values have changed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.model.timestamps import time_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.redis.contract import Topic

REMEMBERED = 16
"""Newest members of a set that are told apart. A member written later among older ones is found by history only."""

FIRST = 4
"""Members taken by the first read. Older ones are read with history, and a hole before them is found as a gap."""

READ_MAX = 512
"""Members in one read: all that the collector keeps."""

SLOWDOWN = 1.25
"""Factor from one unchanged poll's interval to the next."""

TIME_SHARE = 0.25
"""Largest part of the time that polls may take."""

Command = tuple[str | int | bytes, ...]


class KeyChangeTracker:
    """Remembers each topic's timestamp and tells whether to read the value.

    A changed timestamp makes two reads due: some collectors write the timestamp first and the value after it.
    """

    def __init__(self) -> None:
        self._seen: dict[Topic, tuple[bytes, bool]] = {}

    def due(self, topic: Topic, timestamp: bytes | None) -> bool:
        """Whether to read the topic, whose timestamp now has this value. Without a timestamp: always."""
        if timestamp is None:
            self._seen.pop(topic, None)
            return True
        before, changed_before = self._seen.get(topic, (b"", False))
        changed = timestamp != before
        if changed or changed_before:
            self._seen[topic] = (timestamp, changed)
        return changed or changed_before

    def forget(self, topic: Topic) -> None:
        """Make the topic due at its next timestamp, whatever that is."""
        self._seen.pop(topic, None)


class SortedSetTail:
    """The newest members of a sorted set as last read, to tell new members from known ones.

    Each read starts at the oldest remembered member, not after the newest: late members (T2 after T3) and corrections
    (a second member with the same score) lie between them. Does not look inside members.
    """

    __slots__ = ("_first", "_members", "_start", "needs_more")

    def __init__(self) -> None:
        self._members: tuple[bytes, ...] = ()
        self._start = b""
        self._first = FIRST
        self.needs_more = False
        """Whether all that was read is impossible, and older members are not read yet: read again at once."""

    def command(self, key: str) -> Command:
        """The command to run next; `take` expects its answer."""
        if not self._start:
            return ("ZREVRANGE", key, 0, self._first - 1, "WITHSCORES")
        return ("ZRANGEBYSCORE", key, self._start, "+inf", "WITHSCORES", "LIMIT", 0, READ_MAX)

    def take(self, answer: Sequence[bytes], limit_ms: float = math.inf) -> list[bytes]:
        """Return the new members by score. `answer`: members and scores alternating, in any order.

        Members with a score beyond `limit_ms` are impossible. They are returned once, so that they are counted, but the
        next read does not start at them. Where there is nothing else, `needs_more`.
        """
        scored = sorted(zip(answer[::2], answer[1::2], strict=True), key=_score)
        known = frozenset(self._members)
        new = [member for member, _ in scored if member not in known]
        self.needs_more = False
        if new:
            plausible = [(member, score) for member, score in scored if (time_of(score) or 0) <= limit_ms]
            remembered = plausible[-REMEMBERED:]
            self._start = remembered[0][1] if remembered else b""
            if not remembered and len(scored) == self._first < READ_MAX:
                self.needs_more = True
                self._first = READ_MAX
            self._members = tuple(member for member, _ in (*remembered, *scored[len(plausible) :]))
        return new


class PollInterval:
    """How often to poll: fast while values change, slower and slower while they do not.

    Polls take at most `TIME_SHARE` of the time: a Redis that is slow or far away is not polled faster.
    """

    def __init__(self, min_s: float, max_s: float) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self.period_s = min_s
        """From the beginning of one poll to that of the next."""

    def polled(self, changed: bool, took_s: float) -> None:
        """Adapt to the result of a poll: whether values had changed, and how long it took in seconds."""
        wanted_s = self._min_s if changed else min(self._max_s, self.period_s * SLOWDOWN)
        self.period_s = max(wanted_s, took_s / TIME_SHARE)


def _score(scored: tuple[bytes, bytes]) -> float:
    return float(scored[1])
