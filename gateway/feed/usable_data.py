"""When a source last brought usable data of each lane, found by samples of its messages. Pure; times are arguments.

A source whose messages nobody can read, or that repeats what it has sent before, is no better than a silent one. To
decode all that standby sources bring would double the work of the feed: while a source is found good, one message of
each lane is looked at in each sample interval.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.feed.conflate import Batch
    from gateway.redis.contract import Topic

TRIES = 8
"""Messages of a lane that are looked at in one batch, until one is usable."""


class Lane(Enum):
    """Kinds of data, of which a source may bring one without the other."""

    PRICES = "prices"
    KLINES = "klines"


class UsableTimes:
    """Of one source. After a usable message, all messages of its lane count as usable until the next sample is due."""

    def __init__(self, is_usable: Callable[[Topic, bytes], bool], sample_s: float) -> None:
        """`is_usable`: whether a message decodes and is plausible. `sample_s`: time between samples."""
        self._is_usable = is_usable
        self._sample_s = sample_s
        self._due_s = dict.fromkeys(Lane, -math.inf)
        self._usable_s = dict.fromkeys(Lane, -math.inf)
        # The payloads of samples: one that comes again says nothing new.
        self._seen: dict[Topic, bytes] = {}
        self._tried = dict.fromkeys(Lane, 0)

    def last_s(self, lane: Lane) -> float:
        """When it last brought usable data of the lane; minus infinity for never."""
        return self._usable_s[lane]

    @property
    def newest_s(self) -> float:
        """When it last brought usable data of any lane; minus infinity for never."""
        return max(self._usable_s.values())

    def note(self, batch: Batch, now_s: float) -> list[Lane]:
        """Take what the source has brought; returns the lanes of which that is usable."""
        found = []
        for lane in Lane:
            of_klines = lane is Lane.KLINES
            if now_s < self._due_s[lane]:
                usable = any(bool(topic.interval) is of_klines for topic, _ in batch)
            else:
                usable = self._sample(lane, [message for message in batch if bool(message[0].interval) is of_klines])
                if usable:
                    self._due_s[lane] = now_s + self._sample_s
            if usable:
                self._usable_s[lane] = now_s
                found.append(lane)
        return found

    def _sample(self, lane: Lane, messages: Batch) -> bool:
        """Whether one of some new messages is usable: others of them at each call, as symbols may differ."""
        seen = self._seen
        new = [message for message in messages if seen.get(message[0]) != message[1]]
        seen.update(new)
        if not new:
            return False
        first = self._tried[lane] % len(new)
        self._tried[lane] += TRIES
        return any(self._is_usable(topic, payload) for topic, payload in (new[first:] + new[:first])[:TRIES])
