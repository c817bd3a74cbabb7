"""Sends channels anew whose log of closed klines was corrected or overrun: all that is kept, read from the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.delivery.channel import KlineChannel
from gateway.delivery.commands import CommandError

if TYPE_CHECKING:
    from gateway.stream.native_client import Client

RETRY_S = 1.0

FRESH_S = RETRY_S / 2
"""What was read no longer ago than this was read since the try before."""


async def resync(client: Client) -> None:
    """Send what of the client's is torn; again and again until it can be read."""
    service, session = client.service, client.session

    def awaited(n: int) -> bool:
        return n in session.to_resync and not client.socket.closing

    tried: set[int] = set()
    while session.to_resync and not client.socket.closing:
        for n in list(session.to_resync):
            if session.control:
                # It takes nothing just now, and snapshots must not pile up in front of it.
                break
            if not awaited(n):
                continue
            channel = service.hub.channels[n]
            assert isinstance(channel, KlineChannel)
            read = await service.snapshots.read_marked(channel, FRESH_S if n in tried else None)
            if isinstance(read, CommandError) or not awaited(n):
                continue
            past, unsure = read
            if (unsure or n not in tried) and not service.snapshots.meets_memory(channel, past):
                # Read a moment too early, or kept from before an outage. What is still missing when the store has been
                # asked again is the source's own hole.
                tried.add(n)
                continue
            service.hub.subscribe(session, [channel])
            session.to_resync.discard(n)
            service.counters.resyncs += 1
            # All that is kept: what was missed may reach further back than what was asked for.
            client.say(service.snapshots.kline(channel, past, service.config.history_max, None, resync=True))
        if session.to_resync:
            await asyncio.sleep(RETRY_S)
