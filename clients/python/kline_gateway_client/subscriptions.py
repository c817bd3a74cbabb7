"""Which channels are subscribed to, for which queues, and what the gateway sends of them. Pure: no connection.

Invariants: a channel is kept as long as a queue needs it; its number is valid on the current connection only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from kline_gateway_client.codec import encode_set, encode_subscribe, encode_unsubscribe
from kline_gateway_client.errors import BadMessage, Refused, error_of
from kline_gateway_client.queues import ClosedQueue
from kline_gateway_client.retry import backoff_s
from kline_gateway_client.values import Status
from kline_gateway_client.views import KlineView, View, view_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kline_gateway_client.queues import Queue

_T = TypeVar("_T")

PROTOCOL = 1
CHANNELS_PER_COMMAND = 64
"""Names and cursors of this many channels stay well below the gateway's limit for one message."""


@dataclass(slots=True)
class Channel:
    """A channel that at least one queue needs."""

    name: str
    view: View
    queues: list[Queue] = field(default_factory=list)
    number: int | None = None
    requested: bool = False
    """Whether its subscribe command was sent on this connection."""
    in_sync: bool = False
    """Whether its snapshot has arrived on this connection."""
    resumed_ms: int | None = None
    """The cursor that was sent with its subscription."""
    request_at_s: float = 0.0
    """When to subscribe again, after a temporary refusal."""
    refusals: int = 0
    status: Status = Status("connecting")

    @property
    def history(self) -> int:
        """Closed klines to subscribe with."""
        return max(queue.history for queue in self.queues)

    @property
    def cursor_ms(self) -> int | None:
        """The oldest cursor of its queues; None: none of them has one."""
        cursors = [cursor for queue in self.queues if (cursor := queue.cursor_ms(self.name)) is not None]
        return min(cursors, default=None)


class Subscriptions:
    """The protocol's state: turns queues into commands, and messages into changes of queues."""

    def __init__(self, settings: Mapping[str, float | bool] | None = None) -> None:
        """`settings`: of every connection, as the command `set` has them. `latency_ms` is left out where the gateway
        does not offer it."""
        self.hello_received = False
        self.interval_ms: int | None = None
        """How long an update waits in the gateway at most, as it has said last; None: it has not said it yet."""
        self.planned_s: float | None = None
        """How long to stay away after the planned end that the gateway has announced on this connection."""
        self._settings = dict(settings or {})
        self._to_set: list[dict[str, float | bool]] = []
        self._channels: dict[str, Channel] = {}
        self._by_number: dict[int, Channel] = {}
        self._to_unsubscribe: set[str] = set()
        self._pending: dict[int, tuple[str, ...]] = {}
        """Channels of the subscribe commands that have no reply yet, by command id."""
        self._last_id = 0

    def add(self, queue: Queue) -> None:
        """Subscribe a queue to its channels; channels that are in sync fill it at once."""
        for name in queue.channels:
            channel = self._channels.get(name)
            if channel is None:
                channel = self._channels[name] = Channel(name, view_of(name))
            channel.queues.append(queue)
            if channel.in_sync:
                self._fill(channel, queue)

    def remove(self, queue: Queue) -> None:
        """Unsubscribe a queue; channels that no other queue needs end."""
        for name in queue.channels:
            channel = self._channels.get(name)
            if channel is not None and queue in channel.queues:
                channel.queues.remove(queue)
                if not channel.queues:
                    self._drop(channel)

    def reset(self) -> None:
        """Prepare for a new connection: numbers and pending commands become invalid, views stay."""
        self.hello_received, self.planned_s = False, None
        self._by_number.clear()
        self._to_set.clear()
        self._to_unsubscribe.clear()
        self._pending.clear()
        for channel in self._channels.values():
            channel.number, channel.requested, channel.in_sync, channel.request_at_s = None, False, False, 0.0

    def commands(self, now_s: float) -> Iterator[str]:
        """The commands to send now. Each one that is taken counts as sent."""
        if not self.hello_received:
            return
        # Before the subscriptions, so that their snapshots are as they say.
        wanted, self._to_set = self._to_set, []
        for settings in wanted:
            yield encode_set(self._next_id(), settings)
        ended, self._to_unsubscribe = sorted(self._to_unsubscribe), set()
        for names in _groups(ended):
            yield encode_unsubscribe(self._next_id(), names)
        due = [
            channel for channel in self._channels.values() if not channel.requested and channel.request_at_s <= now_s
        ]
        for history in (0, 1):
            same_history = [channel for channel in due if channel.history == history]
            for channels in _groups(same_history):
                yield self._subscribe(channels, history)

    def next_command_in_s(self, now_s: float) -> float | None:
        """Time until there may be commands to send; None: a message or a queue must change something first."""
        if not self.hello_received:
            return None
        if self._to_set or self._to_unsubscribe:
            return 0.0
        waits = [max(0.0, channel.request_at_s - now_s) for channel in self._channels.values() if not channel.requested]
        return min(waits, default=None)

    def receive(self, message: Any, now_s: float, jitter: float) -> None:
        """Apply a decoded message. Unknown messages are ignored: newer gateways may send more.

        Raises `BadMessage` for a message that the protocol does not allow, `Refused` for another protocol version.
        """
        try:
            self._apply(message, now_s, jitter)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise BadMessage(f"{type(error).__name__}: {error}") from error

    def status(self, names: Iterable[str]) -> Status:
        """The worst status of the channels; `connecting` if the gateway has not reported one yet."""
        worst = Status("live")
        for name in names:
            channel = self._channels.get(name)
            if channel is not None and not channel.status.live:
                if channel.status.state == "connecting":
                    return channel.status
                worst = channel.status
        return worst

    def names(self) -> Iterable[str]:
        """The names of all channels."""
        return self._channels.keys()

    def _apply(self, message: Any, now_s: float, jitter: float) -> None:
        match message:
            case [_, *pairs]:
                for number, update in zip(pairs[::2], pairs[1::2], strict=True):
                    self._update(int(number), update)
            case {"op": "update", "u": updates}:
                for number, update in updates:
                    self._update(int(number), update)
            case {"op": "snapshot"}:
                self._snapshot(message)
            case {"op": "status", "channels": channels}:
                for number, state in channels.items():
                    if (channel := self._by_number.get(int(number))) is not None:
                        channel.status = _status({"state": state} | message)
            case {"op": "subscribed", "channels": results}:
                self._pending.pop(int(message.get("id", 0)), None)
                for name, result in results.items():
                    self._reply(name, result, now_s, jitter)
            case {"op": "error", "id": id}:
                for name in self._pending.pop(int(id), ()):
                    self._reply(name, {"error": message}, now_s, jitter)
            case {"op": "hello", "protocol": protocol}:
                if protocol != PROTOCOL:
                    raise Refused(f"the gateway speaks version {protocol} of the protocol, this client {PROTOCOL}")
                self.hello_received = True
                self._note_interval(message)
                self._set_all(message.get("limits", {}))
            case {"op": "throttle" | "set"}:
                self._note_interval(message)
            case {"op": "shutdown", "retry_ms": retry_ms}:
                self.planned_s = float(retry_ms) / 1000

    def _set_all(self, limits: Mapping[str, Any]) -> None:
        settings = dict(self._settings)
        latency_ms = settings.pop("latency_ms", None)
        if settings:
            self._to_set.append(settings)
        if latency_ms is not None and "latency_ms" in limits:
            # A command of its own: where it is refused, the other settings are in force all the same.
            self._to_set.append({"latency_ms": latency_ms})

    def _note_interval(self, message: Mapping[str, Any]) -> None:
        if "interval_ms" in message:
            self.interval_ms = int(message["interval_ms"])

    def _update(self, number: int, update: Any) -> None:
        channel = self._by_number.get(number)
        if channel is None or not channel.in_sync:
            return
        view = channel.view
        closed = view.fold(update)
        for queue in channel.queues:
            if closed is not None:
                queue.add_closed(channel.name, closed)
            queue.add_change(channel.name, view)

    def _snapshot(self, message: Mapping[str, Any]) -> None:
        channel = self._by_number.get(int(message["n"]))
        if channel is None:
            return
        view = channel.view
        if isinstance(view, KlineView):
            snapshot = view.snapshot(message, channel.resumed_ms)
            for queue in channel.queues:
                queue.add_snapshot(channel.name, snapshot)
        else:
            view.snapshot(message)
        channel.in_sync, channel.refusals, channel.status = True, 0, _status(message)
        for queue in channel.queues:
            queue.add_change(channel.name, view)

    def _fill(self, channel: Channel, queue: Queue) -> None:
        view = channel.view
        if isinstance(view, KlineView):
            if queue.history and view.newest is None:
                # The queue needs a closed kline as its cursor, and the subscription did not ask for one.
                channel.requested = False
            queue.add_snapshot(channel.name, view.current())
        queue.add_change(channel.name, view)

    def _subscribe(self, channels: Sequence[Channel], history: int) -> str:
        resume: dict[str, int] = {}
        for channel in channels:
            # A channel in sync subscribes again for its closed klines only: there is nothing to resume.
            channel.requested, channel.resumed_ms = True, None if channel.in_sync else channel.cursor_ms
            if channel.resumed_ms is not None:
                resume[channel.name] = channel.resumed_ms
        names = tuple(channel.name for channel in channels)
        id = self._next_id()
        self._pending[id] = names
        return encode_subscribe(id, names, history, resume)

    def _reply(self, name: str, result: Mapping[str, Any], now_s: float, jitter: float) -> None:
        channel = self._channels.get(name)
        if channel is None:
            return
        if "n" in result:
            channel.number = int(result["n"])
            self._by_number[channel.number] = channel
            return
        error = error_of(result["error"]["code"], result["error"]["message"])
        if error.temporary:
            channel.requested = False
            channel.request_at_s = now_s + backoff_s(channel.refusals, jitter)
            channel.refusals += 1
            if not channel.in_sync:
                channel.status = Status("connecting", error.code)
            return
        queues = list(channel.queues)
        channel.queues.clear()
        self._drop(channel)
        for queue in queues:
            if isinstance(queue, ClosedQueue):
                queue.drop(name)
            queue.add_error(error)

    def _drop(self, channel: Channel) -> None:
        del self._channels[channel.name]
        if channel.number is not None:
            self._by_number.pop(channel.number, None)
        if channel.requested:
            self._to_unsubscribe.add(channel.name)

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
