"""What the feed and the store need to know of how Redis is deployed, and the simplest case: one server.

`connect` is for the link that listens, `execute` for reads; each fails at once or after one timeout.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from gateway.redis.cluster import Cluster
from gateway.redis.connections import Connector, connect, execute, pipelined
from gateway.redis.sentinel import Sentinel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.connection import AbstractConnection

    from gateway.config import RedisConfig
    from gateway.redis.connections import Address, CommandPart


class Deployment(Protocol):
    """Raises `RedisError` or `OSError`, wherever it cannot be reached."""

    async def connect(self) -> AbstractConnection:
        """A new connection to a server that hears whatever is published by `PUBLISH`."""
        ...

    async def moved(self, connection: AbstractConnection) -> str:
        """Returns, with the reason, when that connection should be given up though it answers; else never."""
        ...

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        """Carry a command out where its keys are (they follow the name, a script's as for EVAL), or where `at` says."""
        ...

    async def execute_all(self, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        """Several reads in one round trip for each server; what the server refused is an exception in its place."""
        ...

    async def holders(self) -> Sequence[Address | None]:
        """Every server that holds a part of the keys; `None` where there is only one."""
        ...

    async def aclose(self) -> None: ...


class Standalone:
    """One server at a fixed place."""

    def __init__(self, config: RedisConfig) -> None:
        self._dialer = Connector(config)
        self._reader = self._dialer.reader()

    async def connect(self) -> AbstractConnection:
        return await connect(self._dialer.connection())

    async def moved(self, connection: AbstractConnection) -> str:
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        return await execute(self._reader, *command)

    async def execute_all(self, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        return await pipelined(self._reader, commands)

    async def holders(self) -> Sequence[Address | None]:
        return [None]

    async def aclose(self) -> None:
        await self._reader.aclose()


def deployment(config: RedisConfig) -> Deployment:
    """The deployment that the settings describe."""
    if config.sentinels:
        return Sentinel(config)
    return Cluster(config) if config.cluster else Standalone(config)
