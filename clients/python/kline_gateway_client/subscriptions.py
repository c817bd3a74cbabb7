"""Which channels are wanted, by whom, and what the gateway said of them. Pure: commands and messages, no connection.

Invariants: a channel is held as long as an inbox wants it; its number is that of this connection only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from kline_gateway_client import decode as wire
from kline_gateway_client.errors import BadMessage, Refused, error_of
from kline_gateway_client.queues import Closed
from kline_gateway_client.retry import backoff_s
from kline_gateway_client.values import Status
from kline_gateway_client.views import KlineView, View, view_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kline_gateway_client.queues import Inbox

_T = TypeVar("_T")

PROTOCOL = 1
CHANNELS_PER_COMMAND = 64
"""Names and cursors of so many stay well below the gateway's limit for one message."""


@dataclass(slots=True)
class Channel:
    name: str
    view: View
    inboxes: list[Inbox] = field(default_factory=list)
    number: int | None = None
    asked: bool = False
    served: bool = False
    """Whether its snapshot has come on this connection."""
    resumed_ms: int | None = None
    """The cursor that was sent with its subscription."""
    ask_s: float = 0.0
    """When to ask, after a refusal that asks to try again."""
    refusals: int = 0
    status: Status = Status("connecting")

    @property
    def history(self) -> int:
        return max(inbox.history for inbox in self.inboxes)

    @property
    def cursor_ms(self) -> int | None:
        cursors = [cursor for inbox in self.inboxes if (cursor := inbox.cursor_ms(self.name)) is not None]
        return min(cursors, default=None)


class Desk:
    """Everything of the protocol but its bytes."""

    def __init__(self) -> None:
        self.greeted = False
        self._channels: dict[str, Channel] = {}
        self._by_number: dict[int, Channel] = {}
        self._gone: set[str] = set()
        self._asked: dict[int, tuple[str, ...]] = {}
        self._last_id = 0

    def add(self, inbox: Inbox) -> None:
        """Somebody wants what the inbox names."""
        for name in inbox.channels:
            channel = self._channels.get(name)
            if channel is None:
                channel = self._channels[name] = Channel(name, view_of(name))
            channel.inboxes.append(inbox)
            if channel.served:
                self._catch_up(channel, inbox)

    def remove(self, inbox: Inbox) -> None:
        """Nobody reads the inbox any more."""
        for name in inbox.channels:
            channel = self._channels.get(name)
            if channel is not None and inbox in channel.inboxes:
                channel.inboxes.remove(inbox)
                if not channel.inboxes:
                    self._drop(channel)

    def connected(self) -> None:
        """A new connection: numbers mean nothing any more, what is held stays."""
        self.greeted = False
        self._by_number.clear()
        self._gone.clear()
        self._asked.clear()
        for channel in self._channels.values():
            channel.number, channel.asked, channel.served, channel.ask_s = None, False, False, 0.0

    def commands(self, now_s: float) -> Iterator[str]:
        """What is to be said now; taking it counts as having said it."""
        if not self.greeted:
            return
        gone, self._gone = sorted(self._gone), set()
        for names in _groups(gone):
            yield wire.unsubscribe(self._next_id(), names)
        due = [channel for channel in self._channels.values() if not channel.asked and channel.ask_s <= now_s]
        for history in (0, 1):
            alike = [channel for channel in due if channel.history == history]
            for channels in _groups(alike):
                yield self._subscribe(channels, history)

    def due_in_s(self, now_s: float) -> float | None:
        """How long until there may be commands; None: not before something happens."""
        if not self.greeted:
            return None
        if self._gone:
            return 0.0
        waits = [max(0.0, channel.ask_s - now_s) for channel in self._channels.values() if not channel.asked]
        return min(waits, default=None)

    def hear(self, message: Any, now_s: float, luck: float) -> None:
        """One decoded message. What is not known here is passed over: newer gateways may say more.

        Raises `BadMessage`, and `Refused` where the gateway speaks another protocol.
        """
        try:
            self._hear(message, now_s, luck)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise BadMessage(f"{type(error).__name__}: {error}") from error

    def status(self, names: Iterable[str]) -> Status:
        """The worst of the channels, as far as the gateway has told; `connecting` where it has not yet."""
        found = Status("live")
        for name in names:
            channel = self._channels.get(name)
            if channel is not None and not channel.status.live:
                if channel.status.state == "connecting":
                    return channel.status
                found = channel.status
        return found

    def names(self) -> Iterable[str]:
        return self._channels.keys()

    def _hear(self, message: Any, now_s: float, luck: float) -> None:
        match message:
            case [_, *pairs]:
                for number, news in zip(pairs[::2], pairs[1::2], strict=True):
                    self._news(int(number), news)
            case {"op": "update", "u": updates}:
                for number, news in updates:
                    self._news(int(number), news)
            case {"op": "snapshot"}:
                self._snapshot(message)
            case {"op": "status", "channels": channels}:
                for number, state in channels.items():
                    if (channel := self._by_number.get(int(number))) is not None:
                        channel.status = _status({"state": state} | message)
            case {"op": "subscribed", "channels": results}:
                self._asked.pop(int(message.get("id", 0)), None)
                for name, result in results.items():
                    self._answered(name, result, now_s, luck)
            case {"op": "error", "id": id}:
                for name in self._asked.pop(int(id), ()):
                    self._answered(name, {"error": message}, now_s, luck)
            case {"op": "hello", "protocol": protocol}:
                if protocol != PROTOCOL:
                    raise Refused(f"the gateway speaks version {protocol} of the protocol, this client {PROTOCOL}")
                self.greeted = True

    def _news(self, number: int, news: Any) -> None:
        channel = self._by_number.get(number)
        if channel is None or not channel.served:
            return
        view = channel.view
        closed = view.fold(news)
        for inbox in channel.inboxes:
            if closed is not None:
                inbox.closed(channel.name, closed)
            inbox.changed(channel.name, view)

    def _snapshot(self, message: Mapping[str, Any]) -> None:
        channel = self._by_number.get(int(message["n"]))
        if channel is None:
            return
        view = channel.view
        if isinstance(view, KlineView):
            past = view.snapshot(message, channel.resumed_ms)
            for inbox in channel.inboxes:
                inbox.snapshot(channel.name, past)
        else:
            view.snapshot(message)
        channel.served, channel.refusals, channel.status = True, 0, _status(message)
        for inbox in channel.inboxes:
            inbox.changed(channel.name, view)

    def _catch_up(self, channel: Channel, inbox: Inbox) -> None:
        """Give an inbox that comes later what is held."""
        view = channel.view
        if isinstance(view, KlineView):
            if inbox.history and view.newest is None:
                # Where the klines stand can be known from a closed one, and it was not asked for.
                channel.asked = False
            inbox.snapshot(channel.name, view.past)
        inbox.changed(channel.name, view)

    def _subscribe(self, channels: Sequence[Channel], history: int) -> str:
        resume: dict[str, int] = {}
        for channel in channels:
            # A channel that is served is asked anew for its closed klines: there is nothing to resume.
            channel.asked, channel.resumed_ms = True, None if channel.served else channel.cursor_ms
            if channel.resumed_ms is not None:
                resume[channel.name] = channel.resumed_ms
        names = tuple(channel.name for channel in channels)
        id = self._next_id()
        self._asked[id] = names
        return wire.subscribe(id, names, history, resume)

    def _answered(self, name: str, result: Mapping[str, Any], now_s: float, luck: float) -> None:
        channel = self._channels.get(name)
        if channel is None:
            return
        if "n" in result:
            channel.number = int(result["n"])
            self._by_number[channel.number] = channel
            return
        error = error_of(result["error"]["code"], result["error"]["message"])
        if error.temporary:
            channel.asked = False
            channel.ask_s = now_s + backoff_s(channel.refusals, luck)
            channel.refusals += 1
            if not channel.served:
                channel.status = Status("connecting", error.code)
            return
        inboxes = list(channel.inboxes)
        channel.inboxes.clear()
        self._drop(channel)
        for inbox in inboxes:
            if isinstance(inbox, Closed):
                inbox.drop(name)
            inbox.fail(error)

    def _drop(self, channel: Channel) -> None:
        del self._channels[channel.name]
        if channel.number is not None:
            self._by_number.pop(channel.number, None)
        if channel.asked:
            self._gone.add(channel.name)

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id


def _groups(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), CHANNELS_PER_COMMAND):
        yield items[start : start + CHANNELS_PER_COMMAND]


def _status(message: Mapping[str, Any]) -> Status:
    if message["state"] == "live":
        return Status("live")
    since = message.get("since")
    return Status("stale", message.get("reason", ""), None if since is None else int(since))
