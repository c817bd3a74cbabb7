"""What time it is by the feed, and so which times cannot be. Pure; times are arguments.

A collector's mistake (tomorrow's date, a wrong time zone, a unit read wrongly) would make every later, correct message
count as old. So a time further ahead than a tolerance is refused, wherever it comes from: a message, a stored member, a
key that says when another was written. But it may be this machine's clock that is wrong. Therefore every topic of the
feed votes on the time with its own event times, and the majority corrects the clock.
"""

from __future__ import annotations

import math
from statistics import median_low
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

COUNT_S = 0.5
"""Between two counts of the votes."""

AGREEING_COUNTS = 3
"""Counts in a row that must agree before the clock is corrected: one message takes part in one count only."""

BEHIND_MS = 600_000
"""A feed that is further behind than this lives in another time than this machine; one that is less may be late."""

BEHIND_COUNTS = 10
"""Counts in a row that must say so."""


class FeedTime:
    """This machine's time, corrected by what most of the feed says.

    Only a feed that is ahead of this machine corrects what is refused: a feed that is behind may simply be late. How
    far it is behind only tells what is not to be trusted (`distrusted_ms`).
    """

    __slots__ = ("_behind", "_claims", "_shortest_ms", "ahead_ms", "tolerance_ms", "votes")

    def __init__(self, tolerance_ms: int) -> None:
        """`tolerance_ms`: how far ahead a time may be before it counts as impossible."""
        self.tolerance_ms = tolerance_ms
        self.ahead_ms = 0
        """How far the feed is ahead of this machine's clock; 0 while that is well within the tolerance."""
        self.votes: dict[Hashable, int] = {}
        """Event time minus this machine's time, by topic: of all since the last count, the one nearest to 0. A clock
        that is wrong makes all messages differ; a collector that is wrong may send correct ones too."""
        self._claims: list[int] = []
        self._behind: list[int] = []
        self._shortest_ms = 0

    def limit_ms(self, now_ms: int) -> int:
        """The latest time that is plausible at `now_ms` by this machine."""
        return now_ms + self.ahead_ms + self.tolerance_ms

    def distrusted_ms(self, now_ms: int) -> float:
        """From when on a time is impossible by the feed, though not by this machine; `math.inf` where they agree."""
        return now_ms + max(self._behind) + BEHIND_MS if len(self._behind) == BEHIND_COUNTS else math.inf

    def vote_of_window(
        self, topic: Hashable, reached_ms: int, close_time_ms: int, length_ms: int, corrected_ms: int
    ) -> None:
        """Let a kline without an event time of its own vote: the feed's time is between these two times.

        `corrected_ms`: this machine's time with the correction. Only klines of the shortest interval vote; others know
        the time too vaguely.
        """
        if not self._shortest_ms or length_ms < self._shortest_ms:
            self._shortest_ms = length_ms
        if length_ms == self._shortest_ms:
            at_ms = min(max(corrected_ms, reached_ms), close_time_ms)
            self.vote(topic, at_ms - corrected_ms + self.ahead_ms)

    def vote(self, topic: Hashable, ahead_ms: int) -> None:
        """Let a message vote that is so far ahead of this machine's time."""
        before_ms = self.votes.get(topic)
        if before_ms is None or abs(ahead_ms) < abs(before_ms):
            self.votes[topic] = ahead_ms

    def confirms(self, ahead_ms: int) -> bool:
        """Whether the feed is known to be so far ahead of this machine's time. Klines without event times of their own
        only tell that it is not less."""
        more_ms = ahead_ms - self.ahead_ms
        enough_ms = self.tolerance_ms // 2
        return self.ahead_ms > 0 and -enough_ms <= more_ms <= max(enough_ms, self._shortest_ms)

    def clock_set(self, forward_ms: int) -> None:
        """This machine's time has been set forward: the feed is so much less ahead of it, and all votes are void."""
        ahead_ms = self.ahead_ms - forward_ms
        self.ahead_ms = ahead_ms if ahead_ms > self.tolerance_ms // 2 else 0
        self.votes.clear()
        self._claims.clear()
        self._behind.clear()

    def count(self) -> int:
        """Count the votes, every `COUNT_S`; returns by how many ms the correction has changed, nearly always 0."""
        if not self.votes:
            return 0
        votes, self.votes = self.votes, {}
        median = median_low(votes.values())
        self._behind = [*self._behind[1 - BEHIND_COUNTS :], median] if median < -BEHIND_MS else []
        # Half of the tolerance, so that the other half is left for messages that differ from the majority a little.
        enough_ms = self.tolerance_ms // 2
        claim = median if median > enough_ms else 0
        if claim and 2 * sum(abs(vote - claim) <= enough_ms for vote in votes.values()) <= len(votes):
            # All of them are ahead, and they differ: no majority says the same.
            self._claims.clear()
            return 0
        if abs(claim - self.ahead_ms) <= enough_ms:
            self._claims.clear()
            return 0
        if any(abs(claim - earlier) > enough_ms for earlier in self._claims):
            self._claims.clear()
        self._claims.append(claim)
        if len(self._claims) < AGREEING_COUNTS:
            return 0
        change = max(self._claims) - self.ahead_ms
        self.ahead_ms += change
        self._claims.clear()
        return change


class FeedClock:
    """A clock that goes by the feed, for those that read what is stored."""

    def __init__(self, times: FeedTime, clock_ms: Callable[[], int]) -> None:
        """`clock_ms`: this machine's time."""
        self._times = times
        self._clock_ms = clock_ms

    def __call__(self) -> int:
        return self._clock_ms() + self._times.ahead_ms

    def limit_ms(self) -> int:
        """The latest time that is plausible now."""
        return self._times.limit_ms(self._clock_ms())
