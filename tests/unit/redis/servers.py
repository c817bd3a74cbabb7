"""Redis servers with scripted answers, in the place of `Connector` and what it makes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.redis.connections import Address, CommandPart


class FakeServer:
    """Answers by the command's name: a value, an exception, or a function of the command's other parts."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.commands: list[tuple[CommandPart, ...]] = []
        self.error: Exception | None = None
        """Raised at every connection and command, as by a server that is away."""
        self.renewals = 0
        """Times that all of a reader's connections were to be made anew."""
        self.open = 0
        """Connections and readers that are not closed."""

    def answer(self, command: tuple[CommandPart, ...]) -> Any:
        if self.error:
            raise self.error
        self.commands.append(command)
        answer = self.answers[str(command[0])]
        return answer(*command[1:]) if callable(answer) else answer


class FakeConnector:
    """Makes connections to scripted servers."""

    def __init__(self, servers: dict[Address, FakeServer], default: Address | None = None) -> None:
        """`default`: the server of the URL."""
        self.servers = servers
        self._default = default

    def connection(self, address: Address | None = None) -> Any:
        return _Connection(self._server(address))

    def reader(self, address: Address | None = None) -> Any:
        return _Reader(self._server(address))

    def _server(self, address: Address | None) -> FakeServer:
        address = address or self._default
        assert address is not None
        return self.servers[address]

    @asynccontextmanager
    async def sentinel(self, address: Address) -> AsyncIterator[Any]:
        reader = _Reader(self.servers[address])
        yield reader
        await reader.aclose()


class _Connection:
    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self._command: tuple[CommandPart, ...] = ()

    async def connect(self) -> None:
        if self.server.error:
            raise self.server.error
        self.server.open += 1

    async def disconnect(self, nowait: bool = False) -> None:
        self.server.open = max(0, self.server.open - 1)

    async def send_command(self, *command: CommandPart) -> None:
        self._command = command

    async def read_response(self) -> Any:
        return _raised(self.server.answer(self._command))


class _Reader:
    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.connection_pool = self
        self._marked = False
        server.open += 1

    async def execute_command(self, *command: CommandPart) -> Any:
        return _raised(self._server.answer(command))

    async def update_active_connections_for_reconnect(self) -> None:
        self._marked = True

    async def disconnect(self, inuse_connections: bool) -> None:
        assert not inuse_connections, "a command that is under way would fail"
        assert self._marked, "a connection in use would stay with the old server"
        self._server.renewals += 1

    def pipeline(self, transaction: bool) -> _Pipeline:
        assert not transaction
        return _Pipeline(self._server)

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self._server.open -= 1


class _Pipeline:
    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._queued: list[tuple[CommandPart, ...]] = []

    async def __aenter__(self) -> _Pipeline:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def execute_command(self, *command: CommandPart) -> None:
        self._queued.append(command)

    async def execute(self, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        return [self._server.answer(command) for command in self._queued]


def _raised(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer
