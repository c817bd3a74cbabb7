"""One symbol's updates on their way through the gateway, stamped at each stage for whoever asks.

While nobody does, `traces` is empty, and that is all a batch and a tick look at. Changes nothing it looks at.
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
    from gateway.delivery.session import Session
    from gateway.delivery.subscription_set import SubscriptionSet
    from gateway.delivery.tier import Tier
    from gateway.market.market import Update
    from gateway.redis.contract import Topic

PENDING_MAX = 1000
"""Updates of one symbol that are followed within a tick."""


class Step:
    """One update's stamps; times of this process in ms since it was read from the feed's socket."""

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
    """Follows one symbol until it is stopped; each update is told when its tick is over."""

    def __init__(self, symbol: str, tell: Callable[[dict[str, Any]], None]) -> None:
        self.symbol = symbol
        self.tell = tell
        self.pending: list[Step] = []
        """Folded in, and not published yet."""
        self.flying: list[Step] = []
        """Of the tick that is being flushed."""
        self.touched: frozenset[int] = frozenset()
        """The numbers of the symbol's channels that have news at this tick, and let it out."""
        self.watched = 0
        self.held = False


class Tracing:
    """All traces. Ingest and pump call it, in the order of a tick, and only while `traces` is not empty."""

    def __init__(
        self, clock_s: Callable[[], float] = time.perf_counter, wall_s: Callable[[], float] = time.time
    ) -> None:
        self.traces: list[Trace] = []
        self._clock_s = clock_s
        self._wall_s = wall_s
        self._read_s = self._read_ms = 0.0

    def start(self, symbol: str, tell: Callable[[dict[str, Any]], None]) -> Trace:
        """Follow a symbol; `tell` gets a record of each update."""
        trace = Trace(symbol, tell)
        self.traces.append(trace)
        return trace

    def stop(self, trace: Trace) -> None:
        self.traces.remove(trace)

    # What ingest says.

    def read(self) -> None:
        """A batch has come from the feed's socket."""
        self._read_s, self._read_ms = self._clock_s(), self._wall_s() * 1000

    def begin(self, topic: Topic) -> Step | None:
        """An update is about to be decoded; `None` where nobody follows its symbol."""
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
                trace.tell(step.record)

    # What the pump says.

    def published(self, hub: Hub[Session]) -> None:
        """The hub has begun a tick with what was folded in before it."""
        at_s = self._clock_s()
        for trace in self.traces:
            trace.flying, trace.pending = trace.pending, []
            if not trace.flying:
                continue
            channels = [channel for channel in hub.channels if channel.subscribers and _shows(channel, trace.symbol)]
            trace.watched = len(channels)
            trace.touched = frozenset(channel.n for channel in channels if channel.changed_at_flush == hub.tick)
            for step in trace.flying:
                step.record["tick"] = hub.tick
                step.stamp("published", at_s)

    def encoded(self, hub: Hub[Session]) -> None:
        """The fragments of all tiers that have a beat are ready."""
        at_s = self._clock_s()
        for trace in self.traces:
            if trace.touched:
                closed = any(step.closed for step in trace.flying)
                free = frozenset(n for n in trace.touched if closed or hub.channels[n].lane not in hub.held)
                trace.held, trace.touched = not free, free
            for step in trace.flying if trace.touched else ():
                step.stamp("encoded", at_s)

    def served(self, tier: Tier[Session], hub: Hub[Session]) -> None:
        """Everybody of a tier has been written to who could be."""
        at_s = self._clock_s()
        for trace in self.traces:
            written, waiting = _count(tier, trace, hub.tick, due=True)
            for step in trace.flying:
                step.record["clients"] += written
                step.record["waiting"] += waiting
                if written:
                    step.stamp("written", at_s)

    def begin_flush(self, hub: Hub[Session]) -> None:
        """The flush is over: tell of all that went out with it, or why it did not."""
        for trace in self.traces:
            for tier in hub.tiers:
                if not tier.is_due(hub.tick):
                    _, waiting = _count(tier, trace, hub.tick, due=False)
                    for step in trace.flying:
                        step.record["waiting"] += waiting
            for step in trace.flying:
                step.record["outcome"] = _outcome(trace, step)
                trace.tell(step.record)
            trace.flying, trace.touched, trace.held = [], frozenset(), False


def _shows(channel: Channel, symbol: str) -> bool:
    return not isinstance(channel, MarketChannel) and channel.symbol == symbol


def _count(tier: Tier[Session], trace: Trace, tick: int, *, due: bool) -> tuple[int, int]:
    """How many of a tier's clients have been sent the symbol's news, and how many will be later."""
    if not trace.touched:
        return 0, 0
    closed = any(step.closed for step in trace.flying)

    def wants(subscription_set: SubscriptionSet, closed_only: bool) -> bool:
        return (closed or not closed_only) and not trace.touched.isdisjoint(subscription_set.ns)

    in_sync = sum(cohort.size for cohort in tier.cohorts.values() if wants(cohort.subscription_set, cohort.style[1]))
    behind = [session for session in tier.behind if wants(session.subscription_set, session.style[1])]
    caught_up = sum(
        session.served_at_flush == tick and trace.touched.isdisjoint(session.pending) for session in behind if due
    )
    return (in_sync + caught_up, len(behind) - caught_up) if due else (0, in_sync + len(behind))


def _outcome(trace: Trace, step: Step) -> str:
    if step.record["clients"]:
        return "written"
    if trace.held:
        return "held: the process is busy"
    if not trace.watched:
        return "nobody subscribed"
    return "waiting" if trace.touched else "no news"
