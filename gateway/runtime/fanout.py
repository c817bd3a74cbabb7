"""A group's flush for the sessions in sync: one join of fragments for each cohort, one write for each session.

The hot path: it does little per session, and leaves the writes to the socket batch. Runs in slices without `await`;
between two slices sessions may leave sync.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from gateway.delivery.channel import changed_states
from gateway.delivery.throttle import UNSENT_SLOW_BYTES
from gateway.ops.counters import COUNT_FLUSHES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.delivery.dialect import Dialect
    from gateway.delivery.group import Group
    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session
    from gateway.delivery.sink import Sink, SinkBatch
    from gateway.delivery.subscription_set import Cohort
    from gateway.ops.counters import Counters

SLICE_SESSIONS = 64
"""Sessions served between two readings of the clock: well under a millisecond."""

DEFLATE_SHARERS = 4
"""A frame for so many clients is compressed even when the process is busy: that saves the kernel work per byte."""

PROBE_S = 1.0
"""The time in which the sockets of all sessions in sync are probed for unsent bytes, a part at each flush."""


class FlushInfo(NamedTuple):
    """What is the same for every session at a flush."""

    now_ms: int
    now_s: float
    """On the monotonic clock."""
    spare: bool
    """Whether there is time to compress what few clients share."""
    announcement: Callable[[Dialect], bytes] | None
    """Makes a frame that every client is sent besides its updates; `None`: there is none."""
    counted: bool
    """Whether the updates of this flush are counted, as a sample for `COUNT_FLUSHES` flushes."""
    visits: bool
    """Whether every cohort is looked at, not only those of which something has changed."""


class Fanout:
    """Keeps no state of sessions: a socket batch is kept by the group whose members it was made of."""

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
        self._heartbeat_s = 0.0

    def configure(self, budget_bytes: int, heartbeat_s: float) -> None:
        """Take what may change while the process runs; to be called before the first flush."""
        self._budget_bytes = budget_bytes
        self._heartbeat_s = heartbeat_s

    def serve(self, group: Group, flush: FlushInfo) -> Iterator[int]:
        """Write the flush that the group has begun, a slice of its sessions at each step; yields how many of them were
        written to."""
        members, socket_batch = group.members, self._socket_batch(group)
        number = group.last_flush
        places = range(len(members)) if flush.visits else group.places_of_changes()
        for start in range(0, len(places), SLICE_SESSIONS):
            slice_places = places[start : start + SLICE_SESSIONS]
            written_places: list[int] = []
            frames: list[bytes] = []
            for place in slice_places:
                session = members[place]
                cohort = session.cohort
                if cohort is None:
                    # It left sync while other tasks ran.
                    continue
                if cohort.framed_at_flush == number:
                    frame = cohort.frame
                else:
                    frame = self._frame(group, cohort, flush)
                    # One that is not shared is not kept: ten thousand of them take much memory.
                    cohort.frame = frame if cohort.size > 1 else b""
                if frame:
                    written_places.append(place)
                    frames.append(frame)
                elif frame is None:
                    # Each session takes it by lanes, as far as its budget allows.
                    self._hub.leave_sync(session)
            missed = socket_batch.offer(written_places, frames) if frames else []
            self._count(frames, missed)
            for index in missed:
                self._on_miss(members[written_places[index]], "socket_full")
            group.note_served(slice_places[-1] + 1)
            yield len(frames) - len(missed)
        group.note_served(len(members))

    def probe(self, group: Group, now_s: float) -> None:
        """Ask the kernel how much it holds unsent for some sessions in sync: slow readers show there first.

        How many depends on the time since the last call: all within `PROBE_S`.
        """
        members, socket_batch = group.members, self._socket_batch(group)
        start = group.probed_to if group.probed_to < len(members) else 0
        share = math.ceil(len(members) * min(1.0, (now_s - group.probed_s) / PROBE_S))
        stop = min(start + share, len(members))
        group.note_probed(stop, now_s)
        for place in socket_batch.backed_up(start, stop, UNSENT_SLOW_BYTES):
            if members[place].cohort is not None:
                self._on_miss(members[place], "kernel_full")

    def _socket_batch(self, group: Group) -> SinkBatch:
        """The sockets of the group's members, made once for as long as these stay the same."""
        if group.socket_batch is None:
            group.socket_batch = self._batch_of([session.sink for session in group.members])
        return group.socket_batch

    def _count(self, frames: list[bytes], missed: list[int]) -> None:
        size_bytes = sum(map(len, frames)) - sum(len(frames[index]) for index in missed)
        self._counters.count_writes(len(frames) - len(missed), size_bytes)

    def _frame(self, group: Group, cohort: Cohort, flush: FlushInfo) -> bytes | None:
        """What each session of a cohort is sent at this flush: notices, updates, or a heartbeat when it is time.

        Returns b"" for nothing, `None` for too much for one write.
        """
        published, dialect = self._hub.published, cohort.style[0]
        number, state = group.last_flush, published.feed_state
        picked = cohort.subscription_set.pick(group.fragment_tables[cohort.style])
        body = b"".join(picked)
        cohort.framed_at_flush = number
        cohort.feed_state_before = cohort.feed_state
        if len(body) > self._budget_bytes:
            return None
        if flush.counted or group.moved:
            updates = COUNT_FLUSHES * (len(picked) - picked.count(b"")) if flush.counted else 0
            closed = group.closed_of(cohort.subscription_set)
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
        elif not notice and flush.now_s - cohort.last_frame_s >= self._heartbeat_s:
            frame = dialect.heartbeat(flush.now_ms)
        if frame:
            cohort.last_frame_s = flush.now_s
        return frame
