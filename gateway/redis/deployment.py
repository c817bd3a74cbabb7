"""What feeds and stores need of a Redis, however it is deployed, and the simplest deployment: one server.

`connect` is for subscriptions, `execute` for reads; each fails at once or after one timeout, and never retries.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from gateway.redis.cluster import Cluster
from gateway.redis.connections import Connector, connect, execute, pipelined, renew, run_id
from gateway.redis.sentinel import Sentinel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.connection import AbstractConnection

    from gateway.config import RedisConfig
    from gateway.redis.connections import Address, CommandPart


class Deployment(Protocol):
    """Every method raises `RedisError` or `OSError` when Redis cannot be reached."""

    async def connect(self) -> AbstractConnection:
        """Make a connection to a server that receives everything published with PUBLISH."""
        ...

    async def moved(self, connection: AbstractConnection) -> str:
        """Return the reason when this connection must be given up although it answers; otherwise wait forever."""
        ...

    async def server(self, connection: AbstractConnection) -> str:
        """Return an id of the server that this new connection is to; "" where that says nothing."""
        ...

    async def refresh(self) -> None:
        """Make the connections for commands anew, which resolves the server's name anew. No command is cut off."""
        ...

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        """Run a command where its keys are, or at `at`. The keys follow the name (those of a script as for EVAL)."""
        ...

    async def execute_all(self, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        """Run reads in one round trip per server; an answer that is an error stands in its place as exception."""
        ...

    async def owners(self) -> Sequence[Address | None]:
        """Every server that owns a part of the keys; a single `None` where one server owns them all."""
        ...

    async def aclose(self) -> None: ...


class Standalone:
    """One server at a fixed address."""

    def __init__(self, config: RedisConfig, connector: Connector | None = None) -> None:
        self._connector = connector or Connector(config)
        self._reader = self._connector.reader()

    async def connect(self) -> AbstractConnection:
        return await connect(self._connector.connection())

    async def moved(self, connection: AbstractConnection) -> str:
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def server(self, connection: AbstractConnection) -> str:
        return await run_id(connection)

    async def refresh(self) -> None:
        await renew(self._reader)

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        return await execute(self._reader, *command)

    async def execute_all(self, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        return await pipelined(self._reader, commands)

    async def owners(self) -> Sequence[Address | None]:
        return [None]

    async def aclose(self) -> None:
        await self._reader.aclose()


def make_deployment(config: RedisConfig) -> Deployment:
    """Make the deployment that the settings describe."""
    if config.sentinels:
        return Sentinel(config)
    return Cluster(config) if config.cluster else Standalone(config)
