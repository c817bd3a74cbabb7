"""A Redis Cluster: finds its nodes, carries each read to the owner of its slot, follows MOVED and ASK.

Of several nodes that are asked for the map the one with the highest epoch is believed: a node that was cut off from
the others still claims its old slots. Not redis-py's cluster client, because that waits and retries by itself and sends
ASKING on another connection than the question.
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

from gateway.redis.connections import Address, Connector, connect, pipelined
from gateway.redis.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

    from gateway.config import RedisConfig
    from gateway.redis.connections import CommandPart

logger = logging.getLogger(__name__)

ASKED_MAX = 6
"""Nodes asked for the map at a time: enough to outvote one that was cut off."""

REDIRECTS_MAX = 5
"""Redirections followed for one read; a cluster at peace with itself needs one."""

LOOK_AGAIN_S = 0.5
"""Between two looks at the map that reads ask for."""

SPLIT = {"MGET", "EXISTS"}
"""Commands whose keys may live in several slots: one request for each key."""

SCRIPTS = {"EVAL", "EVALSHA"}
"""Commands that name a script and the number of keys before the keys."""


class Cluster:
    """A `Deployment`. PUBLISH reaches every node, so one link to any of them hears all of it."""

    def __init__(self, config: RedisConfig) -> None:
        self._dialer = Connector(config)
        self._seeds = [Address.of(text) for text in config.cluster]
        self._look_s = config.watchdog_s
        self.slots = Slots()
        """The newest map; empty before the first."""
        self._fresh = False
        self._found_s = 0.0
        """When the map was last got, on the loop's clock."""
        self._finding = asyncio.Lock()
        self._readers: dict[Address, Redis] = {}
        self._connected: Address | None = None

    async def connect(self) -> AbstractConnection:
        """To a master, another one than the last time where there is one."""
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
        return await connect(self._dialer.connection(node))

    async def moved(self, connection: AbstractConnection) -> str:
        connected = self._connected
        while True:
            await asyncio.sleep(self._look_s)
            try:
                if connected not in (await self.find()).nodes:
                    return f"{connected} is no longer of the cluster"
            except (RedisError, OSError) as error:
                # The link itself is well, as far as anybody can say.
                logger.debug("cluster: %s", error)

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        name, *keys = command
        if at is not None:
            return await self._at(at, command)
        if not keys:
            return await self._at(random.choice(await self.holders()), command)
        if name in SPLIT and len(keys) > 1:
            answers = await self.execute_all([(name, key) for key in keys])
            if refused := [answer for answer in answers if isinstance(answer, Exception)]:
                raise refused[0]
            return sum(answers) if name == "EXISTS" else [value for answer in answers for value in answer]
        return await self._routed(*command)

    async def execute_all(self, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        await self._look()
        places: dict[Address | None, list[int]] = defaultdict(list)
        for place, command in enumerate(commands):
            places[self.slots.owner(_key(command))].append(place)
        if None in places:
            raise self._unserved()
        owners = [owner for owner in places if owner is not None]
        answers = await asyncio.gather(
            *(self._all_at(owner, [commands[place] for place in places[owner]]) for owner in owners)
        )
        found: list[Any] = [None] * len(commands)
        for owner, some in zip(owners, answers, strict=True):
            for place, answer in zip(places[owner], some, strict=True):
                redirected = isinstance(answer, MovedError | AskError)
                found[place] = await self._routed(*commands[place]) if redirected else answer
        return found

    async def holders(self) -> Sequence[Address]:
        await self._look()
        return self.slots.owners

    async def find(self) -> Slots:
        """Ask for the map anew. Raises `RedisConnectionError` where no node has one."""
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

    async def _look(self) -> None:
        """Ask for the map anew where it is in doubt; a node that is away must not make every read ask for it."""
        doubted = not self._fresh and asyncio.get_running_loop().time() - self._found_s >= LOOK_AGAIN_S
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
        await self._look()
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
                # One slot that moved is seldom alone: the next read asks for the whole map.
                self._fresh = False
            except AskError as error:
                owner, asking = _redirected(error, owner), True
        raise RedisConnectionError(f"sent from node to node {REDIRECTS_MAX} times")

    async def _at(self, node: Address, command: Sequence[CommandPart], *, asking: bool = False) -> Any:
        answer = (await self._all_at(node, [("ASKING",), command] if asking else [command]))[-1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _all_at(self, node: Address, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        reader = self._readers.get(node)
        if reader is None:
            reader = self._readers[node] = self._dialer.reader(node)
        try:
            return await pipelined(reader, commands)
        except (RedisConnectionError, RedisTimeoutError, OSError):
            self._fresh = False
            raise

    def _unserved(self) -> RedisConnectionError:
        self._fresh = False
        return RedisConnectionError("nobody serves the slot just now")


def _redirected(error: MovedError | AskError, asked: Address) -> Address:
    """Where to; a node that does not know its own host means the one that was asked."""
    return Address(error.host or asked.host, error.port)


def _key(command: Sequence[CommandPart]) -> bytes:
    """The first key; all others are where it is."""
    return _bytes(command[3 if command[0] in SCRIPTS else 1])


def _bytes(word: CommandPart) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()
