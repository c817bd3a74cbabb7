"""Plain numbers that the hot path adds to; `metrics.py` gives them names when somebody asks."""

from __future__ import annotations

import logging
from collections import Counter

from gateway.ops.logs import BurstLog

logger = logging.getLogger(__name__)

# Upper bounds in seconds, around a tick's length and far beyond.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """Counts by upper bound: two additions an observation, no locks."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        self.total_s += seconds
        for index, bound in enumerate(BUCKETS_S):
            if seconds <= bound:
                self.counts[index] += 1
                return
        self.counts[-1] += 1


class Counters:
    """One process's totals since its start."""

    def __init__(self) -> None:
        self.messages_in = 0
        self.conflated = 0
        self.writes = 0
        self.bytes_out = 0
        self.missed_beats = 0
        self.gaps = 0
        self.connections = 0
        self.refused = 0
        self.refusals: Counter[str] = Counter()
        self.resyncs = 0
        self.feed_errors: Counter[str] = Counter()
        self.command_errors: Counter[str] = Counter()
        self.disconnects: Counter[int] = Counter()
        self.flush = Histogram()
        self.lag = Histogram()
        self._bursts = BurstLog()

    def observe_flush(self, seconds: float) -> None:
        self.flush.observe(seconds)

    def observe_lag(self, seconds: float) -> None:
        self.lag.observe(max(0.0, seconds))

    def feed_error(self, reason: str, detail: str, now_s: float) -> None:
        """Count a payload that was skipped; one log line a burst."""
        self.feed_errors[reason] += 1
        if line := self._bursts.add(reason, f"feed: skipped {detail[:200]}", now_s):
            logger.warning("%s", line)
