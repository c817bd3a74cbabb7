"""Traces: the times at which the updates of one symbol pass each stage of the gateway, for an operator who asks.

Without a trace `traces` is empty, and that is all that a batch and a flush check. Changes nothing that it reads.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gateway.delivery.channel import MarketChannel
from gateway.delivery.throttle import DEFAULT
from gateway.model.kline import KlineDelta, KlineUpdate

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.channel import Channel
    from gateway.delivery.group import Group
    from gateway.delivery.hub import Hub
    from gateway.delivery.subscription_set import SubscriptionSet
    from gateway.market.market import Update
    from gateway.redis.contract import Topic

PENDING_MAX = 1000
"""Updates of one symbol that are traced within a flush interval."""


class Step:
    """The record of one update; its stamps are ms since the update was read from the feed's socket."""

    __slots__ = ("_clock_s", "_read_s", "changed", "closed", "held", "record", "served", "subscribed")

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
        self.changed: frozenset[int] = frozenset()
        """The numbers of the symbol's channels that have changed at its flush."""
        self.subscribed = 0
        """How many of the symbol's channels have subscribers."""
        self.served: set[Group] = set()
        """The groups that have been flushed since."""
        self.held = False
        """Whether a group was flushed without it, because its lane waits."""
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
    """One symbol, and who gets the record of each of its updates when it has been sent."""

    def __init__(self, symbol: str, report: Callable[[dict[str, Any]], None]) -> None:
        self.symbol = symbol
        self.report = report
        self.pending: list[Step] = []
        """Updates that were applied to the market and not published yet."""
        self.published: list[Step] = []
        """Updates that were published and have not been sent to every group yet."""


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
            steps, trace.pending = trace.pending, []
            if not steps:
                continue
            channels = [channel for channel in hub.channels if channel.subscribers and _shows(channel, trace.symbol)]
            changed = frozenset(channel.n for channel in channels if channel.changed_at_flush == hub.flush_number)
            for step in steps:
                step.record["tick"] = hub.flush_number
                step.stamp("published", at_s)
                step.changed, step.subscribed = changed, len(channels)
            trace.published = (trace.published + steps)[-PENDING_MAX:]

    def served(self, group: Group, hub: Hub) -> None:
        """The sessions of a group have been written to, as far as they take anything."""
        at_s = self._clock_s()
        for trace in self.traces:
            for step in trace.published:
                if group in step.served:
                    continue
                if not step.closed and all(hub.channels[n].lane in group.held_lanes for n in step.changed):
                    step.held = bool(group.held_lanes and step.changed)
                    continue
                step.served.add(group)
                written, waiting = _count(group, step, hub.flush_number)
                step.record["clients"] += written
                step.record["waiting"] += waiting
                if step.changed:
                    step.stamp("encoded", at_s)
                if written:
                    step.stamp("written", at_s)

    def flushed(self, hub: Hub) -> None:
        """The flush is over: report what has gone out to every group that is not flushed at a rate of its own."""
        prompt = [group for tier in hub.tiers[: DEFAULT + 1] for group in tier.groups]
        for trace in self.traces:
            steps, trace.published = trace.published, []
            for step in steps:
                if not step.held and any(_wants_any(group, step) for group in prompt if group not in step.served):
                    trace.published.append(step)
                    continue
                left = [group for group in hub.groups() if group not in step.served]
                step.record["waiting"] += sum(_count(group, step, -1)[1] for group in left)
                step.record["outcome"] = _outcome(step)
                trace.report(step.record)


def _shows(channel: Channel, symbol: str) -> bool:
    return not isinstance(channel, MarketChannel) and channel.symbol == symbol


def _wants(step: Step, subscription_set: SubscriptionSet, *, closed_only: bool) -> bool:
    return (step.closed or not closed_only) and not step.changed.isdisjoint(subscription_set.ns)


def _wants_any(group: Group, step: Step) -> bool:
    return any(_wants(step, key[1], closed_only=key[0][1]) for key in group.cohorts)


def _count(group: Group, step: Step, flush_number: int) -> tuple[int, int]:
    """How many of a group's clients have been sent the update with this flush, and how many will be later."""
    if not step.changed:
        return 0, 0
    in_sync = sum(
        cohort.size
        for cohort in group.cohorts.values()
        if _wants(step, cohort.subscription_set, closed_only=cohort.style[1])
    )
    behind = [
        session for session in group.catching_up if _wants(step, session.subscription_set, closed_only=session.style[1])
    ]
    if group.last_flush != flush_number:
        return 0, in_sync + len(behind)
    caught_up = sum(
        session.served_at_flush == flush_number and step.changed.isdisjoint(session.pending) for session in behind
    )
    return in_sync + caught_up, len(behind) - caught_up


def _outcome(step: Step) -> str:
    if step.record["clients"]:
        return "written"
    if step.held:
        return "held: the process is busy"
    if not step.subscribed:
        return "nobody subscribed"
    return "waiting" if step.changed else "no news"
