"""Stand-ins for what a feed is connected to: a sink that records, and a Redis with scripted answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import hiredis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.redis.connections import Address, CommandPart
    from gateway.redis.contract import Topic

CONNECTED = "connected"

Answer = Any | Callable[..., Any]


@dataclass
class RecordingSink:
    """Records the batches, and the connection state as `CONNECTED` or the reason of a disconnect."""

    states: list[str] = field(default_factory=list)
    batches: list[list[tuple[Topic, bytes]]] = field(default_factory=list)
    surging: bool = False
    replaced: int = 0
    charge: AbstractContextManager[None] = field(default_factory=nullcontext)

    @property
    def messages(self) -> list[tuple[Topic, bytes]]:
        return [message for batch in self.batches for message in batch]

    def payloads(self, topic: Topic) -> list[bytes]:
        return [payload for of, payload in self.messages if of == topic]

    def connected(self) -> None:
        self.states.append(CONNECTED)

    def disconnected(self, reason: str) -> None:
        self.states.append(reason)

    def ingest(self, batch: list[tuple[Topic, bytes]], replaced: int = 0) -> None:
        self.replaced += replaced
        self.batches.append(batch)


class FakeTransport:
    """The transport of one connection: keeps what is written, and answers subscriptions and pings like a server."""

    def __init__(self, *, acknowledges: bool = True, answers_pings: bool = True) -> None:
        self.acknowledges = acknowledges
        self.answers_pings = answers_pings
        self.pong = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
        self.commands: list[list[bytes]] = []
        self.aborted = False
        self.protocol: asyncio.Protocol | None = None
        self._reader = hiredis.Reader()

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol

    def resume_reading(self) -> None: ...

    def write(self, data: bytes) -> None:
        self.writelines([data])

    def writelines(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            self._reader.feed(chunk)
        while (command := self._reader.gets()) is not False:
            self.commands.append(command)
            name, *names = command
            if name == b"PING" and self.answers_pings:
                self.send_raw(self.pong)
            elif name.endswith(b"SUBSCRIBE") and self.acknowledges:
                for number, channel in enumerate(names, 1):
                    self.send(name.lower(), channel, number)

    def abort(self) -> None:
        self.aborted = True

    def send(self, *parts: Any) -> None:
        """Let a message arrive, in the next turn of the loop."""
        self.send_raw(hiredis.pack_command(parts))

    def send_raw(self, data: bytes) -> None:
        assert self.protocol is not None
        asyncio.get_running_loop().call_soon(self.protocol.data_received, data)

    def publish(self, channel: bytes, payload: bytes) -> None:
        """As a message of a pattern subscription."""
        self.send(b"pmessage", b"*", channel, payload)

    def lose(self, error: Exception | None = None) -> None:
        """End the connection from the server's side."""
        assert self.protocol is not None
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)


class FakeConnection:
    """What a feed uses of redis-py's connection."""

    def __init__(self, transport: FakeTransport, info: bytes | Exception = b"") -> None:
        """`info`: the answer to a command before the subscription."""
        self._info = info
        self.transport = transport
        self._writer = self
        self.disconnected = False

    async def send_command(self, *command: str) -> None:
        assert command == ("INFO", "server")

    async def read_response(self) -> bytes:
        if isinstance(self._info, Exception):
            raise self._info
        return self._info

    async def disconnect(self, nowait: bool = False) -> None:
        assert nowait
        self.disconnected = True


class FakeDeployment:
    """A `Deployment` whose connections are fake and whose answers are scripted by the command's name.

    An answer is a value, an exception to raise, or a function of the command's other parts.
    """

    def __init__(self, answers: dict[str, Answer] | None = None) -> None:
        self.answers: dict[str, Answer] = {"PING": b"PONG", **(answers or {})}
        self.commands: list[tuple[CommandPart, ...]] = []
        self.connections: list[FakeConnection] = []
        self.connect_error: Exception | None = None
        self.transport_options: dict[str, bool] = {}
        self.move: asyncio.Future[str] | None = None
        self.server_id = "run_id:1"
        self.refreshes = 0

    @property
    def transport(self) -> FakeTransport:
        """That of the newest connection."""
        return self.connections[-1].transport

    @property
    def transports(self) -> list[FakeTransport]:
        return [connection.transport for connection in self.connections]

    async def connect(self) -> Any:
        if self.connect_error is not None:
            raise self.connect_error
        self.connections.append(FakeConnection(FakeTransport(**self.transport_options)))
        return self.connections[-1]

    async def moved(self, connection: Any) -> str:
        self.move = asyncio.get_running_loop().create_future()
        return await self.move

    async def server(self, connection: Any) -> str:
        return self.server_id

    async def refresh(self) -> None:
        self.refreshes += 1

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        answer = self._answer(command)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def execute_all(self, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        if isinstance(error := self.answers.get("execute_all"), Exception):
            raise error
        return [self._answer(command) for command in commands]

    async def owners(self) -> Sequence[Address | None]:
        return [None]

    async def aclose(self) -> None: ...

    def _answer(self, command: Sequence[CommandPart]) -> Any:
        self.commands.append(tuple(command))
        name, *rest = command
        answer = self.answers[str(name)]
        return answer(*rest) if callable(answer) else answer
