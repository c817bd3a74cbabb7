"""Sends the snapshots that sessions are due from the store: those asked for, resumes, and resyncs.

The hub marks what is due; this module reads and sends it. One snapshot at a time for each session, as fast as its
socket drains, in turns with the other sessions. So what waits for a client is bounded by one snapshot, and no client's
start delays the flush.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING

from gateway.delivery.channel import KlineChannel
from gateway.delivery.commands import CommandError
from gateway.stream.profile import snapshot_dialect

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.delivery.commands import SnapshotRequest
    from gateway.delivery.session import Session
    from gateway.history.encoded import EncodedKlines
    from gateway.history.older import Older
    from gateway.history.turns import Turns
    from gateway.stream.endpoint import Endpoint
    from gateway.stream.snapshots import Snapshots

    Charged = Callable[[Coroutine[None, None, None]], Coroutine[None, None, None]]

RETRY_S = 1.0

FRESH_S = RETRY_S / 2
"""A read no older than this was made since the try before."""


UNREAD_MAX_BYTES = 64 * 1024 * 1024
"""Of snapshots with more than the cached klines that clients have not taken yet. Beyond it snapshots are made of the
cached klines alone."""


class Outcome(Enum):
    """What came of an attempt to send a snapshot."""

    DONE = auto()
    """Sent, or not due any more."""
    READ_TOO_EARLY = auto()
    """The store lacks klines that it will have in a moment."""
    UNSURE = auto()
    """Read too early, and while the source was away or was being read: what is missing may be there."""
    PART = auto()
    """The first of the klines that the client has missed were sent; the snapshot goes on after them."""
    UNREADABLE = auto()
    """The store cannot be read, or its source is away."""


class SnapshotSender:
    """One task per session, for as long as it is due snapshots."""

    def __init__(self, endpoint: Endpoint, snapshots: Snapshots, turns: Turns, charged: Charged) -> None:
        """`charged`: wraps a task's work, so that its CPU time counts for snapshots."""
        self._endpoint = endpoint
        self._snapshots = snapshots
        self._turns = turns
        self._charged = charged
        self._tasks: dict[Session, asyncio.Task[None]] = {}
        self._woken: dict[Session, asyncio.Event] = {}
        self._unread: dict[Session, int] = {}
        """Bytes of the large snapshot that a client is taking."""

    def start(self) -> None:
        """Serve the sessions that were marked since the last call."""
        for session in self._endpoint.hub.take_snapshots_due():
            if session in self._tasks:
                self._woken[session].set()
            else:
                self._woken[session] = asyncio.Event()
                self._tasks[session] = asyncio.create_task(self._charged(self._serve(session)))

    def drained(self, session: Session) -> None:
        """The session's socket has taken all bytes that waited, or the connection has ended."""
        self._unread.pop(session, None)
        if woken := self._woken.get(session):
            woken.set()

    async def aclose(self) -> None:
        """End all tasks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, session: Session) -> None:
        try:
            await self._send_all(session)
        finally:
            del self._tasks[session], self._woken[session]

    async def _send_all(self, session: Session) -> None:
        """Send what is due; again and again until the store can be read."""
        clock_s = asyncio.get_running_loop().time
        tried_s: dict[int, float] = {}
        """Channels whose stored klines were read too early, and when."""
        while session.snapshots_due and not session.sink.closing:
            self._woken[session].clear()
            for n in list(session.snapshots_due):
                outcome = Outcome.PART
                while outcome is Outcome.PART:
                    await self._until_free(session)
                    request = _due(session, n)
                    if request is None:
                        outcome = Outcome.DONE
                        break
                    # A new mark or a drained socket may have cut the wait short.
                    again = n in tried_s and clock_s() - tried_s[n] >= FRESH_S
                    outcome = await self._try(session, n, request, again=again)
                if outcome is Outcome.READ_TOO_EARLY:
                    tried_s.setdefault(n, clock_s())
                elif outcome in (Outcome.DONE, Outcome.UNSURE):
                    # A read of before the reconnect, maybe of another server, proves nothing.
                    tried_s.pop(n, None)
                else:
                    # Not each of them: while the store is away, hundreds may be due. The next try begins with another.
                    session.put_off_snapshot(n)
                    break
            if session.snapshots_due:
                await self._wait(session)

    async def _until_free(self, session: Session) -> None:
        """Wait until the socket takes a snapshot: they must not pile up in front of a slow client."""
        while session.sink.busy() and not session.sink.closing:
            self._woken[session].clear()
            await self._wait(session)
            sink = session.sink
            if not sink.busy() and not sink.closing and session.pace.stalled_since_s is not None:
                # Flushes found the socket full: what they missed goes before the next snapshot.
                self._endpoint.writer.write_pending(session)

    async def _wait(self, session: Session) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await self._woken[session].wait()

    async def _try(self, session: Session, n: int, request: SnapshotRequest, *, again: bool) -> Outcome:
        """Send the snapshot of channel `n` if the store can be read."""
        channel = self._endpoint.hub.channels[n]
        assert isinstance(channel, KlineChannel)
        snapshots, stored, older, unsure = self._snapshots, None, None, False
        if snapshots.need_store(channel, request):
            read = await snapshots.read_marked(channel, FRESH_S if again else None)
            if isinstance(read, CommandError):
                return Outcome.UNREADABLE
            stored, unsure = read
            if snapshots.needs_older(channel, stored, request) and sum(self._unread.values()) < UNREAD_MAX_BYTES:
                found = await snapshots.older(channel, stored, request)
                if isinstance(found, CommandError):
                    return Outcome.UNREADABLE
                older = found
        async with self._turns.turn():
            if _due(session, n) is not request:
                return Outcome.DONE
            meets = stored is None or snapshots.meets_memory(channel, stored)
            if not meets and (request.resync if unsure else not again):
                # Read before the collector has stored all, before more klines closed than are in memory, or cached from
                # before an outage. What is still missing when the store has been asked again is missing at the source.
                return Outcome.UNSURE if unsure else Outcome.READ_TOO_EARLY
            cursor = request.cursor
            if stored is not None and cursor is not None and not snapshots.can_resume(channel, stored, unsure, cursor):
                return Outcome.UNREADABLE
            if older is not None and stored is not None and snapshots.is_part(channel, stored, older):
                session.want_snapshot(n, request._replace(cursor=older.last_ms))
                self._write(session, snapshots.part(channel, older, snapshot_dialect(session)), is_large=True)
                return Outcome.PART
            self._send(session, channel, stored, older, request)
            if not request.resync and not meets:
                # Sent with a hole: the source is away, or more klines have closed during the second read too.
                self._endpoint.hub.mark_for_resync(session, channel)
        return Outcome.DONE

    def _send(
        self,
        session: Session,
        channel: KlineChannel,
        stored: EncodedKlines | None,
        older: Older | None,
        request: SnapshotRequest,
    ) -> None:
        """Register and write in one step, so that no update can come between the two."""
        endpoint = self._endpoint
        endpoint.hub.note_snapshot(session, channel)
        endpoint.counters.resyncs += request.resync
        if older is not None:
            session.note_depth(channel.n, request.history)
        frames = self._snapshots.kline(channel, stored, request, older, dialect=snapshot_dialect(session))
        self._write(session, frames, is_large=older is not None)

    def _write(self, session: Session, frames: bytes, *, is_large: bool) -> None:
        self._endpoint.writer.reply(session, frames)
        if is_large and session.sink.busy() and not session.sink.closing:
            self._unread[session] = len(frames)


def _due(session: Session, n: int) -> SnapshotRequest | None:
    """The snapshot of channel `n` that is due to the session, if it still is."""
    return None if session.sink.closing else session.snapshots_due.get(n)
