"""The commands of a client as typed values, and the errors they are answered with. Dialects decode the text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.model.errors import ErrorCode

CommandId = int | str | None


class CommandError(Exception):
    """A command that is refused; nothing has changed. `id` is that of the command, as far as it was read."""

    def __init__(self, code: ErrorCode, message: str, id: CommandId = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id


@dataclass(frozen=True, slots=True)
class ChannelName:
    """A channel as a client names it; `interval` is "" for a ticker."""

    text: str
    symbol: str
    interval: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """`channels` by the name the client used; an error in place of one that cannot be a channel."""

    id: CommandId
    channels: dict[str, ChannelName | CommandError]
    history: int = 0
    resume: dict[str, int] = field(default_factory=dict)
    """Open time of the newest closed kline the client has, by channel name."""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """`channels` by the name the client used."""

    id: CommandId
    channels: list[str]


@dataclass(frozen=True, slots=True)
class ListChannels:
    """Asks for the subscriptions of the connection."""

    id: CommandId


@dataclass(frozen=True, slots=True)
class SetProfile:
    """`None` leaves a setting as it is; 0 lifts a limit."""

    id: CommandId
    max_rate: float | None
    closed_only: bool | None
    max_bytes_per_min: int | None = None
    fast: bool | None = None
    """Whether updates are to be sent at once."""
    event_times: bool | None = None
    """Whether updates are to have the event time of their value."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a pong with the time of the gateway."""

    id: CommandId


@dataclass(frozen=True, slots=True)
class Authenticate:
    """`token` is a secret: it stays out of logs, messages and this object's text."""

    id: CommandId
    token: str = field(repr=False)


Command = Subscribe | Unsubscribe | ListChannels | SetProfile | Ping | Authenticate


class SnapshotRequest(NamedTuple):
    """A snapshot of a kline channel that the client still has to be sent."""

    history: int
    """Closed klines asked for."""
    cursor: int | None = None
    """Open time in ms of the newest closed kline that the client has, if it resumes."""
    resync: bool = False
    """The snapshot replaces what the client was sent before; nobody asked for it."""


RESYNC = SnapshotRequest(0, resync=True)
