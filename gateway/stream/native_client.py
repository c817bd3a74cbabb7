"""One client of the native protocol: executes its commands on hub and session, and replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.delivery.channel import KlineChannel, TickerChannel
from gateway.delivery.commands import (
    Authenticate,
    ChannelName,
    CommandError,
    ListChannels,
    Ping,
    SetProfile,
    SnapshotRequest,
    Subscribe,
    Unsubscribe,
)
from gateway.delivery.session import Session
from gateway.delivery.throttle import FAST_LATENCY_MS
from gateway.model.errors import ErrorCode
from gateway.stream.endpoint import now_us
from gateway.stream.inbox import Inbox
from gateway.stream.profile import set_profile, snapshot_dialect

if TYPE_CHECKING:
    from collections.abc import Container

    from gateway.access.connection import ConnectionAccess
    from gateway.delivery.channel import Channel
    from gateway.delivery.commands import Command
    from gateway.market.market import Market
    from gateway.protocol.native import NativeDialect
    from gateway.server.client_socket import ClientSocket
    from gateway.stream.inbox import InboxParts
    from gateway.stream.snapshot_sender import SnapshotSender
    from gateway.stream.snapshots import Snapshots

SNAPSHOTS_BYTES = 64 * 1024
"""Snapshots of klines that go out with the reply to their command; the others wait until the socket drains."""


@dataclass(frozen=True, slots=True)
class NativeParts:
    """What all clients of the native protocol share."""

    inbox: InboxParts
    market: Market
    snapshots: Snapshots
    sender: SnapshotSender


class NativeClient:
    """One client: its socket and its session."""

    __slots__ = ("_access", "_dialect", "_endpoint", "_inbox", "_parts", "session", "socket")

    def __init__(
        self, parts: NativeParts, socket: ClientSocket, access: ConnectionAccess, dialect: NativeDialect
    ) -> None:
        self._parts = parts
        self._endpoint = endpoint = parts.inbox.endpoint
        self._access = access
        self._dialect = dialect
        self.socket = socket
        self.session = Session(socket, (dialect, False))
        self._inbox = Inbox(parts.inbox, socket, self.session, access, dialect, self._execute, self._reply)
        endpoint.open(self, socket, access, self.session)
        config = endpoint.config
        limits = {
            "max_subscriptions": config.max_subscriptions,
            "max_message_bytes": config.max_message_bytes,
            "history_max": parts.inbox.commands.history_max,
        }
        if config.fast_for != "nobody":
            limits["latency_ms"] = FAST_LATENCY_MS
        self._reply(dialect.hello(f"kline-gateway/{__version__}", endpoint.clock_ms(), config.flush_max_ms, limits))

    # Called by the socket.

    def received(self, text: bytes) -> None:
        self._inbox.received(text)

    def lost(self) -> None:
        self._inbox.end()
        self._parts.sender.drained(self.session)
        self._endpoint.closed(self.socket, self._access, self.session)

    def warned(self, retry_ms: int) -> None:
        self._reply(self._dialect.shutdown(retry_ms))

    def drained(self) -> None:
        self._parts.sender.drained(self.session)

    def draining(self) -> None:
        self._endpoint.writer.write_all(self.session)

    def _execute(self, command: Command) -> None:
        endpoint, session = self._endpoint, self.session
        match command:
            case Subscribe():
                self._inbox.check(self._access.take_channels(len(command.channels), now_us()), command.id)
                self._subscribe(command)
            case Unsubscribe(id, names):
                self._inbox.check(self._access.take_channels(len(names), now_us()), id)
                subscribed = self._subscribed()
                gone = [subscribed[name] for name in names if name in subscribed]
                endpoint.hub.unsubscribe(session, gone)
                self._reply(self._dialect.unsubscribed(id, names))
            case ListChannels(id):
                numbers = {name: channel.n for name, channel in self._subscribed().items()}
                self._reply(self._dialect.channel_list(id, numbers))
            case SetProfile():
                profile = set_profile(endpoint, self._access, session, command)
                self._reply(self._dialect.profile(command.id, profile))
            case Ping(id):
                self._reply(self._dialect.pong(id, endpoint.clock_ms()))
            case Authenticate():
                self._inbox.start(self._authenticate(command))

    async def _authenticate(self, command: Authenticate) -> None:
        accepted = await self._inbox.authenticate(command, list(self._subscribed()))
        if accepted and not self._endpoint.allows_fast(self._access):
            self._endpoint.hub.want_fast(self.session, fast=False)

    def _subscribe(self, command: Subscribe) -> None:
        channels: dict[str, Channel | CommandError] = {}
        room = self._endpoint.config.max_subscriptions - len(self.session.subscription_set.ns)
        for text, name in command.channels.items():
            channels[text] = channel = self._channel(name)
            if not isinstance(channel, CommandError) and channel.n not in self.session.subscription_set:
                room -= 1
                if room < 0:
                    channels[text] = CommandError(
                        ErrorCode.TOO_MANY_SUBSCRIPTIONS, f"at most {self._endpoint.config.max_subscriptions} channels"
                    )
        from_store = {
            text: channel
            for text, channel in channels.items()
            if isinstance(channel, KlineChannel)
            and self._parts.snapshots.need_store(channel, SnapshotRequest(command.history, command.resume.get(text)))
        }
        if not from_store:
            self._register(command, channels, from_store)
            return
        # How much a resume brings is not known yet: it may be all that is kept.
        snapshots, now_ms = self._parts.snapshots, self._endpoint.clock_ms()
        rows = sum(
            snapshots.rows(channel, SnapshotRequest(command.history, command.resume.get(text)), now_ms)
            for text, channel in from_store.items()
        )
        self._inbox.check(self._access.take_rows(rows, now_us()), command.id)
        self._inbox.start(self._subscribe_with_history(command, channels, from_store))

    def _channel(self, name: ChannelName | CommandError) -> Channel | CommandError:
        if isinstance(name, CommandError):
            return name
        hub = self._endpoint.hub
        if not self._access.allows(name.text):
            return CommandError(ErrorCode.FORBIDDEN, "the token is not for this channel")
        if self._parts.market.is_unknown(name.symbol):
            return CommandError(ErrorCode.INVALID_SYMBOL, f"Unknown symbol {name.symbol}.")
        if name.interval:
            return hub.kline_channel(name.symbol, name.interval)
        return hub.ticker_channel(name.symbol)

    async def _subscribe_with_history(
        self, command: Subscribe, channels: dict[str, Channel | CommandError], from_store: dict[str, KlineChannel]
    ) -> None:
        """Read what decides whether channels can be accepted; their snapshots are sent after the reply."""
        snapshots, market = self._parts.snapshots, self._parts.market
        readable = False
        for text, channel in from_store.items():
            cursor = command.resume.get(text)
            # One read tells whether the store answers; that of a resume, whether it has what the client missed.
            if readable and cursor is None and market.has_data(channel.symbol):
                continue
            if error := await snapshots.check(channel, cursor):
                channels[text] = error
            else:
                readable = True
        self._register(command, channels, from_store)

    def _register(
        self, command: Subscribe, channels: dict[str, Channel | CommandError], from_store: Container[str]
    ) -> None:
        """Subscribe, reply and send the snapshots from memory. Runs without `await`, so no update can come between.

        Those that need the store, and those beyond `SNAPSHOTS_BYTES`, follow one by one (`snapshot_sender.py`).
        """
        if self.socket.closing:
            return
        hub, session, dialect, snapshots = self._endpoint.hub, self.session, self._dialect, self._parts.snapshots
        accepted = {text: channel for text, channel in channels.items() if not isinstance(channel, CommandError)}
        hub.subscribe(session, accepted.values())
        self._access.subscribed |= bool(accepted)
        session.note_feed_state(hub.feed_state)
        results = {
            text: channel if isinstance(channel, CommandError) else channel.n for text, channel in channels.items()
        }
        frames, of_snapshots = [dialect.subscribed(command.id, results)], snapshot_dialect(session)
        left_bytes = SNAPSHOTS_BYTES
        for text, channel in accepted.items():
            if isinstance(channel, KlineChannel):
                request = SnapshotRequest(command.history, command.resume.get(text))
                if text in from_store or left_bytes <= 0:
                    hub.want_snapshot(session, channel, request)
                    continue
                frames.append(snapshots.kline(channel, None, request, dialect=of_snapshots))
                left_bytes -= len(frames[-1])
            elif isinstance(channel, TickerChannel):
                frames.append(
                    dialect.ticker_snapshot(channel.n, channel.name, channel.live, channel.staleness(hub.feed_state))
                )
        self._reply(b"".join(frames))
        self._parts.sender.start()

    def _subscribed(self) -> dict[str, Channel]:
        """The channels of the session by name."""
        channels = self._endpoint.hub.channels
        return {channel.name: channel for channel in map(channels.__getitem__, self.session.subscription_set.ns)}

    def _reply(self, frames: bytes) -> None:
        self._endpoint.writer.reply(self.session, frames)
