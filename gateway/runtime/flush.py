"""The flush beat: every tick the market's changes go to the clients.

Merges and encodes nothing itself, and keeps no state but how busy the process is. Each slice of a flush runs without
`await`: nobody ever sees half a step.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import TYPE_CHECKING

from gateway.delivery import throttle
from gateway.delivery.close_codes import Close
from gateway.delivery.hub import TIER_PERIODS
from gateway.delivery.load_level import LANE_PERIODS, Load
from gateway.ops.counters import COUNT_FLUSHES, Stage
from gateway.runtime.fanout import Fanout, FlushInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.config import Config
    from gateway.delivery.dialect import Dialect
    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session, Sink, SinkBatch
    from gateway.delivery.tier import Tier
    from gateway.market.market import Market
    from gateway.ops.counters import Counters
    from gateway.runtime.backfill import Backfill
    from gateway.runtime.ingest import Ingest

logger = logging.getLogger(__name__)

LOOKS_AT_CLOCK = 16
"""Sessions that are behind, between two looks at the clock."""

SLICE_S = 0.010
"""Longest a flush keeps the loop: the feed and the handshakes get their turn in between."""

SHED_PARTS = 200
"""When nothing else helps, one in so many clients is sent away per tick: all of them would come back as a storm."""


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Flusher:
    """`run` is the beat; `flush_control` lets replies out between beats."""

    def __init__(
        self,
        config: Config,
        market: Market,
        hub: Hub[Session],
        backfill: Backfill,
        ingest: Ingest,
        counters: Counters,
        on_resync: Callable[[Session], None],
        batch_of: Callable[[Sequence[Sink]], SinkBatch],
        clock_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._clock_ms = clock_ms
        self._market = market
        self._hub = hub
        self._backfill = backfill
        self._ingest = ingest
        self._counters = counters
        self._on_resync = on_resync
        self._tick_s = config.stream.tick_ms / 1000
        self._tick_ms = config.stream.tick_ms
        self._fanout = Fanout(hub, counters, batch_of, self._leave_sync)
        self.configure(config)
        self.load = Load(self._tick_s)
        self._announced = False
        self.flushed_s = 0.0
        """When the last flush ended, on the monotonic clock."""

    def configure(self, config: Config) -> None:
        """Take the settings that may change while the process runs."""
        self._budget_bytes = config.stream.budget_bytes
        self._heartbeat_flushes = max(1, round(config.stream.heartbeat_s / self._tick_s))
        self._slow_abort_s = config.stream.slow_abort_s
        self._fanout.configure(self._budget_bytes, self._heartbeat_flushes)

    async def run(self) -> None:
        """Flush on every tick until cancelled. A late tick is not caught up on: its changes go out with the next."""
        due_s = time.monotonic()
        while True:
            due_s = max(due_s + self._tick_s, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())
            started_s = time.monotonic()
            self._counters.observe_lag(started_s - due_s)
            ingest_s = self._ingest.spent_s
            await self.flush()
            self.flushed_s = time.monotonic()
            self._counters.observe_flush(self.flushed_s - started_s)
            if self.flushed_s - due_s > self._tick_s:
                self._counters.overruns += 1
            # Ingest that ran between the slices of the flush is in the flush's time already.
            self._weigh(ingest_s + self.flushed_s - due_s, self.flushed_s)

    async def flush(self) -> None:
        now_s = time.monotonic()
        now_ms = self._clock_ms()
        self._ingest.judge_feed(now_s, now_ms)
        # What the source may still have is waited for, however long it is away.
        if not self._backfill.running and not self._ingest.feed_state.current.unread:
            self._market.advance(now_ms, self._backfill.in_progress)
        self._ingest.begin_flush(now_ms)
        changes = self._market.take_changes()
        for series in changes.gaps:
            self._backfill.start_series(series)
        self._hub.publish(changes)
        self._counters.published += self._hub.news
        tracing = self._ingest.tracing if self._ingest.tracing.traces else None
        if tracing:
            tracing.published(self._hub)
        slice_end_s = now_s + SLICE_S
        counted = not self._hub.tick % COUNT_FLUSHES
        beat = FlushInfo(now_ms, not self.load.level, self._announcement if self._announced else None, counted)
        due = self._hub.due(self.load.held(self._hub.tick))
        if tracing:
            tracing.encoded(self._hub)
        for tier in due:
            for written in self._fanout.serve(tier, beat):
                at_s = time.monotonic()
                self._counters.observe_stage(Stage.FLUSH_TO_SOCKET, at_s - now_s, written)
                if at_s > slice_end_s:
                    await asyncio.sleep(0)
                    slice_end_s = time.monotonic() + SLICE_S
            self._fanout.probe(tier)
            for place, session in enumerate(list(tier.behind)):
                self._flush_behind(tier, session, now_s, now_ms)
                if not place % LOOKS_AT_CLOCK and time.monotonic() > slice_end_s:
                    await asyncio.sleep(0)
                    slice_end_s = time.monotonic() + SLICE_S
            if tracing:
                tracing.served(tier, self._hub)
        if tracing:
            tracing.begin_flush(self._hub)
        to_resync, self._hub.to_resync = self._hub.to_resync, set()
        for session in to_resync:
            self._on_resync(session)
        if self._hub.tick % max(1, round(1 / self._tick_s)) == 0:
            self._calm(now_s)
            self._counters.log_burst_summaries(now_s)

    def flush_control(self, session: Session) -> None:
        """Write a session's replies now if its socket is free; else they go with its next beat."""
        if session.cohort is not None and not session.sink.busy():
            replies, session.control = session.control, []
            session.sink.offer(b"".join(replies))
        elif session.control:
            self._hub.leave_sync(session)
            self._offer_behind(session, self._clock_ms())

    def flush_last(self, session: Session) -> None:
        """Write all that a session is still owed, whatever the budget: the connection ends."""
        self._hub.leave_sync(session)
        if not session.sink.busy():
            session.sink.offer(session.take(self._hub, sys.maxsize, self._clock_ms()))

    def _weigh(self, busy_s: float, now_s: float) -> None:
        """Go by what the tick cost: tell everybody of a new level, and at the last send some clients away."""
        before = self.load.level
        self._announced = self.load.observe(busy_s, now_s)
        if self._announced:
            logger.warning("load level %s (was %s)", self.load.level.name.lower(), before.name.lower())
        if self.load.sheds(now_s):
            slowest = [session for tier in reversed(self._hub.tiers) for session in tier.sessions()]
            for session in slowest[: max(1, len(slowest) // SHED_PARTS)]:
                self._counters.disconnects[Close.OVERLOADED.code] += 1
                session.sink.close(Close.OVERLOADED)

    def _announcement(self, dialect: Dialect) -> bytes:
        interval_ms = self._tick_ms * LANE_PERIODS[self.load.level].ticker
        return dialect.throttle(interval_ms, "load" if self.load.level else "recovered")

    def _flush_behind(self, tier: Tier[Session], session: Session, now_s: float, now_ms: int) -> None:
        if session.cohort is not None or self._hub.tiers[session.tier] is not tier or session not in tier.behind:
            # It moved while this flush let others run.
            return
        if self._announced:
            session.load_notice = self._announcement(session.style[0])
        if session.sink.busy():
            self._missed(session, "socket_full", now_s)
            return
        if session.sink.unsent_bytes() > throttle.unsent_max(session):
            self._missed(session, "kernel_full", now_s)
            return
        throttle.taken(session)
        if session.allowance is not None and not session.allowance.has_any(now_s):
            return
        self._offer_behind(session, now_ms)
        if session.is_caught_up(self._hub):
            tier.join(session, self._hub.state, self._hub.tick)

    def _offer_behind(self, session: Session, now_ms: int) -> None:
        if session.sink.busy():
            return
        frames = session.take(self._hub, throttle.budget(session, self._budget_bytes), now_ms)
        if not frames and session.allowance and self._hub.tick % self._heartbeat_flushes < TIER_PERIODS[session.tier]:
            frames = session.style[0].heartbeat(now_ms)
        if frames and session.sink.offer(frames):
            self._counters.count_writes(1, len(frames))
            self._counters.count_updates(session.style[0].name, *session.sent)
            if session.allowance is not None:
                session.allowance.spend(len(frames))
        if session.on_control_sent is not None:
            on_control_sent, session.on_control_sent = session.on_control_sent, None
            on_control_sent()

    def _missed(self, session: Session, cause: str, now_s: float) -> None:
        self._counters.missed[cause] += 1
        self._retier(session, throttle.missed(session, now_s), "slow_client")
        if session.stalled_since_s is not None and now_s - session.stalled_since_s > self._slow_abort_s:
            self._counters.disconnects[Close.SLOW.code] += 1
            session.sink.abort()

    def _leave_sync(self, session: Session, cause: str) -> None:
        """In step until now, but its socket takes nothing or is read too slowly."""
        self._hub.leave_sync(session)
        self._missed(session, cause, time.monotonic())

    def _calm(self, now_s: float) -> None:
        """Once a second: whoever keeps up in a slow tier may go a rung faster."""
        for tier in self._hub.tiers[1:]:
            # Those behind too: after a stall there may be more to catch up on than a slow tier's budget lets through.
            for session in tier.sessions():
                self._retier(session, throttle.calmed(session, now_s), "recovered")

    def _retier(self, session: Session, tier: int, reason: str) -> None:
        if tier != session.tier:
            self._hub.move(session, tier)
            session.notice = (self._hub.tiers[tier].period_flushes * self._tick_ms, reason)
