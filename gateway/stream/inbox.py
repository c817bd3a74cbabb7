"""The commands of one client of the native protocol: their limits, their order, and how they are refused.

What a command does is its owner's business (`execute`): a client of the live market or of a replay.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.access.connection import Verdict
from gateway.access.grants import TokenRefused
from gateway.delivery.close_codes import Close
from gateway.delivery.commands import Authenticate, CommandError, Ping
from gateway.model.errors import ErrorCode
from gateway.protocol.native_commands import id_of
from gateway.stream.endpoint import now_us

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from gateway.access.connection import ConnectionAccess
    from gateway.delivery.commands import Command, CommandId
    from gateway.delivery.session import Session
    from gateway.protocol.native import NativeDialect
    from gateway.protocol.native_commands import NativeCommands
    from gateway.server.client_socket import ClientSocket
    from gateway.stream.endpoint import Endpoint
    from gateway.stream.snapshot_sender import Charged

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InboxParts:
    """What the inboxes of all clients share."""

    endpoint: Endpoint
    commands: NativeCommands
    tasks: set[asyncio.Task[None]]
    """Commands that wait for the store or for a token; whoever owns the set cancels them at the end."""
    charged: Charged
    """Wraps the work of such a command, so that its CPU time is counted."""


class Inbox:
    """Executes commands in the order in which they come. While one waits, those after it do, unread as far as possible.

    Every command gets one reply: from `execute`, or an error that it has raised.
    """

    __slots__ = ("_access", "_dialect", "_execute", "_parts", "_reply", "_session", "_socket", "_waiting", "_working")

    def __init__(
        self,
        parts: InboxParts,
        socket: ClientSocket,
        session: Session,
        access: ConnectionAccess,
        dialect: NativeDialect,
        execute: Callable[[Command], None],
        reply: Callable[[bytes], None],
    ) -> None:
        """`execute` may raise `CommandError`; it calls `start` for a command that waits. `reply` sends frames."""
        self._parts = parts
        self._socket = socket
        self._session = session
        self._access = access
        self._dialect = dialect
        self._execute = execute
        self._reply = reply
        self._waiting: deque[bytes] | None = None
        self._working = False

    def received(self, text: bytes) -> None:
        """A message of the client."""
        verdict = self._access.take_message(now_us())
        if verdict is Verdict.PASS:
            self._decode(text)
            return
        try:
            self.check(verdict, id_of(text))
        except CommandError as error:
            self.refuse(error)

    def check(self, verdict: Verdict, id: CommandId) -> None:
        """Raises `CommandError` for a command beyond the limits; ends the connection of a client that does not stop."""
        if verdict is Verdict.DISCONNECT:
            self._parts.endpoint.admission.disconnect(self._access, Close.RATE_LIMIT)
        if verdict is not Verdict.PASS:
            raise CommandError(ErrorCode.RATE_LIMIT, "too many messages or channels at a time; slow down", id)

    def refuse(self, error: CommandError) -> None:
        """Answer a command with an error."""
        self._parts.endpoint.counters.command_errors[error.code] += 1
        if not self._socket.closing:
            self._reply(self._dialect.error(error))

    def start(self, coroutine: Coroutine[None, None, None]) -> None:
        """Run a command that waits for the store or a token; later commands of this client wait until it is done."""
        self._working = True
        self._socket.pause()
        task = asyncio.create_task(self._parts.charged(coroutine))
        self._parts.tasks.add(task)
        task.add_done_callback(self._done)

    def end(self) -> None:
        """The connection has ended. Without a cycle of references its memory is free at once."""
        self._execute = self._reply = _ignore

    async def authenticate(self, command: Authenticate, channels: Iterable[str]) -> bool:
        """Present a token, and reply; returns whether it was accepted. `channels`: those it has to cover.

        A token that is refused changes nothing: one that was accepted before stays in force.
        """
        admission = self._parts.endpoint.admission
        try:
            grant = await admission.present_token(self._access, command.token, channels)
        except TokenRefused as error:
            admission.counters.refusals[f"token_{error.reason}"] += 1
            code = ErrorCode.FORBIDDEN if error.reason == "channels" else ErrorCode.UNAUTHORIZED
            self.refuse(CommandError(code, error.message, command.id))
            return False
        self._reply(self._dialect.authenticated(command.id, grant.expires_ms))
        return True

    def _decode(self, text: bytes) -> None:
        if self._working:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(text)
            # The writer may have resumed the socket meanwhile, because replies were read.
            self._socket.pause()
            return
        try:
            command = self._parts.commands.decode(text)
            if not self._access.authorized and not isinstance(command, Authenticate | Ping):
                raise CommandError(ErrorCode.UNAUTHORIZED, "a token is needed first: send auth", command.id)
            self._execute(command)
        except CommandError as error:
            self.refuse(error)
        except Exception:
            logger.exception("command failed", extra={"connection": self._socket.id})
            self._parts.endpoint.fail(self._access)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._parts.tasks.discard(task)
        self._working = False
        if self._socket.closing or task.cancelled():
            return
        if error := task.exception():
            logger.error("command failed", exc_info=error, extra={"connection": self._socket.id})
            self._parts.endpoint.fail(self._access)
            return
        while self._waiting and not self._working:
            self._decode(self._waiting.popleft())
        if not self._working:
            self._waiting = None
            if not self._session.commands_paused:
                self._socket.resume()


def _ignore(_: object) -> None:
    pass
