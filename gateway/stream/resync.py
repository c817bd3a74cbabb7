"""Resyncs: channels whose log of closed klines was corrected or overrun are sent again, as a snapshot from the store.

The hub marks what needs one; this module does it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.delivery.channel import KlineChannel
from gateway.delivery.commands import CommandError

if TYPE_CHECKING:
    from gateway.delivery.session import Session
    from gateway.stream.endpoint import Endpoint
    from gateway.stream.snapshots import Snapshots

RETRY_S = 1.0

FRESH_S = RETRY_S / 2
"""A read no older than this was made since the try before."""


class Resyncer:
    """Serves the sessions that the hub has marked: one task per session, for as long as it needs a resync."""

    def __init__(self, endpoint: Endpoint, snapshots: Snapshots) -> None:
        self._endpoint = endpoint
        self._snapshots = snapshots
        self._tasks: dict[Session, asyncio.Task[None]] = {}
        self._marked: dict[Session, asyncio.Event] = {}

    def start(self) -> None:
        """Serve the sessions that were marked since the last call."""
        for session in self._endpoint.hub.take_to_resync():
            if session in self._tasks:
                self._marked[session].set()
            else:
                self._marked[session] = asyncio.Event()
                self._tasks[session] = asyncio.create_task(self._serve(session))

    async def aclose(self) -> None:
        """End all tasks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, session: Session) -> None:
        try:
            await self._resync(session)
        finally:
            del self._tasks[session], self._marked[session]

    async def _resync(self, session: Session) -> None:
        """Send the channels of a session that need it; again and again until they can be read."""
        marked = self._marked[session]
        tried: set[int] = set()
        while session.to_resync and not session.sink.closing:
            marked.clear()
            for n in list(session.to_resync):
                if session.control:
                    # The client takes nothing now, and snapshots must not pile up in front of it.
                    break
                if _needs_resync(session, n) and await self._try(session, n, again=n in tried):
                    tried.add(n)
            if session.to_resync:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await marked.wait()

    async def _try(self, session: Session, n: int, *, again: bool) -> bool:
        """Send a resync of channel `n`, if the store can be read; returns whether it was read too early for that."""
        endpoint, snapshots = self._endpoint, self._snapshots
        channel = endpoint.hub.channels[n]
        assert isinstance(channel, KlineChannel)
        read = await snapshots.read_marked(channel, FRESH_S if again else None)
        if isinstance(read, CommandError) or not _needs_resync(session, n):
            return False
        stored, unsure = read
        if (unsure or not again) and not snapshots.meets_memory(channel, stored):
            # Read before the collector has stored all, or cached from before an outage. What is still missing when the
            # store has been asked again is missing at the source.
            return True
        endpoint.hub.subscribe(session, [channel])
        session.note_resync(n)
        endpoint.counters.resyncs += 1
        # All klines that are kept: what was missed may reach further back than what the client asked for.
        history_max = endpoint.config.history_max
        endpoint.writer.reply(session, snapshots.kline(channel, stored, history_max, None, resync=True))
        return False


def _needs_resync(session: Session, n: int) -> bool:
    return n in session.to_resync and not session.sink.closing
