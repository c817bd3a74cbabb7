"""Whether this process is ready, or why not, and the gauges and totals of `/metrics`. Changes no other part."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from gateway.delivery.staleness import StaleReason
from gateway.delivery.throttle import DEFAULT
from gateway.history.archived_store import ArchivedStore
from gateway.ops.metrics import Metrics, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.access.request_queue import RequestQueue
    from gateway.delivery.hub import Hub
    from gateway.feed.auto import Feed
    from gateway.feed.failover import SourceFailover
    from gateway.history.service import History
    from gateway.history.store import KlineStore
    from gateway.market.market import Market
    from gateway.ops.collector import MetricsCollector
    from gateway.ops.counters import Counters
    from gateway.ops.refused import RefusedNames
    from gateway.replay.stats import ReplayStats
    from gateway.runtime.archiving import ArchiveHole, Archiving
    from gateway.runtime.backfill import Backfill
    from gateway.runtime.clock import SteadyClock
    from gateway.runtime.flush import Flusher
    from gateway.runtime.gap_watch import GapWatch
    from gateway.runtime.ingest import Ingest
    from gateway.runtime.load_windows import LoadWindows
    from gateway.runtime.store_comparison import StoreComparison

STARTING = "starting: what is stored has not been read yet"
"""The reason of a process without data, or that does not listen yet; other workers of its group serve meanwhile."""

FLUSH_LATE_S = 1.0
"""Age of the last flush from which on the process counts as not serving."""


class Listening(Protocol):
    """A server, as uvicorn's."""

    started: bool
    """Whether connections are accepted."""
    should_exit: bool
    """Whether it is about to end."""


@dataclass(frozen=True, slots=True)
class Health:
    """The health of one process. Has no state of its own."""

    clock: SteadyClock
    market: Market
    hub: Hub
    store: KlineStore
    history: History
    backfill: Backfill
    watch: GapWatch
    comparison: StoreComparison
    ingest: Ingest
    flusher: Flusher
    windows: LoadWindows
    requests: RequestQueue
    sources: SourceFailover
    feeds: Mapping[str, Feed]
    refused: RefusedNames
    archiving: Archiving | None
    """`None`: there is no archive."""
    replays: ReplayStats
    server: Callable[[], Listening | None]
    """Accepts connections; `None`: somebody else's server does."""

    def not_ready_reasons(self) -> list[str]:
        """Why this process should get no new clients; empty if it should.

        A source that is silent or away is no reason: it is so for the other processes too, and if all of them refused,
        nobody would be served. Clients get the last known state then, marked as stale.
        """
        reasons, server = [], self.server()
        if not self.market.read or (server is not None and not server.started):
            reasons.append(STARTING)
        if server is not None and server.should_exit:
            reasons.append("ending")
        if time.monotonic() - self.flusher.flushed_s > FLUSH_LATE_S:
            reasons.append("flush: late")
        return reasons

    def stale_reasons(self) -> list[str]:
        """Why the market data is not fresh; empty if it is."""
        state = self.ingest.feed_state.current
        reasons = []
        for reason in dict.fromkeys(lane.reason for lane in state.lanes().values() if not lane.live):
            refused = self.ingest.refusals.text(reason) or self.only_refused()
            reasons.append(f"feed: {reason}{f': {refused}' if refused else ''}")
        # Between two closes of a source that sends nothing else, silence is no problem.
        if self.feed.problem and time.monotonic() >= self.ingest.feed_state.times.quiet_until_s:
            reasons.append(f"feed: {self.feed.problem}")
        return reasons

    def holes(self) -> tuple[ArchiveHole, ...]:
        """What the archive lacks, if there is one."""
        return self.archiving.open_holes() if self.archiving is not None else ()

    @property
    def feed(self) -> Feed:
        """The feed of the active source."""
        active = self.sources.active
        return self.feeds[active.name] if active else next(iter(self.feeds.values()))

    def only_refused(self) -> str:
        """Why the feed is silent, where messages arrive that the settings do not admit; "" otherwise."""
        state = self.ingest.feed_state
        return self.refused.only_refused(state.last_message_s) if not state.current.live else ""

    def details(self) -> dict[str, object]:
        """What `/readyz` adds for operators: what concerns the data does not make the process unready."""
        return {"feed": self.feed.mode, "sources": self.sources.health(), "data": self.stale_reasons()}

    def data_details(self) -> dict[str, object]:
        """What `/v1/health/data` adds for operators."""
        return {"feed": self.feed.mode, "sources": self.sources.health(), "lanes": self.lanes()}

    def lanes(self) -> dict[str, dict[str, object]]:
        """Whether each lane is live, else why and since when it is not."""
        return {
            name: {"live": lane.live, "reason": lane.reason, "since": lane.since_ms or None}
            for name, lane in self.ingest.feed_state.current.lanes().items()
        }

    def metrics(self, counters: Counters, collector: MetricsCollector) -> Metrics:
        """The metrics of this process."""
        return Metrics(
            counters,
            self.gauges,
            self.totals,
            totals_by_interval=self.totals_by_interval,
            by_source=self.sources.metrics,
            feed_mode=lambda: self.feed.mode,
            readings=lambda: chain(collector.readings(), self._load(), self._rest()),
            histograms={"archive_read_seconds": self.store.read_times} if isinstance(self.store, ArchivedStore) else {},
        )

    def _rest(self) -> Iterator[Reading]:
        yield from self.refused.readings()
        yield from self.replays.readings()
        if self.archiving is not None:
            yield from self.archiving.readings()
        if isinstance(self.store, ArchivedStore):
            yield Reading("archive_read_failures_total", {}, self.store.failures)

    def _load(self) -> Iterator[Reading]:
        """The load by cause."""
        for cause, level in self.flusher.load.levels.items():
            yield Reading("load_cause_level", {"cause": cause}, level)
        for cause, seconds in self.windows.totals_s.items():
            yield Reading("loop_seconds_total", {"cause": cause}, seconds)

    def gauges(self) -> dict[str, float]:
        """Gauges by name, without labels."""
        hub, state = self.hub, self.ingest.feed_state.current
        last_message_s = self.ingest.feed_state.last_message_s
        return {
            "feed_linked": float(state.reason is not StaleReason.DISCONNECTED),
            "feed_live": float(state.live),
            "history_available": float(self.store.available),
            "feed_age_seconds": time.monotonic() - last_message_s if last_message_s else -1.0,
            "clock_ahead_seconds": self.clock.ahead_ms / 1000,
            "feed_ahead_seconds": self.ingest.plausibility.ahead_s,
            "load_level": float(self.flusher.load.level),
            "flush_interval_seconds": self.flusher.schedule.interval_s,
            "http_requests_waiting": float(self.requests.waiting),
            "kline_gaps_open": float(self.watch.tracker.open),
            "symbols": len(self.market.symbols()),
            "channels": sum(bool(channel.name) for channel in hub.channels),
            "sessions_behind": sum(tier.behind() for tier in hub.tiers),
            "sessions_slowed": self.sessions_slowed(),
            "history_kept_bytes": self.history.kept_bytes,
            "cohorts": sum(tier.cohorts() for tier in hub.tiers),
        }

    def sessions_slowed(self) -> int:
        """How many clients are in a slower tier than they ask for."""
        slower = chain.from_iterable(tier.sessions() for tier in self.hub.tiers[DEFAULT + 1 :])
        return sum(session.pace.tier > session.pace.fastest_tier for session in slower)

    def totals(self) -> dict[str, float]:
        """Counters by name without `_total`, without labels."""
        return {
            "repaired_klines": self.backfill.backfilled,
            "corrected_klines": self.comparison.corrected,
            "compared_series": self.comparison.compared,
            "feed_reconnects": sum(feed.reconnects for feed in self.feeds.values()),
            "feed_bytes": sum(feed.received_bytes for feed in self.feeds.values()),
            "feed_thinned": sum(feed.thinned for feed in self.feeds.values()),
            "feed_switches": sum(feed.switches for feed in self.feeds.values()),
            "source_switches": self.sources.switches,
            **{f"history_{name}": count for name, count in self.history.counters.items()},
        }

    def totals_by_interval(self) -> dict[str, Mapping[str, int]]:
        """Counters by name without `_total`, then by interval."""
        gaps = self.watch.tracker
        return {
            "kline_gaps": gaps.found,
            "kline_gaps_repaired": gaps.repaired,
            "kline_gaps_given_up": gaps.given_up,
        }
