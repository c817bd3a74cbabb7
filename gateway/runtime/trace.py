"""Traces: the times at which the updates of one symbol pass each stage of the gateway, for an operator who asks.

Without a trace `traces` is empty, and that is all that a batch and a flush check. Changes nothing that it reads.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gateway.delivery.channel import MarketChannel
from gateway.model.kline import KlineDelta, KlineUpdate

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.channel import Channel
    from gateway.delivery.hub import Hub
    from gateway.delivery.subscription_set import SubscriptionSet
    from gateway.delivery.tier import Tier
    from gateway.market.market import Update
    from gateway.redis.contract import Topic

PENDING_MAX = 1000
"""Updates of one symbol that are traced within a flush interval."""


class Step:
    """The record of one update; its stamps are ms since the update was read from the feed's socket."""

    __slots__ = ("_clock_s", "_read_s", "closed", "record")

    def __init__(self, topic: Topic, read_s: float, read_ms: float, clock_s: Callable[[], float]) -> None:
        self.record: dict[str, Any] = {
            "kind": f"kline {topic.interval}" if topic.interval else "ticker",
            "event": None,
            "read": round(read_ms, 3),
            "decoded": None,
            "folded": None,
            "tick": None,
            "published": None,
            "encoded": None,
            "written": None,
            "clients": 0,
            "waiting": 0,
            "outcome": "",
        }
        self.closed = False
        self._read_s = read_s
        self._clock_s = clock_s

    def decoded(self, update: Update) -> None:
        state = update.kline if isinstance(update, KlineUpdate) else update
        self.record["event"] = state.event_time_ms
        if isinstance(update, KlineUpdate):
            self.closed = update.kline.closed
        elif isinstance(update, KlineDelta):
            self.closed = bool(update.fields.get("closed"))
        if self.closed:
            self.record["kind"] += " closed"
        self.stamp("decoded", self._clock_s())

    def folded(self) -> None:
        self.stamp("folded", self._clock_s())

    def stamp(self, stage: str, at_s: float) -> None:
        self.record[stage] = round((at_s - self._read_s) * 1000, 3)


class Trace:
    """One symbol, and who gets the record of each of its updates when the flush that includes it is over."""

    def __init__(self, symbol: str, report: Callable[[dict[str, Any]], None]) -> None:
        self.symbol = symbol
        self.report = report
        self.pending: list[Step] = []
        """Updates that were applied to the market and not published yet."""
        self.in_flush: list[Step] = []
        """Updates of the flush that is under way."""
        self.changed: frozenset[int] = frozenset()
        """The numbers of the symbol's channels that have changed at this flush, but for those of held lanes."""
        self.subscribed = 0
        """How many of the symbol's channels have subscribers."""
        self.held = False
        """Whether all that has changed is held back at this flush."""


class Tracing:
    """All traces. Ingest and flush call it, in the order of the stages, and only while `traces` is not empty."""

    def __init__(
        self, clock_s: Callable[[], float] = time.perf_counter, wall_s: Callable[[], float] = time.time
    ) -> None:
        self.traces: list[Trace] = []
        self._clock_s = clock_s
        self._wall_s = wall_s
        self._read_s = self._read_ms = 0.0

    def start(self, symbol: str, report: Callable[[dict[str, Any]], None]) -> Trace:
        """Trace a symbol; `report` gets the record of each update."""
        trace = Trace(symbol, report)
        self.traces.append(trace)
        return trace

    def stop(self, trace: Trace) -> None:
        self.traces.remove(trace)

    # Called by ingest.

    def read(self) -> None:
        """A batch has come from the feed's socket."""
        self._read_s, self._read_ms = self._clock_s(), self._wall_s() * 1000

    def begin(self, topic: Topic) -> Step | None:
        """An update is about to be decoded; `None` where its symbol is not traced."""
        step = None
        for trace in self.traces:
            if trace.symbol == topic.symbol and len(trace.pending) < PENDING_MAX:
                step = step or Step(topic, self._read_s, self._read_ms, self._clock_s)
                trace.pending.append(step)
        return step

    def fail(self, step: Step, reason: str) -> None:
        """The update could not be used."""
        step.record["outcome"] = f"skipped: {reason}"
        for trace in self.traces:
            if step in trace.pending:
                trace.pending.remove(step)
                trace.report(step.record)

    # Called by the flush.

    def published(self, hub: Hub) -> None:
        """The hub has begun a flush with what was applied to the market before it."""
        at_s = self._clock_s()
        for trace in self.traces:
            trace.in_flush, trace.pending = trace.pending, []
            if not trace.in_flush:
                continue
            channels = [channel for channel in hub.channels if channel.subscribers and _shows(channel, trace.symbol)]
            trace.subscribed = len(channels)
            trace.changed = frozenset(channel.n for channel in channels if channel.changed_at_flush == hub.flush_number)
            for step in trace.in_flush:
                step.record["tick"] = hub.flush_number
                step.stamp("published", at_s)

    def encoded(self, hub: Hub) -> None:
        """The fragments of all tiers that are due are ready."""
        at_s = self._clock_s()
        for trace in self.traces:
            if trace.changed:
                closed = any(step.closed for step in trace.in_flush)
                free = frozenset(
                    n for n in trace.changed if closed or hub.channels[n].lane not in hub.published.held_lanes
                )
                trace.held, trace.changed = not free, free
            for step in trace.in_flush if trace.changed else ():
                step.stamp("encoded", at_s)

    def served(self, tier: Tier, hub: Hub) -> None:
        """The sessions of a tier have been written to, as far as they take anything."""
        at_s = self._clock_s()
        for trace in self.traces:
            written, waiting = _count(tier, trace, hub.flush_number, due=True)
            for step in trace.in_flush:
                step.record["clients"] += written
                step.record["waiting"] += waiting
                if written:
                    step.stamp("written", at_s)

    def flushed(self, hub: Hub) -> None:
        """The flush is over: report what went out with it, or why it did not."""
        for trace in self.traces:
            for tier in hub.tiers:
                if not tier.is_due(hub.flush_number):
                    _, waiting = _count(tier, trace, hub.flush_number, due=False)
                    for step in trace.in_flush:
                        step.record["waiting"] += waiting
            for step in trace.in_flush:
                step.record["outcome"] = _outcome(trace, step)
                trace.report(step.record)
            trace.in_flush, trace.changed, trace.held = [], frozenset(), False


def _shows(channel: Channel, symbol: str) -> bool:
    return not isinstance(channel, MarketChannel) and channel.symbol == symbol


def _count(tier: Tier, trace: Trace, flush_number: int, *, due: bool) -> tuple[int, int]:
    """How many of a tier's clients have been sent the symbol's changes, and how many will be later."""
    if not trace.changed:
        return 0, 0
    closed = any(step.closed for step in trace.in_flush)

    def wants(subscription_set: SubscriptionSet, closed_only: bool) -> bool:
        return (closed or not closed_only) and not trace.changed.isdisjoint(subscription_set.ns)

    in_sync = sum(cohort.size for cohort in tier.cohorts.values() if wants(cohort.subscription_set, cohort.style[1]))
    catching_up = [session for session in tier.catching_up if wants(session.subscription_set, session.style[1])]
    caught_up = sum(
        session.served_at_flush == flush_number and trace.changed.isdisjoint(session.pending)
        for session in catching_up
        if due
    )
    return (in_sync + caught_up, len(catching_up) - caught_up) if due else (0, in_sync + len(catching_up))


def _outcome(trace: Trace, step: Step) -> str:
    if step.record["clients"]:
        return "written"
    if trace.held:
        return "held: the process is busy"
    if not trace.subscribed:
        return "nobody subscribed"
    return "waiting" if trace.changed else "no news"
