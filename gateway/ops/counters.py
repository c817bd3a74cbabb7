"""Plain numbers that the hot path adds to; `metrics.py` gives them names when somebody asks."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter, defaultdict

from gateway.ops.logs import BurstLog

logger = logging.getLogger(__name__)

# Upper bounds in seconds, around a tick's length and far beyond.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

COUNT_FLUSHES = 17
"""Updates to clients are counted in one tick of so many and multiplied: all of them would cost 3 % of a core. A prime,
so that every tier's beats, and what comes once a second, fall on it equally often."""

CLIENT_CODES = frozenset((1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011))
"""What clients may be counted to have left with (RFC 6455, section 7.4.1); they can send thousands of others."""


class Stage:
    """Where an update's time goes: the way from the exchange to the client's socket."""

    FEED_TO_INGEST = "feed_to_ingest"
    INGEST_TO_FLUSH = "ingest_to_flush"
    FLUSH_TO_SOCKET = "flush_to_socket"


class Histogram:
    """Counts by upper bound: two additions and a search an observation, no locks."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        self.total_s += seconds * times
        self.counts[bisect_left(BUCKETS_S, seconds)] += times


class Counters:
    """One process's totals since its start."""

    def __init__(self) -> None:
        self.messages_in = 0
        self.conflated = 0
        self.published = 0
        self.updates_out: Counter[str] = Counter()
        self.closed_out: Counter[str] = Counter()
        self.writes = 0
        self.bytes_out = 0
        self.bytes_in = 0
        """From clients whose connections are over; of the others each socket knows."""
        self.missed: Counter[str] = Counter()
        self.gaps = 0
        self.connections = 0
        self.accepted: Counter[str] = Counter()
        self.refused = 0
        self.refusals: Counter[str] = Counter()
        self.resyncs = 0
        self.feed_errors: Counter[str] = Counter()
        self.command_errors: Counter[str] = Counter()
        self.disconnects: Counter[int] = Counter()
        self.departures: Counter[str] = Counter()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.answer_times: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.history_times: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.flush = Histogram()
        self.overruns = 0
        self.lag = Histogram()
        self.stages = {
            name: Histogram() for name in (Stage.FEED_TO_INGEST, Stage.INGEST_TO_FLUSH, Stage.FLUSH_TO_SOCKET)
        }
        self._bursts = BurstLog()

    @property
    def missed_beats(self) -> int:
        return self.missed.total()

    # Once per batch, slice, cohort or flush, never per message or client.

    def observe_flush(self, seconds: float) -> None:
        self.flush.observe(seconds)

    def observe_lag(self, seconds: float) -> None:
        self.lag.observe(max(0.0, seconds))

    def observe_stage(self, stage: str, seconds: float, times: int = 1) -> None:
        # Below 0 is a clock that goes wrong, here or at the exchange.
        self.stages[stage].observe(max(0.0, seconds), times)

    def wrote(self, writes: int, size_bytes: int) -> None:
        self.writes += writes
        self.bytes_out += size_bytes

    def sent(self, dialect: str, updates: int, closed: int) -> None:
        """Updates to clients, and the closed klines among them."""
        self.updates_out[dialect] += updates
        if closed:
            self.closed_out[dialect] += closed

    # Once per connection or request.

    def entered(self, connection: int, dialect: str, peer: str) -> None:
        self.connections += 1
        self.accepted[dialect] += 1
        logger.debug("client came", extra={"connection": connection, "dialect": dialect, "peer": peer})

    def ended(
        self, connection: int, dialect: str, peer: str, *, client_close_code: int, sent_away: int, now_s: float
    ) -> None:
        """A connection is over. `farewell`: the code with which the client went by itself, or 1006 without one; else
        `sent_away`, the gateway's. One log line a burst tells who was sent away; with "debug", one each."""
        self.connections -= 1
        extra = {"connection": connection, "dialect": dialect, "peer": peer, "code": client_close_code or sent_away}
        if client_close_code:
            self.departures[str(client_close_code) if client_close_code in CLIENT_CODES else "other"] += 1
            logger.debug("client went", extra=extra)
        elif logger.isEnabledFor(logging.DEBUG):
            logger.debug("client sent away", extra=extra)
        elif line := self._bursts.add(f"sent away {sent_away}", "client sent away", now_s):
            logger.info("%s", line, extra=extra)

    def sum_up(self, now_s: float) -> None:
        """Every now and then: the log's last line of bursts that are over."""
        for line in self._bursts.due(now_s):
            logger.warning("%s", line)

    def answered(self, surface: str, status: int, seconds: float) -> None:
        self.answers[surface, status] += 1
        self.answer_times[surface].observe(seconds)

    def observe_history(self, served: str, seconds: float) -> None:
        self.history_times[served].observe(seconds)

    def feed_error(self, reason: str, detail: str, now_s: float) -> None:
        """Count a payload that was skipped; one log line a burst."""
        self.feed_errors[reason] += 1
        if line := self._bursts.add(reason, f"feed: skipped {detail[:200]}", now_s):
            logger.warning("%s", line)
