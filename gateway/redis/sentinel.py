"""A master that Sentinel watches: its address is asked for at every connection, and connections follow a failover.

All sentinels are asked, and the answer with the newest config epoch wins: a sentinel that was cut off from the others
still names the old master. The server that it names must also call itself a master (ROLE).

redis-py's own Sentinel (8.1) was tried in its place. It takes the first sentinel that answers, whatever its epoch, and
stays with an outdated one: that fails `test_the_sentinel_with_the_newest_epoch_wins` in `tests/integration`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.redis.connections import Address, Connector, connect, execute, pipelined, renew, request, run_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

    from gateway.config import RedisConfig
    from gateway.redis.connections import CommandPart

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Sentinel:
    """A `Deployment`. Subscriptions and reads go to the same master."""

    def __init__(self, config: RedisConfig, connector: Connector | None = None) -> None:
        self._connector = connector or Connector(config)
        self._sentinels = [Address.of(text) for text in config.sentinels]
        self._name = config.sentinel_master
        self._check_s = config.watchdog_s
        self._master: Address | None = None
        """As the sentinels last said; `None` after a read there has failed."""
        self._reader: Redis | None = None
        self._reader_master: Address | None = None
        """The master that `_reader` reads from."""

    async def connect(self) -> AbstractConnection:
        master = await self._find()
        connection = await connect(self._connector.connection(master))
        try:
            role = (await request(connection, "ROLE"))[0]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        if role != b"master":
            await connection.disconnect(nowait=True)
            raise RedisConnectionError(f"{master} is not a master, although the sentinels name it")
        return connection

    async def moved(self, connection: AbstractConnection) -> str:
        connected = self._master
        while True:
            await asyncio.sleep(self._check_s)
            try:
                if connected != await self._find():
                    return f"the master has moved to {self._master}"
            except (RedisError, OSError) as error:
                # Only the sentinels could not be asked: the connection itself may still work.
                logger.debug("sentinels: %s", error)

    async def server(self, connection: AbstractConnection) -> str:
        return await run_id(connection)

    async def refresh(self) -> None:
        if self._reader is not None:
            await renew(self._reader)

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        return await self._at_master(lambda master: execute(master, *command))

    async def execute_all(self, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        return await self._at_master(lambda master: pipelined(master, commands))

    async def owners(self) -> Sequence[Address | None]:
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
            if self._reader_master == self._master:
                self._master = None
            raise

    async def _reader_of_master(self) -> Redis:
        master = self._master or await self._find()
        reader = self._reader
        if reader is None or self._reader_master != master:
            # Replaced before the first `await`: of parallel reads only one may make a reader, or the others' leak.
            before, reader = reader, self._connector.reader(master)
            self._reader, self._reader_master = reader, master
            if before is not None:
                await before.aclose()
        return reader

    async def _find(self) -> Address:
        """Ask all sentinels for the master's address. Raises `RedisConnectionError` where none knows it."""
        answers = await asyncio.gather(*map(self._ask, self._sentinels), return_exceptions=True)
        if unexpected := [answer for answer in answers if not isinstance(answer, tuple | RedisError | OSError)]:
            raise unexpected[0]
        known = [answer for answer in answers if isinstance(answer, tuple)]
        if not known:
            raise RedisConnectionError(f"no sentinel knows the master {self._name}: {answers[0]}")
        found = max(known, key=lambda answer: answer[0])[1]
        if found != self._master:
            logger.info("master %s is at %s", self._name, found)
            self._master = found
        return found

    async def _ask(self, sentinel: Address) -> tuple[int, Address]:
        """The sentinel's newest config epoch, which grows with each failover, and the master's address."""
        async with self._connector.sentinel(sentinel) as connection:
            flat: list[bytes] = await execute(connection, "SENTINEL", "MASTER", self._name)
        facts = dict(zip(flat[::2], flat[1::2], strict=False))
        return int(facts[b"config-epoch"]), Address(facts[b"ip"].decode(), int(facts[b"port"]))
