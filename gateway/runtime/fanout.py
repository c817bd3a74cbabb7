"""A tier's beat for those in step: one join of fragments for each cohort, one write for each session.

The hot path: what it does for a session is little, and what it does for a write is left to the fleet. Runs in slices
without `await`; between two of them sessions may leave step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.delivery.throttle import UNSENT_SLOW_BYTES
from gateway.ops.counters import COUNT_FLUSHES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.delivery.dialect import Dialect
    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session, Sink, SinkBatch
    from gateway.delivery.tier import Cohort, Tier
    from gateway.ops.counters import Counters

SLICE_SESSIONS = 64
"""Sessions served between two looks at the clock: well under a millisecond."""

DEFLATE_SHARERS = 4
"""A frame for so many clients is compressed even when the process is busy: the kernel's work for the bytes is saved."""

PROBE_FLUSHES = 16
"""In so many ticks everybody in step has been looked at for a clogged socket, a part at each beat."""


class FlushInfo(NamedTuple):
    """What is the same for everybody at a beat."""

    now_ms: int
    spare: bool
    """There is time to compress what few share."""
    announcement: Callable[[Dialect], bytes] | None
    """What everybody is told besides the news."""
    counted: bool
    """Whether this beat's updates are counted, for others too."""


class Fanout:
    """Keeps nothing: what is made of a roster goes with it."""

    def __init__(
        self,
        hub: Hub[Session],
        counters: Counters,
        batch_of: Callable[[Sequence[Sink]], SinkBatch],
        on_late: Callable[[Session, str], None],
    ) -> None:
        self._hub = hub
        self._counters = counters
        self._batch_of = batch_of
        self._on_late = on_late
        self._budget_bytes = 0
        self._heartbeat_flushes = 0

    def configure(self, budget_bytes: int, heartbeat_flushes: int) -> None:
        """Take what may change while the process runs; to be called before the first beat."""
        self._budget_bytes = budget_bytes
        self._heartbeat_flushes = heartbeat_flushes

    def serve(self, tier: Tier[Session], beat: FlushInfo) -> Iterator[int]:
        """Write the beat that the tier has begun, a slice of its sessions at each step; yields how many
        of them were written to."""
        members, socket_batch = tier.members, self._socket_batch(tier)
        tick = self._hub.tick
        for start in range(0, len(members), SLICE_SESSIONS):
            frames: list[bytes] = []
            for session in members[start : start + SLICE_SESSIONS]:
                cohort = session.cohort
                if cohort is None:
                    # It left step while others had their turn.
                    frames.append(b"")
                    continue
                if cohort.framed_at_flush == tick:
                    frame = cohort.frame
                else:
                    frame = self._frame(tier, cohort, beat)
                    # One that nobody shares is not kept: ten thousand of them are much memory.
                    cohort.frame = frame if cohort.size > 1 else b""
                if frame is None:
                    # Each session takes it by lanes, as far as its budget goes.
                    self._hub.leave_sync(session)
                    frame = b""
                frames.append(frame)
            missed = socket_batch.offer(start, frames)
            written = self._count(frames, start, missed)
            for place in missed:
                self._on_late(members[place], "socket_full")
            tier.reached = start + len(frames)
            yield written

    def probe(self, tier: Tier[Session]) -> None:
        """Look behind the kernel's buffers of some of those in step: slow readers show there first."""
        members, socket_batch = tier.members, self._socket_batch(tier)
        parts = max(1, PROBE_FLUSHES // tier.period_flushes)
        share = -(-len(members) // parts)
        start = self._hub.tick // tier.period_flushes % parts * share
        for place in socket_batch.backed_up(start, min(start + share, len(members)), UNSENT_SLOW_BYTES):
            if members[place].cohort is not None:
                self._on_late(members[place], "kernel_full")

    def _socket_batch(self, tier: Tier[Session]) -> SinkBatch:
        """The sockets of the tier's roster, lined up once for as long as it stands."""
        if tier.socket_batch is None:
            tier.socket_batch = self._batch_of([session.sink for session in tier.members])
        socket_batch: SinkBatch = tier.socket_batch
        return socket_batch

    def _count(self, frames: list[bytes], start: int, missed: list[int]) -> int:
        written = len(frames) - frames.count(b"") - len(missed)
        size_bytes = sum(map(len, frames)) - sum(len(frames[place - start]) for place in missed)
        self._counters.count_writes(written, size_bytes)
        return written

    def _frame(self, tier: Tier[Session], cohort: Cohort, beat: FlushInfo) -> bytes | None:
        """What a cohort is written at this beat: notices, its news, a heartbeat when it is time; b"": nothing, `None`:
        too much for one write."""
        tick, state, dialect = self._hub.tick, self._hub.state, cohort.style[0]
        picked = cohort.subscription_set.pick(tier.fragment_tables[cohort.style])
        body = b"".join(picked)
        cohort.framed_at_flush = tick
        cohort.feed_state_before = cohort.feed_state
        if len(body) > self._budget_bytes:
            return None
        if beat.counted or tier.moved:
            updates = COUNT_FLUSHES * (len(picked) - picked.count(b"")) if beat.counted else 0
            closed = tier.closed_of(cohort.subscription_set)
            self._counters.count_updates(dialect.name, updates * cohort.size, closed * cohort.size)
        notice = beat.announcement(dialect) if beat.announcement else b""
        if cohort.feed_state is not state:
            cohort.feed_state = state
            if cohort.subscription_set.ns:
                notice += dialect.status(cohort.subscription_set.ns, state)
        frame = notice
        if body:
            frame = dialect.beat(body, beat.now_ms, spare=beat.spare or cohort.size >= DEFLATE_SHARERS)
            if notice:
                frame = notice + frame
        elif not notice and tick - cohort.last_frame_flush >= self._heartbeat_flushes:
            frame = dialect.heartbeat(beat.now_ms)
        if frame:
            cohort.last_frame_flush = tick
        return frame
