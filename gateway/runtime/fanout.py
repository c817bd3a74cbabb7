"""A tier's flush for the sessions in sync: one join of fragments for each cohort, one write for each session.

The hot path: it does little per session, and leaves the writes to the socket batch. Runs in slices without `await`;
between two slices sessions may leave sync.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.delivery.channel import changed_states
from gateway.delivery.throttle import UNSENT_SLOW_BYTES
from gateway.ops.counters import COUNT_FLUSHES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.config import StreamConfig
    from gateway.delivery.dialect import Dialect
    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session
    from gateway.delivery.sink import Sink, SinkBatch
    from gateway.delivery.subscription_set import Cohort
    from gateway.delivery.tier import Tier
    from gateway.ops.counters import Counters

SLICE_SESSIONS = 64
"""Sessions served between two readings of the clock: well under a millisecond."""

DEFLATE_SHARERS = 4
"""A frame for so many clients is compressed even when the process is busy: that saves the kernel work per byte."""

PROBE_FLUSHES = 16
"""In so many flushes the sockets of all sessions in sync are probed for unsent bytes, a part at each flush."""


def heartbeat_flushes(config: StreamConfig) -> int:
    """After how many flushes without a frame a client is sent a heartbeat."""
    return max(1, round(config.heartbeat_s * 1000 / config.tick_ms))


class FlushInfo(NamedTuple):
    """What is the same for every session at a flush."""

    now_ms: int
    spare: bool
    """Whether there is time to compress what few clients share."""
    announcement: Callable[[Dialect], bytes] | None
    """Makes a frame that every client is sent besides its updates; `None`: there is none."""
    counted: bool
    """Whether the updates of this flush are counted, as a sample for `COUNT_FLUSHES` flushes."""


class Fanout:
    """Keeps no state of sessions: a socket batch is kept by the tier whose members it was made of."""

    def __init__(
        self,
        hub: Hub,
        counters: Counters,
        batch_of: Callable[[Sequence[Sink]], SinkBatch],
        on_miss: Callable[[Session, str], None],
    ) -> None:
        """`on_miss` is called with each session whose socket took nothing or is read too slowly, and the cause."""
        self._hub = hub
        self._counters = counters
        self._batch_of = batch_of
        self._on_miss = on_miss
        self._budget_bytes = 0
        self._heartbeat_flushes = 0

    def configure(self, budget_bytes: int, heartbeat_flushes: int) -> None:
        """Take what may change while the process runs; to be called before the first flush."""
        self._budget_bytes = budget_bytes
        self._heartbeat_flushes = heartbeat_flushes

    def serve(self, tier: Tier, flush: FlushInfo) -> Iterator[int]:
        """Write the flush that the tier has begun, a slice of its sessions at each step; yields how many of them were
        written to."""
        members, socket_batch = tier.members, self._socket_batch(tier)
        number = self._hub.flush_number
        for start in range(0, len(members), SLICE_SESSIONS):
            frames: list[bytes] = []
            for session in members[start : start + SLICE_SESSIONS]:
                cohort = session.cohort
                if cohort is None:
                    # It left sync while other tasks ran.
                    frames.append(b"")
                    continue
                if cohort.framed_at_flush == number:
                    frame = cohort.frame
                else:
                    frame = self._frame(tier, cohort, flush)
                    # One that is not shared is not kept: ten thousand of them take much memory.
                    cohort.frame = frame if cohort.size > 1 else b""
                if frame is None:
                    # Each session takes it by lanes, as far as its budget allows.
                    self._hub.leave_sync(session)
                    frame = b""
                frames.append(frame)
            missed = socket_batch.offer(start, frames)
            written = self._count(frames, start, missed)
            for position in missed:
                self._on_miss(members[position], "socket_full")
            tier.note_served(start + len(frames))
            yield written

    def probe(self, tier: Tier) -> None:
        """Ask the kernel how much it holds unsent for some sessions in sync: slow readers show there first."""
        members, socket_batch = tier.members, self._socket_batch(tier)
        parts = max(1, PROBE_FLUSHES // tier.period_flushes)
        share = -(-len(members) // parts)
        start = self._hub.flush_number // tier.period_flushes % parts * share
        for position in socket_batch.backed_up(start, min(start + share, len(members)), UNSENT_SLOW_BYTES):
            if members[position].cohort is not None:
                self._on_miss(members[position], "kernel_full")

    def _socket_batch(self, tier: Tier) -> SinkBatch:
        """The sockets of the tier's members, made once for as long as these stay the same."""
        if tier.socket_batch is None:
            tier.socket_batch = self._batch_of([session.sink for session in tier.members])
        return tier.socket_batch

    def _count(self, frames: list[bytes], start: int, missed: list[int]) -> int:
        written = len(frames) - frames.count(b"") - len(missed)
        size_bytes = sum(map(len, frames)) - sum(len(frames[position - start]) for position in missed)
        self._counters.count_writes(written, size_bytes)
        return written

    def _frame(self, tier: Tier, cohort: Cohort, flush: FlushInfo) -> bytes | None:
        """What each session of a cohort is sent at this flush: notices, updates, or a heartbeat when it is time.

        Returns b"" for nothing, `None` for too much for one write.
        """
        published, dialect = self._hub.published, cohort.style[0]
        number, state = published.flush_number, published.feed_state
        picked = cohort.subscription_set.pick(tier.fragment_tables[cohort.style])
        body = b"".join(picked)
        cohort.framed_at_flush = number
        cohort.feed_state_before = cohort.feed_state
        if len(body) > self._budget_bytes:
            return None
        if flush.counted or tier.moved:
            updates = COUNT_FLUSHES * (len(picked) - picked.count(b"")) if flush.counted else 0
            closed = tier.closed_of(cohort.subscription_set)
            self._counters.count_updates(dialect.name, updates * cohort.size, closed * cohort.size)
        notice = flush.announcement(dialect) if flush.announcement else b""
        if cohort.feed_state is not state:
            cohort.feed_state = state
            _, closed_only = cohort.style
            channels, ns = published.channels, cohort.subscription_set.ns
            if states := changed_states(channels, ns, cohort.feed_state_before, state, closed_only=closed_only):
                notice += dialect.status(states)
        frame = notice
        if body:
            frame = dialect.frame(body, flush.now_ms, spare=flush.spare or cohort.size >= DEFLATE_SHARERS)
            if notice:
                frame = notice + frame
        elif not notice and number - cohort.last_frame_flush >= self._heartbeat_flushes:
            frame = dialect.heartbeat(flush.now_ms)
        if frame:
            cohort.last_frame_flush = number
        return frame
