"""What the clients of replays share: their connections, their tasks, and how both begin and end."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.delivery.close_codes import Close
from gateway.delivery.sink import Receiver
from gateway.stream.inbox import InboxParts

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gateway.access.connection import ConnectionAccess
    from gateway.delivery.session import Session
    from gateway.protocol.native_commands import NativeCommands
    from gateway.replay.address import ReplayAddress
    from gateway.replay.cpu_share import CpuShare
    from gateway.replay.slots import ReplaySlots
    from gateway.replay.source import ReplaySource
    from gateway.replay.stats import ReplayStats
    from gateway.server.client_socket import ClientSocket
    from gateway.stream.endpoint import Endpoint
    from gateway.stream.snapshot_sender import Charged

logger = logging.getLogger(__name__)


class Connected(Receiver, Protocol):
    """A client of either dialect."""

    session: Session
    socket: ClientSocket


@dataclass(frozen=True, slots=True)
class Admitted:
    """A connection that may have a replay, and what it has asked for."""

    access: ConnectionAccess
    socket: ClientSocket
    address: ReplayAddress
    source: ReplaySource


class ReplaySessions:
    """All replays of a process."""

    def __init__(
        self,
        endpoint: Endpoint,
        commands: NativeCommands,
        slots: ReplaySlots,
        share: CpuShare,
        stats: ReplayStats,
        max_channels: int,
        charged: Charged,
    ) -> None:
        """`max_channels`: of one replay. `charged`: wraps the work of a replay, so that its CPU time is counted."""
        self.endpoint = endpoint
        self.commands = commands
        self.slots = slots
        self.share = share
        self.stats = stats
        self.max_channels = max_channels
        self.sessions: set[Session] = set()
        self._charged = charged
        self._tasks: set[asyncio.Task[None]] = set()
        self.inbox = InboxParts(endpoint, commands, self._tasks, charged)

    async def aclose(self) -> None:
        """End all tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def opened(self, client: Connected, access: ConnectionAccess) -> None:
        """A connection was made; `client` gets its commands from now on."""
        session, socket = client.session, client.socket
        self.sessions.add(session)
        self.endpoint.counters.connection_opened(socket.id, session.style[0].name, access.group)
        socket.attach(client)
        self.endpoint.admission.start(access, socket)

    def closed(self, client: Connected, access: ConnectionAccess) -> None:
        """A connection has ended."""
        self.sessions.discard(client.session)
        self.slots.free(access.group)
        self.endpoint.admission.finish(access, client.socket, client.session.style[0].name)

    def start(self, work: Coroutine[None, None, None], access: ConnectionAccess) -> asyncio.Task[None]:
        """Run a task of a connection; where it fails through a fault of the gateway, the connection ends."""
        task = asyncio.create_task(self._charged(self._run(work, access)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def may_replay(self, access: ConnectionAccess) -> bool:
        """Whether the token of a connection covers replays, where it needs one."""
        required = self.endpoint.admission.authenticator.required
        return not required or (access.grant is not None and access.grant.replay)

    async def _run(self, work: Coroutine[None, None, None], access: ConnectionAccess) -> None:
        try:
            await work
        except Exception:
            logger.exception("replay failed")
            self.endpoint.admission.disconnect(access, Close.INTERNAL)
