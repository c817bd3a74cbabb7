"""Writes to one session at a time: replies between flushes, and what is pending for a session that is catching up.

Never awaits. Sessions that are in sync are written to by `fanout.py`.
"""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING

from gateway.delivery.close_codes import Close
from gateway.delivery.throttle import DEFAULT, FAST, FAST_LATENCY_MS, TIER_INTERVALS_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config
    from gateway.delivery.group import Group
    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session
    from gateway.ops.counters import Counters
    from gateway.runtime.fanout import FlushInfo

FAST_FULL, FAST_ROOM = 0.95, 0.5
"""Used parts of the fast tier's share of the core at which sessions leave it, and come back."""

FAST_PARTS = 8
"""One in so many of its sessions leaves the fast tier, or comes back, at a time."""


class SessionWriter:
    """Writes what a session takes, and moves it to a slower tier while its socket does not take that."""

    def __init__(self, config: Config, hub: Hub, counters: Counters, clock_ms: Callable[[], int]) -> None:
        self._hub = hub
        self._counters = counters
        self._clock_ms = clock_ms
        self._longest_ms = config.stream.flush_max_ms
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take the settings that may change while the process runs."""
        self._budget_bytes = config.stream.budget_bytes
        self._heartbeat_s = config.stream.heartbeat_s
        self._slow_abort_s = config.stream.slow_abort_s

    def reply(self, session: Session, frames: bytes) -> None:
        """Send replies now if the socket is free, else with the session's next flush. While too many of them wait, the
        client's commands are not read."""
        session.queue_control(frames)
        if session.cohort is not None and not session.sink.busy():
            session.sink.offer(session.take_control())
        else:
            self._hub.leave_sync(session)
            self._write(session, self._clock_ms())
        session.pause_commands()

    def write_pending(self, session: Session) -> None:
        """Write updates between two flushes, within the budget, to a session whose socket has drained after a stall."""
        self._hub.leave_sync(session)
        session.pace.keep_up()
        self._write(session, self._clock_ms())

    def write_all(self, session: Session) -> None:
        """Write all that is pending, whatever the budget: the connection ends."""
        self._hub.leave_sync(session)
        if not session.sink.busy():
            session.sink.offer(session.take(self._hub.published, sys.maxsize, self._clock_ms()).frames)

    def catch_up(self, group: Group, session: Session, flush: FlushInfo, now_s: float) -> None:
        """Write what is pending for a session at a flush of its group, as far as its budget and its socket allow."""
        if session not in group.catching_up:
            # It has moved or gone while the flush let other tasks run.
            return
        if flush.announcement is not None:
            session.announce_load(flush.announcement(session.style[0]))
        if session.sink.busy():
            self.miss(session, "socket_full", now_s)
            return
        pace = session.pace
        if session.sink.unsent_bytes() > pace.unsent_max_bytes:
            self.miss(session, "kernel_full", now_s)
            return
        pace.keep_up()
        if pace.allowance is not None and not pace.allowance.has_any(now_s):
            return
        self._write(session, flush.now_ms, now_s)
        if session.is_caught_up(self._hub.published):
            self._hub.enter_sync(session)

    def miss(self, session: Session, cause: str, now_s: float) -> None:
        """The session could not be written to. It catches up from now on, and is disconnected after a long stall."""
        self._hub.leave_sync(session)
        self._counters.missed[cause] += 1
        session.sink.abort_if_broken()
        self._move(session, session.pace.miss(now_s), "slow_client")
        if session.pace.stalled_since_s is not None and now_s - session.pace.stalled_since_s > self._slow_abort_s:
            session.sink.abort()

    def speed_up(self, now_s: float) -> None:
        """Move sessions of slow tiers that keep up to the next faster tier; to be called about once a second."""
        waiting = [session for session in self._hub.fast if session.pace.tier == DEFAULT]
        # Those that are catching up too: after a stall more may be pending than a slow tier's budget lets through.
        slower = chain.from_iterable(tier.sessions() for tier in self._hub.tiers[DEFAULT + 1 :])
        for session in chain(waiting, slower):
            self._move(session, session.pace.calmed_tier(now_s), "recovered")

    def balance_fast(self, used: float) -> None:
        """Let the fast tier keep to its share of the core: who came last is served like all others, and at once again
        when there is room. To be called about once a second. `used`: the part of that share that it has used."""
        fast = [session for session in self._hub.fast if session.pace.tier == FAST]
        waiting = [session for session in self._hub.fast if not session.pace.fast]
        if used >= FAST_FULL:
            for session in fast[-max(1, len(fast) // FAST_PARTS) :]:
                self._move(session, session.pace.want_fast(fast=False), "load")
        elif used < FAST_ROOM:
            for session in waiting[: max(1, len(fast) // FAST_PARTS)]:
                self._move(session, session.pace.want_fast(fast=True), "recovered")

    def _write(self, session: Session, now_ms: int, now_s: float | None = None) -> None:
        """`now_s`: time of the flush on the monotonic clock; `None` between two flushes."""
        # A task that waited for the socket may come back after the connection has ended.
        if session.sink.busy() or session not in self._hub.sessions:
            return
        allowance = session.pace.allowance
        budget_bytes = session.pace.budget_bytes(self._budget_bytes)
        taken = session.take(self._hub.published, budget_bytes, now_ms, self._hub.group_of(session).held_lanes)
        if taken.overrun:
            self._hub.queue_snapshots(session)
        if session.lacks_closed:
            session.sink.close(Close.MISSED)
            return
        frames = taken.frames
        if not frames and allowance is not None and now_s is not None and allowance.is_quiet(now_s, self._heartbeat_s):
            frames = session.style[0].heartbeat(now_ms)
        if frames and session.sink.offer(frames):
            self._counters.count_writes(1, len(frames))
            self._counters.count_updates(session.style[0].name, taken.updates, taken.closed)
            if allowance is not None:
                allowance.spend(len(frames), now_s)
        session.resume_commands()

    def _move(self, session: Session, tier: int, reason: str) -> None:
        if tier != session.pace.tier:
            self._hub.move(session, tier)
            session.announce_interval(self.interval_ms(tier), reason)

    def interval_ms(self, tier: int) -> int:
        """How long a session of a tier waits for an update at most, in milliseconds; what clients are sent."""
        if tier == FAST:
            return FAST_LATENCY_MS
        return max(self._longest_ms, round(TIER_INTERVALS_S[tier] * 1000))
