"""One client of a replay that speaks the native protocol: its commands, replies and snapshots, at the market's time."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from gateway import __version__
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
from gateway.delivery.staleness import Staleness, StaleReason
from gateway.history.store import StoreUnavailable
from gateway.model.errors import ErrorCode
from gateway.model.interval import INTERVALS
from gateway.protocol.native import kline_json
from gateway.replay.channels import ReplayKlines
from gateway.replay.encoder import EventEncoder
from gateway.replay.joining import Want
from gateway.replay.player import RETRY_S, STORE_WAIT_S, TICK_S, Player
from gateway.stream.endpoint import now_us
from gateway.stream.inbox import Inbox
from gateway.stream.profile import timed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.delivery.commands import Command
    from gateway.model.kline import Kline
    from gateway.protocol.native import NativeDialect
    from gateway.replay.channels import ReplayChannel
    from gateway.replay.timeline import Event
    from gateway.stream.replay_sessions import Admitted, ReplaySessions

T = TypeVar("T")

PIECE = 250
"""Klines of a snapshot encoded in one turn: half a millisecond."""


class ReplayClient:
    """Its session is in no hub: what it is sent comes from its player."""

    def __init__(self, sessions: ReplaySessions, admitted: Admitted, dialect: NativeDialect) -> None:
        self._sessions = sessions
        self._source = admitted.source
        self._access = access = admitted.access
        self._dialect = dialect
        self.socket = admitted.socket
        self.session = Session(self.socket, (dialect, False))
        self._encoder = EventEncoder(self.session.style)
        self._channels: dict[str, ReplayChannel] = {}
        config, address = sessions.endpoint.config, admitted.address
        self._player = Player(
            self._source, sessions.share, sessions.stats, self.session, address, self, config.heartbeat_s
        )
        write = self._player.write
        self._inbox = Inbox(sessions.inbox, self.socket, self.session, access, dialect, self._execute, write)
        sessions.opened(self, access)
        limits = {
            "max_subscriptions": sessions.max_channels,
            "max_message_bytes": config.max_message_bytes,
            "history_max": sessions.commands.history_max,
        }
        speed = int(address.speed) if address.speed.is_integer() else address.speed
        replay = {"from": address.from_ms, "to": address.to_ms, "speed": speed}
        server, interval_ms = f"kline-gateway/{__version__}", round(TICK_S * 1000)
        write(dialect.hello(server, self._player.market_ms, interval_ms, limits, replay))
        self._task = sessions.start(self._player.run(), access)

    # Called by the socket.

    def received(self, text: bytes) -> None:
        self._inbox.received(text)

    def lost(self) -> None:
        self._task.cancel()
        self._inbox.end()
        self._sessions.closed(self, self._access)

    def warned(self, retry_ms: int) -> None:
        self._player.write(self._dialect.shutdown(retry_ms))

    def drained(self) -> None:
        self._player.wake()

    def draining(self) -> None:
        pass

    # Called by the player.

    def encode(self, events: Sequence[Event]) -> bytes:
        return self._encoder.frames(events)

    def heartbeat(self, market_ms: int) -> bytes:
        return self._dialect.heartbeat(market_ms)

    def stalled(self, since_ms: int) -> bytes:
        state = Staleness(StaleReason.STORE, since_ms) if since_ms else Staleness()
        return self._dialect.status({channel.n: state for channel in self._channels.values()})

    def ended(self, market_ms: int, reason: str) -> bytes:
        return self._dialect.replay_end(market_ms, reason)

    # Commands.

    def _execute(self, command: Command) -> None:
        reply, dialect = self._player.write, self._dialect
        match command:
            case Subscribe(id):
                if not self._sessions.may_replay(self._access):
                    raise CommandError(ErrorCode.FORBIDDEN, "the token does not cover replays", id)
                self._inbox.check(self._access.take_channels(len(command.channels), now_us()), id)
                rows = len(command.channels) * command.history
                self._inbox.check(self._access.take_rows(rows, now_us()), id)
                self._inbox.start(self._subscribe(command))
            case Unsubscribe(id, names):
                self._inbox.check(self._access.take_channels(len(names), now_us()), id)
                for channel in [self._channels.pop(name) for name in names if name in self._channels]:
                    self._player.timeline.remove(channel)
                    self._encoder.forget(channel.n)
                reply(dialect.unsubscribed(id, names))
            case ListChannels(id):
                reply(dialect.channel_list(id, {name: channel.n for name, channel in self._channels.items()}))
            case SetProfile(id):
                self._set_style(command)
                reply(dialect.profile(id, self._profile()))
                reply(self._encoder.values(self._channels.values(), self._player.market_ms))
            case Ping(id):
                reply(dialect.pong(id, self._player.market_ms))
            case Authenticate():
                self._inbox.start(self._authenticate(command))

    async def _authenticate(self, command: Authenticate) -> None:
        await self._inbox.authenticate(command, list(self._channels))

    def _profile(self) -> dict[str, float | bool | None]:
        """What is in force: a replay has one pace."""
        return {
            "max_rate": None,
            "max_bytes_per_min": None,
            "closed_only": self._encoder.style[1],
            "event_times": self._dialect.event_times,
            "latency_ms": None,
            "interval_ms": round(TICK_S * 1000),
        }

    def _set_style(self, command: SetProfile) -> None:
        _, closed_only = self._encoder.style
        if command.event_times is not None:
            self._dialect = timed(self._dialect, event_times=command.event_times)
        closed_only = closed_only if command.closed_only is None else command.closed_only
        if (self._dialect, closed_only) != self._encoder.style:
            self._encoder.set_style((self._dialect, closed_only))

    # Subscriptions.

    async def _subscribe(self, command: Subscribe) -> None:
        """Market time stands still until the snapshots are written: they and what follows leave no hole."""
        with self._player.held():
            # No client has a kline from after the present.
            cursors = {text: min(cursor, self._source.present_ms) for text, cursor in command.resume.items()}
            results = await self._join(command, cursors)
            if self.socket.closing:
                return
            self._access.subscribed |= bool(self._channels)
            numbers = {
                text: result if isinstance(result, CommandError) else result.n for text, result in results.items()
            }
            self._player.write(self._dialect.subscribed(command.id, numbers, self._player.timeline.now_ms))
            for text, channel in results.items():
                if not isinstance(channel, CommandError):
                    await self._player.drained()
                    await self._send_snapshot(channel, command.history, cursors.get(text))

    async def _join(self, command: Subscribe, cursors: Mapping[str, int]) -> dict[str, ReplayChannel | CommandError]:
        """The channels of a command, added to the replay where they are new, or why they cannot be had."""
        results: dict[str, ReplayChannel | CommandError] = {}
        wants: dict[str, Want] = {}
        taken = {channel.n for channel in self._channels.values()}
        free = (n for n in count(1) if n not in taken)
        try:
            for text, name in command.channels.items():
                if text in self._channels:
                    results[text] = self._channels[text]
                elif isinstance(checked := await self._check(name, len(wants)), CommandError):
                    results[text] = checked
                else:
                    after_ms = cursors.get(text, -1) if checked.interval else -1
                    wants[text] = Want(next(free), text, checked.symbol, checked.interval, after_ms=after_ms)
            joined = await self._player.join(list(wants.values())) if wants else []
        except StoreUnavailable:
            error = CommandError(ErrorCode.UNAVAILABLE, "What is stored cannot be read; retry later.")
            return {text: results.get(text, error) for text in command.channels}
        added = dict(zip(wants, joined, strict=True))
        self._channels |= added
        return {text: results[text] if text in results else added[text] for text in command.channels}

    async def _check(self, name: ChannelName | CommandError, wanted: int) -> ChannelName | CommandError:
        """The channel, or why it cannot be had. `wanted`: new ones of the same command. Raises `StoreUnavailable`."""
        if isinstance(name, CommandError):
            return name
        if not self._access.allows(name.text):
            return CommandError(ErrorCode.FORBIDDEN, "the token is not for this channel")
        if len(self._channels) + wanted >= self._sessions.max_channels:
            return CommandError(ErrorCode.TOO_MANY_SUBSCRIPTIONS, f"at most {self._sessions.max_channels} channels")
        if not await self._source.knows(name.symbol):
            return CommandError(ErrorCode.INVALID_SYMBOL, f"Unknown symbol {name.symbol}.")
        return name

    async def _send_snapshot(self, channel: ReplayChannel, history: int, cursor: int | None) -> None:
        dialect = self._dialect
        if not isinstance(channel, ReplayKlines):
            frames = dialect.ticker_snapshot(channel.n, channel.name, channel.value, Staleness())
        else:
            extra: dict[str, bool] = {"derived": True} if channel.derived else {}
            klines = await self._stored(lambda: self._past(channel, history, cursor, extra))
            if klines is None:
                return
            frames = dialect.kline_snapshot(
                channel.n, channel.name, await self._encoded(klines), channel.forming, Staleness(), extra
            )
        self._encoder.note(channel)
        self._player.write(frames)

    async def _past(
        self, channel: ReplayKlines, history: int, cursor: int | None, extra: dict[str, bool]
    ) -> Sequence[Kline]:
        """The closed klines of a snapshot: those after the cursor, if that is all of them, else the last `history`."""
        at_ms, most = self._player.timeline.now_ms, self._sessions.commands.history_max
        if cursor is not None:
            first_ms, end_ms = INTERVALS[channel.interval].next_open(cursor), channel.span.open_time(at_ms)
            page = await self._source.page(channel.symbol, channel.span, first_ms, most, end_ms)
            extra["recovered"] = page.is_last
            if page.is_last:
                return page.klines
        return await self._source.newest(channel.symbol, channel.span, at_ms, history) if history else ()

    async def _encoded(self, klines: Sequence[Kline]) -> bytes:
        pieces: list[bytes] = []
        for first in range(0, len(klines), PIECE):
            async with self._sessions.share.turn():
                pieces += map(kline_json, klines[first : first + PIECE])
        return b",".join(pieces)

    async def _stored(self, read: Callable[[], Awaitable[T]]) -> T | None:
        """What a read answers, as soon as it can; `None`: the connection has ended meanwhile."""
        for _ in range(round(STORE_WAIT_S / RETRY_S)):
            try:
                found = await read()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return None if self.socket.closing else found
        self.socket.close(Close.OVERLOADED)
        return None
