"""The totals of one process. The hot path adds to plain numbers here; `metrics.py` names them when Prometheus scrapes.

prometheus_client's own Counter costs 0.8 us an increment where an attribute costs 0.1 us, a labelled one 2.6 us where a
dictionary costs 0.4 us. Its Histogram has no weighted observation: a flush to 1,000 sockets would need 1,000 calls.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter, defaultdict

from gateway.ops.logs import BurstLog

logger = logging.getLogger(__name__)

# Upper bounds of histogram buckets in seconds: around a flush interval and far beyond.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

COUNT_FLUSHES = 17
"""Updates to clients are counted in one of this many flushes and multiplied: counting every flush would cost 3 % of a
core. A prime, so that the flushes of every tier, and those with updates once a second, are counted equally often.
"""

UNKNOWN_STREAMS_MAX = 50
"""Unknown streams that are counted by name. Clients can send any number of names: the rest are counted as "other"."""

STREAM_NAME_MAX = 48
"""Characters of an unknown stream's name that are kept."""

ODD_LOG_S = 600.0
"""Between two log lines about messages that are used although they are odd: a collector writes each of them so."""

CLIENT_CODES = frozenset((1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011))
"""Close codes of clients that get a label of their own (RFC 6455, section 7.4.1); clients can send thousands more."""


class Stage:
    """The stages of an update's latency, from the exchange to the client's socket."""

    FEED_TO_INGEST = "feed_to_ingest"
    INGEST_TO_FLUSH = "ingest_to_flush"
    FLUSH_TO_SOCKET = "flush_to_socket"


class Histogram:
    """Counts by upper bound. An observation costs two additions and a binary search, and takes no lock."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count `seconds` as `times` observations."""
        self.total_s += seconds * times
        self.counts[bisect_left(BUCKETS_S, seconds)] += times


class Counters:
    """Totals of one process since it started."""

    def __init__(self) -> None:
        self.messages_in = 0
        self.conflated = 0
        self.published = 0
        self.updates_out: Counter[str] = Counter()
        self.closed_out: Counter[str] = Counter()
        self.writes = 0
        self.bytes_out = 0
        self.bytes_in = 0
        """From clients whose connections have ended; each open socket counts its own."""
        self.missed: Counter[str] = Counter()
        self.feed_disconnects = 0
        self.connections = 0
        self.accepted: Counter[str] = Counter()
        self.refused = 0
        self.refusals: Counter[str] = Counter()
        self.resyncs = 0
        self.feed_errors: Counter[str] = Counter()
        self.feed_odd: Counter[str] = Counter()
        self.command_errors: Counter[str] = Counter()
        self.unknown_streams: Counter[str] = Counter()
        self.disconnects: Counter[int] = Counter()
        self.client_disconnects: Counter[str] = Counter()
        self.responses: Counter[tuple[str, int]] = Counter()
        self.response_times: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.history_times: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.flush = Histogram()
        self.overruns = 0
        self.lag = Histogram()
        self.stages = {
            name: Histogram() for name in (Stage.FEED_TO_INGEST, Stage.INGEST_TO_FLUSH, Stage.FLUSH_TO_SOCKET)
        }
        self._bursts = BurstLog()
        self._odd_bursts = BurstLog(ODD_LOG_S)

    @property
    def missed_flushes(self) -> int:
        """Flushes that a client could not take, over all causes."""
        return self.missed.total()

    # The next five methods run once per batch, slice, cohort or flush, never per message or client.

    def observe_flush(self, seconds: float) -> None:
        """Count how long a flush took."""
        self.flush.observe(seconds)

    def observe_lag(self, seconds: float) -> None:
        """Count how late a flush began."""
        self.lag.observe(max(0.0, seconds))

    def observe_stage(self, stage: str, seconds: float, times: int = 1) -> None:
        """Count how long an update, or `times` updates, spent in a stage."""
        # A negative value means a wrong clock, here or at the exchange.
        self.stages[stage].observe(max(0.0, seconds), times)

    def count_writes(self, writes: int, size_bytes: int) -> None:
        """Count writes to client sockets and their bytes."""
        self.writes += writes
        self.bytes_out += size_bytes

    def count_updates(self, dialect: str, updates: int, closed: int) -> None:
        """Count updates sent to clients, and the closed klines among them."""
        self.updates_out[dialect] += updates
        if closed:
            self.closed_out[dialect] += closed

    # The methods below run once per connection, request or skipped message.

    def connection_opened(self, connection: int, dialect: str, peer: str) -> None:
        """Count a connection; `connection` is its number in the log."""
        self.connections += 1
        self.accepted[dialect] += 1
        logger.debug("client connected", extra={"connection": connection, "dialect": dialect, "peer": peer})

    def connection_closed(
        self, connection: int, dialect: str, peer: str, *, client_close_code: int, gateway_close_code: int, now_s: float
    ) -> None:
        """Count the end of a connection.

        `client_close_code`: the code with which the client closed it, 1006 if it sent none, 0 if the gateway closed it;
        then `gateway_close_code` is set. Connections that the gateway closed share one log line a burst; at level
        "debug" each has its own.
        """
        self.connections -= 1
        extra = {
            "connection": connection,
            "dialect": dialect,
            "peer": peer,
            "code": client_close_code or gateway_close_code,
        }
        if gateway_close_code:
            self.disconnects[gateway_close_code] += 1
        if client_close_code:
            self.client_disconnects[str(client_close_code) if client_close_code in CLIENT_CODES else "other"] += 1
            logger.debug("client disconnected", extra=extra)
        elif logger.isEnabledFor(logging.DEBUG):
            logger.debug("client closed by gateway", extra=extra)
        elif line := self._bursts.add(f"close {gateway_close_code}", "client closed by gateway", now_s):
            logger.info("%s", line, extra=extra)

    def count_unknown_stream(self, name: str) -> None:
        """Count a stream that a client asked for and that this gateway does not serve."""
        name = name[:STREAM_NAME_MAX]
        listed = name in self.unknown_streams or len(self.unknown_streams) < UNKNOWN_STREAMS_MAX
        self.unknown_streams[name if listed else "other"] += 1

    def log_burst_summaries(self, now_s: float) -> None:
        """Log the summaries of bursts that have ended; call it about once a second."""
        for line in (*self._bursts.due(now_s), *self._odd_bursts.due(now_s)):
            logger.warning("%s", line)

    def count_response(self, surface: str, status: int, seconds: float) -> None:
        """Count an HTTP response of an API (`surface`) and how long it took."""
        self.responses[surface, status] += 1
        self.response_times[surface].observe(seconds)

    def observe_history(self, served: str, seconds: float) -> None:
        """Count how long a history query took, by where its data came from."""
        self.history_times[served].observe(seconds)

    def count_refusal(self, reason: str, detail: str, now_s: float) -> None:
        """Count a handshake or request that was refused; one log line a burst."""
        self.refusals[reason] += 1
        if line := self._bursts.add(f"refused {reason}", f"refused: {detail}", now_s):
            logger.warning("%s", line)

    def count_feed_error(self, reason: str, detail: str, now_s: float) -> None:
        """Count a message of the feed that was skipped; one log line a burst."""
        self.feed_errors[reason] += 1
        if line := self._bursts.add(reason, f"feed: skipped {detail[:200]}", now_s):
            logger.warning("%s", line)

    def count_odd(self, reason: str, detail: str, now_s: float) -> None:
        """Count a message of the feed that is used although something about it is odd; one log line a burst."""
        self.feed_odd[reason] += 1
        if line := self._odd_bursts.add(reason, f"feed: {reason}: {detail[:200]}", now_s):
            logger.warning("%s", line)
