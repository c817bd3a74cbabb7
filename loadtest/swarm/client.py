"""One client of the swarm: its handshake, its subscriptions and its state. Bytes in, bytes out; no clock."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import orjson

from loadtest.protocol.websocket import (
    CLOSE,
    PING,
    PONG,
    HandshakeError,
    client_frame,
    close_code,
    handshake,
    handshake_end,
)
from loadtest.swarm.follower import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from loadtest.protocol.dialects import Dialect
    from loadtest.report.recording import Event
    from loadtest.scenario import Scenario

# A command must fit into the gateway's `max_message_bytes`.
_CHANNELS_PER_COMMAND = 200

FAST_LANE_FIELD = "latency_ms"
"""The key of the native dialect's `set` that asks to be served at once; the limits in `hello` announce it."""


class State(IntEnum):
    """State of a client's connection."""

    DISCONNECTED = 0
    CONNECTING = 1
    HANDSHAKE = 2
    SUBSCRIBING = 3
    """Subscriptions are sent, and not all snapshots have arrived."""
    READY = 4


class ConnectionEnded(Exception):
    """The connection has ended or is unusable; the message says how it ended."""


class Client:
    """Invariant: `unparsed` holds received bytes that are not yet a whole frame (or handshake)."""

    __slots__ = (
        "_dialect",
        "_host",
        "_pending_replies",
        "_pending_snapshots",
        "_refused",
        "_scenario",
        "allowance",
        "attempts",
        "connect_ns",
        "follower",
        "index",
        "kind",
        "last_read_ns",
        "state",
        "unparsed",
    )

    def __init__(self, index: int, scenario: Scenario, dialect: Dialect, host: str, follower: Follower | None) -> None:
        self.index = index
        self.kind = scenario.kind(index)
        self.follower = follower
        self.state = State.DISCONNECTED
        self.unparsed = b""
        self.connect_ns = 0
        self.attempts = 0
        self.last_read_ns = 0
        """Monotonic time of the last read."""
        self.allowance = 0.0
        """Bytes that a slow reader may read now."""
        self._scenario, self._dialect, self._host = scenario, dialect, host
        self._pending_replies = 0
        self._pending_snapshots = 0
        self._refused: list[str] = []

    def open_handshake(self) -> bytes:
        """The bytes that open the connection."""
        self.state = State.HANDSHAKE
        return handshake(self._host, self._scenario.clients.path, self._dialect.subprotocol)

    def finish_handshake(self, data: bytes) -> tuple[bytes, int] | None:
        """The commands to send and the offset of the first frame; None while the answer to the handshake is incomplete.

        Raises `ConnectionEnded` for a refusal.
        """
        try:
            end = handshake_end(data, self._dialect.subprotocol)
        except HandshakeError as error:
            raise ConnectionEnded(f"refused {error.status}") from error
        if not end:
            return None
        self._pending_replies = self._pending_snapshots = 0
        commands = self._subscribe(self._channels())
        self.state = State.SUBSCRIBING if commands else State.READY
        return commands, end

    @property
    def has_refused_channels(self) -> bool:
        """Whether channels were refused as UNAVAILABLE; `subscribe_refused` asks for them again."""
        return bool(self._refused)

    def subscribe_refused(self) -> bytes:
        """The commands that subscribe again to channels that were unavailable."""
        names, self._refused = self._refused, []
        return self._subscribe(names)

    def disconnect(self) -> None:
        """Forget the connection. Values and cursors of the follower stay."""
        self.state = State.DISCONNECTED
        self.unparsed = b""
        self._refused = []
        if self.follower:
            self.follower.disconnect()

    def receive(self, opcode: int, payload: bytes) -> tuple[str, bytes]:
        """Handle a frame that is not an update; returns its kind and the answer. A close raises `ConnectionEnded`."""
        if opcode == CLOSE:
            raise ConnectionEnded(f"closed {close_code(payload)}")
        if opcode == PING:
            return "ping", client_frame(payload, PONG)
        if opcode == PONG:
            return "pong", b""
        if opcode < 0:
            raise ConnectionEnded("broken frame")
        message = self._dialect.message(payload)
        return self._message(message["op"], message), self._ask_for_fast_lane(message)

    def _ask_for_fast_lane(self, message: dict[str, Any]) -> bytes:
        """The command for it, if the client is to have it and the gateway says in its `hello` that there is one."""
        if message["op"] != "hello" or not self._scenario.is_fast(self.index):
            return b""
        if not any(name.startswith(FAST_LANE_FIELD) for name in message["limits"]):
            return b""
        return client_frame(orjson.dumps({"op": "set", FAST_LANE_FIELD: 0}))

    def _message(self, op: str, message: dict[str, Any]) -> str:
        if op == "snapshot":
            self._pending_snapshots -= 1
            if self.follower:
                self.follower.snapshot(message)
            if message.get("resync"):
                self._pending_snapshots += 1
                return "resync"
        elif op == "subscribed":
            self._pending_replies -= 1
            refused = {name: entry["error"]["code"] for name, entry in message["channels"].items() if "error" in entry}
            self._pending_snapshots += len(message["channels"]) - len(refused)
            self._refused += [name for name, code in refused.items() if code == "UNAVAILABLE"]
            if refused:
                op = f"refused {' '.join(sorted(set(refused.values())))}"
        elif op in ("throttle", "status"):
            if op == "status" and self.follower:
                self.follower.status(message)
            op = f"{op} {message.get('reason', 'live')}"
        elif op == "error":
            op = f"error {message['code']}"
        if self.state is State.SUBSCRIBING and not (self._pending_replies or self._pending_snapshots or self._refused):
            self.state = State.READY
        return op

    def _channels(self) -> list[str]:
        scenario = self._scenario
        symbols = scenario.symbols
        return [f"ticker:{symbols[index]}" for index in scenario.watchlist(self.index)] + [
            f"kline:{symbols[index]}:{interval}"
            for index in scenario.kline_list(self.index)
            for interval in scenario.feed.intervals
        ]

    def _subscribe(self, names: list[str]) -> bytes:
        if self.follower and not self._dialect.snapshots:
            self.follower.add_without_snapshot(names)
        cursors = self.follower.cursors if self.follower else {}
        commands = []
        for start in range(0, len(names), _CHANNELS_PER_COMMAND):
            channels = names[start : start + _CHANNELS_PER_COMMAND]
            resume = {name: cursors[name] for name in channels if name in cursors}
            body = self._dialect.subscribe(start, channels, self._scenario.clients.history, resume)
            commands.append(client_frame(self._dialect.encode(body), self._dialect.opcode))
        self._pending_replies += len(commands)
        return b"".join(commands)


def make_clients(
    scenario: Scenario, dialect: Dialect, host: str, on_event: Callable[[Event], None], indexes: Iterable[int]
) -> list[Client]:
    """The clients of these numbers; those that decode give what they see of klines to `on_event`."""
    clients = []
    for index in indexes:
        lane_suffix = " (fast)" if scenario.is_fast(index) else "" if scenario.kind(index) == "normal" else " (slow)"
        follower = Follower(index, on_event, lane_suffix) if scenario.decodes(index) else None
        clients.append(Client(index, scenario, dialect, host, follower))
    return clients
