"""A Redis Cluster: finds its nodes, sends each read to the owner of its slot, follows MOVED and ASK.

Several nodes are asked for the slot map, and the answer with the highest epoch wins: a node that was cut off from the
others still claims its old slots. redis-py's cluster client does not fit, because it waits and retries by itself and
sends ASKING on another connection than the command.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from redis.exceptions import AskError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.redis.connections import Address, Connector, connect, pipelined, renew
from gateway.redis.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

    from gateway.config import RedisConfig
    from gateway.redis.connections import CommandPart

logger = logging.getLogger(__name__)

ASKED_MAX = 6
"""Seeds, and as many other nodes, that are asked for the map: enough to include one with the newest epoch."""

REDIRECTS_MAX = 5
"""Redirections followed for one read; a cluster whose nodes agree needs one."""

REFRESH_AGAIN_S = 0.5
"""Shortest time between two refreshes of the map that failed reads cause."""

SPLIT = {"MGET", "EXISTS"}
"""Commands whose keys may be in several slots: they are split into one command per key."""

SCRIPTS = {"EVAL", "EVALSHA"}
"""Commands that name a script and the number of keys before the keys."""


class Cluster:
    """A `Deployment`. PUBLISH reaches every node, so one connection to any of them receives every message."""

    def __init__(self, config: RedisConfig, connector: Connector | None = None) -> None:
        self._connector = connector or Connector(config)
        self._seeds = [Address.of(text) for text in config.cluster]
        self._check_s = config.watchdog_s
        self.slots = Slots()
        """The newest map; empty before the first."""
        self._fresh = False
        self._found_s = 0.0
        """When the map was last read, on the loop's clock."""
        self._finding = asyncio.Lock()
        self._readers: dict[Address, Redis] = {}
        self._connected: Address | None = None

    async def connect(self) -> AbstractConnection:
        """Connect to a random master, the previous one only when no other can be reached."""
        slots = await self.find()
        masters = slots.owners
        random.shuffle(masters)
        reason = ""
        masters.sort(key=lambda master: master == self._connected)
        for master in masters:
            try:
                connection = await self.connect_to(master)
            except (RedisError, OSError) as error:
                reason = str(error)
                continue
            self._connected = master
            return connection
        raise RedisConnectionError(f"no master of the cluster can be reached: {reason}")

    async def connect_to(self, node: Address) -> AbstractConnection:
        """Connect to this node, for its sharded channels."""
        return await connect(self._connector.connection(node))

    async def moved(self, connection: AbstractConnection) -> str:
        connected = self._connected
        while True:
            await asyncio.sleep(self._check_s)
            try:
                if connected not in (await self.find()).nodes:
                    return f"{connected} has left the cluster"
            except (RedisError, OSError) as error:
                # Only the map could not be read: the connection itself may still work.
                logger.debug("cluster: %s", error)

    async def server(self, connection: AbstractConnection) -> str:
        # Every node gets every message, so another node is no sign that messages were missed.
        return ""

    async def refresh(self) -> None:
        for reader in list(self._readers.values()):
            await renew(reader)

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        name, *keys = command
        if at is not None:
            return await self._at(at, command)
        if not keys:
            return await self._at(random.choice(await self.owners()), command)
        if name in SPLIT and len(keys) > 1:
            answers = await self.execute_all([(name, key) for key in keys])
            if refused := [answer for answer in answers if isinstance(answer, Exception)]:
                raise refused[0]
            return sum(answers) if name == "EXISTS" else [value for answer in answers for value in answer]
        return await self._routed(*command)

    async def execute_all(self, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        await self._refresh_if_doubted()
        indexes: dict[Address | None, list[int]] = defaultdict(list)
        for index, command in enumerate(commands):
            indexes[self.slots.owner(_key(command))].append(index)
        if None in indexes:
            raise self._unserved()
        owners = [owner for owner in indexes if owner is not None]
        answers = await asyncio.gather(
            *(self._all_at(owner, [commands[index] for index in indexes[owner]]) for owner in owners)
        )
        found: list[Any] = [None] * len(commands)
        for owner, some in zip(owners, answers, strict=True):
            for index, answer in zip(indexes[owner], some, strict=True):
                redirected = isinstance(answer, MovedError | AskError)
                found[index] = await self._routed(*commands[index]) if redirected else answer
        return found

    async def owners(self) -> Sequence[Address]:
        await self._refresh_if_doubted()
        return self.slots.owners

    async def find(self) -> Slots:
        """Read the slot map again and return it. Raises `RedisConnectionError` where no node has one."""
        async with self._finding:
            known = list(self.slots.nodes - set(self._seeds))
            asked = [*self._seeds[:ASKED_MAX], *random.sample(known, min(len(known), ASKED_MAX))]
            answers = await asyncio.gather(*map(self._map_of, asked), return_exceptions=True)
            if unexpected := [answer for answer in answers if not isinstance(answer, tuple | RedisError | OSError)]:
                raise unexpected[0]
            maps = [answer for answer in answers if isinstance(answer, tuple) and answer[1].owners]
            if not maps:
                raise RedisConnectionError(f"no node of the cluster knows its slots: {answers[0]}")
            slots = max(maps, key=lambda answer: answer[0])[1]
            if slots != self.slots:
                logger.info("cluster: slots are with %s", ", ".join(map(str, slots.owners)))
            self.slots, self._fresh = slots, True
            self._found_s = asyncio.get_running_loop().time()
            for gone in self._readers.keys() - slots.nodes - set(self._seeds):
                await self._readers.pop(gone).aclose()
            return slots

    async def _refresh_if_doubted(self) -> None:
        """Refresh the map if a read has failed since; an unreachable node must not make every read do that."""
        doubted = not self._fresh and asyncio.get_running_loop().time() - self._found_s >= REFRESH_AGAIN_S
        if doubted or not self.slots.owners:
            await self.find()

    async def aclose(self) -> None:
        while self._readers:
            await self._readers.popitem()[1].aclose()

    async def _map_of(self, node: Address) -> tuple[int, Slots]:
        info: bytes = await self._at(node, ("CLUSTER", "INFO"))
        answer = await self._at(node, ("CLUSTER", "SLOTS"))
        facts = dict(line.partition(b":")[::2] for line in info.split(b"\r\n"))
        return int(facts.get(b"cluster_current_epoch", 0)), Slots(answer, node)

    async def _routed(self, *command: CommandPart) -> Any:
        key = _key(command)
        await self._refresh_if_doubted()
        owner = self.slots.owner(key)
        asking = False
        for _ in range(REDIRECTS_MAX):
            if owner is None:
                raise self._unserved()
            try:
                return await self._at(owner, command, asking=asking)
            except MovedError as error:
                owner, asking = _redirected(error, owner), False
                self.slots.move(key, owner)
                # Slots seldom move alone: the next read refreshes the whole map.
                self._fresh = False
            except AskError as error:
                owner, asking = _redirected(error, owner), True
        raise RedisConnectionError(f"redirected more than {REDIRECTS_MAX} times")

    async def _at(self, node: Address, command: Sequence[CommandPart], *, asking: bool = False) -> Any:
        answer = (await self._all_at(node, [("ASKING",), command] if asking else [command]))[-1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _all_at(self, node: Address, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        reader = self._readers.get(node)
        if reader is None:
            reader = self._readers[node] = self._connector.reader(node)
        try:
            return await pipelined(reader, commands)
        except (RedisConnectionError, RedisTimeoutError, OSError):
            self._fresh = False
            raise

    def _unserved(self) -> RedisConnectionError:
        self._fresh = False
        return RedisConnectionError("no node serves the slot")


def _redirected(error: MovedError | AskError, asked: Address) -> Address:
    """The target of a redirection; without a host it is the host that was asked."""
    return Address(error.host or asked.host, error.port)


def _key(command: Sequence[CommandPart]) -> bytes:
    """The first key; all others are in the same slot."""
    return _bytes(command[3 if command[0] in SCRIPTS else 1])


def _bytes(word: CommandPart) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()
