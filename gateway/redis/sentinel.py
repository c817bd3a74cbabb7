"""A master that Sentinel watches: asked for at every connection, followed when it moves.

All sentinels are asked, and the one that has seen the newest failover is believed: one that was cut off from the
others still names the old master. What a sentinel says is checked with the server itself.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.redis.connections import Address, Connector, ask, connect, execute, pipelined

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

    from gateway.config import RedisConfig
    from gateway.redis.connections import CommandPart

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Sentinel:
    """A `Deployment`. The link that listens and the reads go to the same master."""

    def __init__(self, config: RedisConfig) -> None:
        self._dialer = Connector(config)
        self._sentinels = [Address.of(text) for text in config.sentinels]
        self._name = config.sentinel_master
        self._look_s = config.watchdog_s
        self._master: Address | None = None
        """As last heard; `None` when that has proved wrong."""
        self._reader: Redis | None = None
        self._reading: Address | None = None
        """Where `_reader` reads."""

    async def connect(self) -> AbstractConnection:
        master = await self._find()
        connection = await connect(self._dialer.connection(master))
        try:
            role = (await ask(connection, "ROLE"))[0]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        if role != b"master":
            await connection.disconnect(nowait=True)
            raise RedisConnectionError(f"{master} is no master yet, though the sentinels name it")
        return connection

    async def moved(self, connection: AbstractConnection) -> str:
        connected = self._master
        while True:
            await asyncio.sleep(self._look_s)
            try:
                if connected != await self._find():
                    return f"the master has moved to {self._master}"
            except (RedisError, OSError) as error:
                # The link itself is well, as far as anybody can say.
                logger.debug("sentinels: %s", error)

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        return await self._at_master(lambda master: execute(master, *command))

    async def execute_all(self, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        return await self._at_master(lambda master: pipelined(master, commands))

    async def holders(self) -> Sequence[Address | None]:
        return [None]

    async def aclose(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.aclose()

    async def _at_master(self, read: Callable[[Redis], Awaitable[T]]) -> T:
        reader = await self._reader_of_master()
        try:
            return await read(reader)
        except (RedisConnectionError, RedisTimeoutError, OSError):
            if self._reading == self._master:
                self._master = None
            raise

    async def _reader_of_master(self) -> Redis:
        master = self._master or await self._find()
        if self._reader is None or self._reading != master:
            await self.aclose()
            self._reader, self._reading = self._dialer.reader(master), master
        return self._reader

    async def _find(self) -> Address:
        """Where the master is. Raises `RedisConnectionError` where no sentinel can say."""
        answers = await asyncio.gather(*map(self._ask, self._sentinels), return_exceptions=True)
        if unexpected := [answer for answer in answers if not isinstance(answer, tuple | RedisError | OSError)]:
            raise unexpected[0]
        heard = [answer for answer in answers if isinstance(answer, tuple)]
        if not heard:
            raise RedisConnectionError(f"no sentinel knows where {self._name} is: {answers[0]}")
        found = max(heard, key=lambda answer: answer[0])[1]
        if found != self._master:
            logger.info("master %s is at %s", self._name, found)
            self._master = found
        return found

    async def _ask(self, sentinel: Address) -> tuple[int, Address]:
        """How many failovers it has seen, and where the master is."""
        async with self._dialer.sentinel(sentinel) as link:
            flat: list[bytes] = await execute(link, "SENTINEL", "MASTER", self._name)
        facts = dict(zip(flat[::2], flat[1::2], strict=False))
        return int(facts[b"config-epoch"]), Address(facts[b"ip"].decode(), int(facts[b"port"]))
