"""One client of the swarm: its handshake, its subscriptions and where it stands. No sockets, no clock: bytes in, bytes
to send out.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import orjson

from loadtest.client_frames import CLOSE, PING, PONG, HandshakeError, close_code, command, handshake, handshake_end

if TYPE_CHECKING:
    from loadtest.dialects import Dialect
    from loadtest.follower import Follower
    from loadtest.scenario import Scenario

# A command must fit into the gateway's `max_message_bytes`.
_CHANNELS_PER_COMMAND = 200


class State(IntEnum):
    AWAY = 0
    CONNECTING = 1
    SHAKING = 2
    JOINING = 3
    """Subscribed, but not every snapshot is here."""
    READY = 4


class Lost(Exception):
    """The connection is of no use any more; says how it ended."""


class Client:
    """Invariant: `rest` holds the bytes received that are not yet a whole frame (or handshake)."""

    __slots__ = (
        "_awaited",
        "_dialect",
        "_host",
        "_pending",
        "_scenario",
        "_snapshots",
        "allowance",
        "attempts",
        "began_ns",
        "follower",
        "heard_ns",
        "index",
        "kind",
        "rest",
        "state",
    )

    def __init__(self, index: int, scenario: Scenario, dialect: Dialect, host: str, follower: Follower | None) -> None:
        self.index = index
        self.kind = scenario.kind(index)
        self.follower = follower
        self.state = State.AWAY
        self.rest = b""
        self.began_ns = 0
        self.attempts = 0
        self.heard_ns = 0
        """When anything came last."""
        self.allowance = 0.0
        """Of a slow reader: bytes it may read now."""
        self._scenario, self._dialect, self._host = scenario, dialect, host
        self._awaited = 0
        self._snapshots = 0
        self._pending: list[str] = []

    def hello(self) -> bytes:
        """The bytes that open the connection."""
        self.state = State.SHAKING
        return handshake(self._host, self._scenario.clients.path, self._dialect.subprotocol)

    def shake(self, data: bytes) -> tuple[bytes, int] | None:
        """What to send once the handshake is answered, and where frames begin; None while it is not."""
        try:
            end = handshake_end(data, self._dialect.subprotocol)
        except HandshakeError as error:
            raise Lost(f"refused {error.status}") from error
        if not end:
            return None
        self._awaited = self._snapshots = 0
        commands = self._subscribe(self._channels())
        self.state = State.JOINING if commands else State.READY
        return commands, end

    @property
    def refused(self) -> bool:
        """Whether channels were refused for the moment; `retry` asks for them again."""
        return bool(self._pending)

    def retry(self) -> bytes:
        names, self._pending = self._pending, []
        return self._subscribe(names)

    def leave(self) -> None:
        self.state = State.AWAY
        self.rest = b""
        self._pending = []
        if self.follower:
            self.follower.leave()

    def take(self, opcode: int, payload: bytes) -> tuple[str, bytes]:
        """A frame that is no update: what it was, and what to answer. Raises `Lost` on a close."""
        if opcode == CLOSE:
            raise Lost(f"closed {close_code(payload)}")
        if opcode == PING:
            return "ping", command(payload, PONG)
        if opcode == PONG:
            return "pong", b""
        if opcode < 0:
            raise Lost("broken frame")
        message = self._dialect.message(payload)
        return self._message(message["op"], message), b""

    def _message(self, op: str, message: dict[str, Any]) -> str:
        if op == "snapshot":
            self._snapshots -= 1
            if self.follower:
                self.follower.snapshot(message)
            if message.get("resync"):
                self._snapshots += 1
                return "resync"
        elif op == "subscribed":
            self._awaited -= 1
            refused = {name: entry["error"]["code"] for name, entry in message["channels"].items() if "error" in entry}
            self._snapshots += len(message["channels"]) - len(refused)
            self._pending += [name for name, code in refused.items() if code == "UNAVAILABLE"]
            if refused:
                op = f"refused {' '.join(sorted(set(refused.values())))}"
        elif op in ("throttle", "status"):
            if op == "status" and self.follower:
                self.follower.status(message)
            op = f"{op} {message.get('reason', 'live')}"
        elif op == "error":
            op = f"error {message['code']}"
        if self.state is State.JOINING and not (self._awaited or self._snapshots or self._pending):
            self.state = State.READY
        return op

    def _channels(self) -> list[str]:
        scenario = self._scenario
        symbols = scenario.symbols
        return [f"ticker:{symbols[place]}" for place in scenario.watchlist(self.index)] + [
            f"kline:{symbols[place]}:{interval}"
            for place in scenario.kline_list(self.index)
            for interval in scenario.feed.intervals
        ]

    def _subscribe(self, names: list[str]) -> bytes:
        if self.follower and not self._dialect.snapshots:
            self.follower.expect(names)
        cursors = self.follower.cursors if self.follower else {}
        commands = []
        for start in range(0, len(names), _CHANNELS_PER_COMMAND):
            channels = names[start : start + _CHANNELS_PER_COMMAND]
            resume = {name: cursors[name] for name in channels if name in cursors}
            body = self._dialect.subscribe(start, channels, self._scenario.clients.history, resume)
            commands.append(command(orjson.dumps(body)))
        self._awaited += len(commands)
        return b"".join(commands)
