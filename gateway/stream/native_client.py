"""One client of the native protocol: its commands become steps on hub and session, and are answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.access.connection import Verdict
from gateway.access.grants import TokenRefused
from gateway.delivery.channel import KlineChannel, TickerChannel
from gateway.delivery.close_codes import Close
from gateway.delivery.commands import (
    Authenticate,
    ChannelName,
    CommandError,
    ListChannels,
    Ping,
    SetProfile,
    Subscribe,
    Unsubscribe,
)
from gateway.delivery.session import Session
from gateway.model.errors import ErrorCode
from gateway.stream.profile import set_profile
from gateway.stream.snapshots import in_memory

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gateway.access.connection import ConnectionAccess
    from gateway.delivery.channel import Channel
    from gateway.delivery.commands import Command, CommandId
    from gateway.history.encoded import EncodedKlines
    from gateway.protocol.native import NativeDialect
    from gateway.server.client_socket import ClientSocket
    from gateway.stream.native import StreamService

logger = logging.getLogger(__name__)

CONTROL_MAX_BYTES = 256 * 1024
"""Replies that may wait for one client; past it, its commands are not read until it has read some."""


class Client:
    """One client: its socket, its session, and the commands that wait while one of them reads history."""

    __slots__ = ("_access", "_dialect", "_inbox", "_working", "service", "session", "socket")

    def __init__(
        self, service: StreamService, socket: ClientSocket, access: ConnectionAccess, dialect: NativeDialect
    ) -> None:
        self.service = service
        self._access = access
        self.socket = socket
        self._dialect = dialect
        self.session = Session(socket, (dialect, False))
        self._inbox: deque[bytes] | None = None
        self._working = False
        service.clients[self.session] = self
        service.hub.add(self.session)
        service.counters.connection_opened(socket.id, dialect.name, access.group)
        config = service.config
        limits = {
            "max_subscriptions": config.max_subscriptions,
            "max_message_bytes": config.max_message_bytes,
            "history_max": config.history_max,
        }
        hello = dialect.hello(f"kline-gateway/{__version__}", service.clock_ms(), config.tick_ms, limits)
        self.say(hello)
        socket.attach(self)
        service.admission.start(access, socket)

    # What the socket says.

    def received(self, text: bytes) -> None:
        try:
            self._within(self._access.take_message(_now_us()), None)
        except CommandError as error:
            self._refuse(error)
            return
        if self.socket.closing:
            return
        self._decoded(text)

    def _decoded(self, text: bytes) -> None:
        if self._working:
            if self._inbox is None:
                self._inbox = deque()
            self._inbox.append(text)
            # Its replies may have been read meanwhile, and let it go on.
            self.socket.pause()
            return
        try:
            self._obey(self.service.commands.decode(text))
        except CommandError as error:
            self._refuse(error)
        except Exception:
            logger.exception("command failed", extra={"connection": self.socket.id})
            self.service.admission.disconnect(self._access, Close.INTERNAL)

    def lost(self) -> None:
        self.service.clients.pop(self.session, None)
        self.service.hub.remove(self.session)
        self.service.admission.finish(self._access, self.socket, self.session.style[0].name)

    def warned(self, retry_ms: int) -> None:
        self.say(self._dialect.shutdown(retry_ms))

    def draining(self) -> None:
        self.service.flusher.flush_last(self.session)

    # Commands.

    def _obey(self, command: Command) -> None:
        service, session = self.service, self.session
        if not self._access.authorized and not isinstance(command, Authenticate | Ping):
            raise CommandError(ErrorCode.UNAUTHORIZED, "a token is needed first: send auth", command.id)
        match command:
            case Subscribe():
                self._within(self._access.take_channels(len(command.channels), _now_us()), command.id)
                self._subscribe(command)
            case Unsubscribe(id, names):
                self._within(self._access.take_channels(len(names), _now_us()), id)
                gone = [channel for name in names if (channel := self._held(name))]
                service.hub.unsubscribe(session, gone)
                self.say(self._dialect.unsubscribed(id, names))
            case ListChannels(id):
                channels = map(service.hub.channels.__getitem__, session.subscription_set.ns)
                self.say(self._dialect.channel_list(id, {channel.name: channel.n for channel in channels}))
            case SetProfile():
                profile = set_profile(service.hub, session, command, service.config.tick_ms)
                self.say(self._dialect.profile(command.id, profile))
            case Ping(id):
                self.say(self._dialect.pong(id, service.clock_ms()))
            case Authenticate():
                self._work(self._authenticate(command))

    async def _authenticate(self, command: Authenticate) -> None:
        """A token that is refused changes nothing: one that was shown before still holds."""
        admission = self.service.admission
        try:
            grant = await admission.present_token(self._access, command.token, self._held_names())
        except TokenRefused as error:
            admission.counters.refusals[f"token_{error.reason}"] += 1
            code = ErrorCode.FORBIDDEN if error.reason == "channels" else ErrorCode.UNAUTHORIZED
            self._refuse(CommandError(code, error.message, command.id))
        else:
            self.say(self._dialect.authenticated(command.id, grant.expires_ms))

    def _within(self, verdict: Verdict, id: CommandId) -> None:
        """Raises `CommandError` for what is too much, and ends the connection of who does not stop."""
        if verdict is Verdict.DISCONNECT:
            self.service.admission.disconnect(self._access, Close.RATE_LIMIT)
        if verdict is not Verdict.PASS:
            raise CommandError(ErrorCode.RATE_LIMIT, "too many messages or channels at a time; slow down", id)

    def _refuse(self, error: CommandError) -> None:
        self.service.counters.command_errors[error.code] += 1
        if not self.socket.closing:
            self.say(self._dialect.error(error))

    def _subscribe(self, command: Subscribe) -> None:
        channels: dict[str, Channel | CommandError] = {}
        room = self.service.config.max_subscriptions - len(self.session.subscription_set.ns)
        for text, name in command.channels.items():
            channels[text] = channel = self._channel(name)
            if not isinstance(channel, CommandError) and channel.n not in self.session.subscription_set:
                room -= 1
                if room < 0:
                    channels[text] = CommandError(
                        ErrorCode.TOO_MANY_SUBSCRIPTIONS, f"at most {self.service.config.max_subscriptions} channels"
                    )
        pasts = {
            text: channel
            for text, channel in channels.items()
            if isinstance(channel, KlineChannel) and self._reads_store(command, text, channel)
        }
        if pasts:
            self._work(self._subscribe_with_past(command, channels, pasts))
        else:
            self._register(command, channels, {})

    def _channel(self, name: ChannelName | CommandError) -> Channel | CommandError:
        if isinstance(name, CommandError):
            return name
        service = self.service
        if not self._access.allows(name.text):
            return CommandError(ErrorCode.FORBIDDEN, "the token is not for this channel")
        if service.market.is_unknown(name.symbol):
            return CommandError(ErrorCode.INVALID_SYMBOL, f"nobody has data for {name.symbol}")
        if name.interval:
            return service.hub.kline_channel(name.symbol, name.interval)
        return service.hub.ticker_channel(name.symbol)

    def _reads_store(self, command: Subscribe, text: str, channel: KlineChannel) -> bool:
        """Whether what is in memory is not enough."""
        cursor = command.resume.get(text)
        if cursor is not None and in_memory(channel, cursor):
            return False
        return cursor is not None or command.history > len(channel.series.closed)

    async def _subscribe_with_past(
        self, command: Subscribe, channels: dict[str, Channel | CommandError], wanted: dict[str, KlineChannel]
    ) -> None:
        results = await asyncio.gather(
            *(self._read_past(channel, command.resume.get(text)) for text, channel in wanted.items())
        )
        pasts: dict[str, EncodedKlines] = {}
        for text, result in zip(wanted, results, strict=True):
            if isinstance(result, CommandError):
                channels[text] = result
            else:
                pasts[text] = result
        self._register(command, channels, pasts)

    async def _read_past(self, channel: KlineChannel, cursor: int | None) -> EncodedKlines | CommandError:
        snapshots = self.service.snapshots
        return await (snapshots.read(channel) if cursor is None else snapshots.read_after(channel, cursor))

    def _register(
        self, command: Subscribe, channels: dict[str, Channel | CommandError], pasts: dict[str, EncodedKlines]
    ) -> None:
        """The step that joins past and present: no `await` in it, so nothing can come between."""
        if self.socket.closing:
            return
        service, session, dialect = self.service, self.session, self._dialect
        accepted = {text: channel for text, channel in channels.items() if not isinstance(channel, CommandError)}
        service.hub.subscribe(session, accepted.values())
        self._access.subscribed |= bool(accepted)
        if session.feed_state is None:
            session.feed_state = service.hub.state
        results = {
            text: channel if isinstance(channel, CommandError) else channel.n for text, channel in channels.items()
        }
        frames = [dialect.subscribed(command.id, results)]
        for text, channel in accepted.items():
            if isinstance(channel, KlineChannel):
                cursor, past = command.resume.get(text), pasts.get(text)
                frames.append(service.snapshots.kline(channel, past, command.history, cursor))
                if past is not None and not service.snapshots.meets_memory(channel, past):
                    # More has closed while others were read: it comes again, whole.
                    session.to_resync.add(channel.n)
                    service.hub.to_resync.add(session)
            elif isinstance(channel, TickerChannel):
                frames.append(dialect.ticker_snapshot(channel.n, channel.name, channel.live, service.hub.state))
        self.say(b"".join(frames))

    # Replies.

    def _held_names(self) -> list[str]:
        channels = self.service.hub.channels
        return [channels[n].name for n in self.session.subscription_set.ns]

    def _held(self, name: str) -> Channel | None:
        channel = self.service.hub.find(name)
        return channel if channel is not None and channel.n in self.session.subscription_set else None

    def say(self, frames: bytes) -> None:
        session = self.session
        session.control.append(frames)
        self.service.flusher.flush_control(session)
        if session.on_control_sent is None and sum(map(len, session.control)) > CONTROL_MAX_BYTES:
            session.on_control_sent = self.socket.resume
            self.socket.pause()

    def _work(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run a command that waits for the store; later commands of this client wait their turn."""
        self._working = True
        self.socket.pause()
        task = asyncio.create_task(coroutine)
        self.service.start(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._working = False
        if self.socket.closing or task.cancelled():
            return
        if error := task.exception():
            logger.error("command failed", exc_info=error, extra={"connection": self.socket.id})
            self.service.admission.disconnect(self._access, Close.INTERNAL)
            return
        while self._inbox and not self._working:
            self._decoded(self._inbox.popleft())
        if not self._working:
            self._inbox = None
            if self.session.on_control_sent is None:
                self.socket.resume()


def _now_us() -> int:
    return time.monotonic_ns() // 1000
