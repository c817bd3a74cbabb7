"""The process of the attackers: each one attacks, is disconnected and comes back, as long as the phase lasts."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from loadtest.attack.attacks import ATTACKS
from loadtest.attack.connection import AttackConnection
from loadtest.protocol.messages import AttackSample

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from loadtest.attack.attacks import Attack
    from loadtest.protocol.messages import Plan

RECONNECT_S = 1.0
"""Time from the end of an attacker's connection to its next one."""

SPREAD_S = 5.0
"""Time over which the first connections are spread."""

_SOURCE_ADDRESSES = 250


class Attackers:
    """The attackers of the plan's scenario, as tasks of one event loop."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kinds = [kind for kind, count in plan.scenario.attackers.items() for _ in range(count)]
        self._outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)

    async def run(self, pipe: Connection) -> None:
        """Execute the commands from `pipe` until `stop`; send an `AttackSample` at the end of each phase."""
        phase = ""
        tasks: list[asyncio.Task[None]] = []
        while True:
            await asyncio.sleep(0.02)
            if not pipe.poll():
                continue
            command = pipe.recv()
            if phase:
                pipe.send(AttackSample(phase, {kind: dict(counts) for kind, counts in self._outcomes.items()}))
                self._outcomes.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if command.verb == "stop":
                return
            phase = command.phase if command.verb == "attack" else ""
            tasks = [asyncio.create_task(self._repeat(n, kind)) for n, kind in enumerate(self._kinds) if phase]

    async def _repeat(self, number: int, kind: str) -> None:
        await asyncio.sleep(number % 100 / 100 * SPREAD_S)
        source = f"127.0.2.{number % _SOURCE_ADDRESSES + 1}"
        while True:
            with suppress(OSError):
                self._outcomes[kind][await self._attack(ATTACKS[kind], source)] += 1
            await asyncio.sleep(RECONNECT_S)

    async def _attack(self, attack: Attack, source: str) -> str:
        """Attack once; returns how the connection ended."""
        async with AttackConnection(self._plan.host, self._plan.port, source) as connection:
            if attack.handshake is not None:
                await connection.upgrade(*attack.handshake)
            script = asyncio.ensure_future(attack.script(connection, self._plan.scenario.symbols))
            try:
                await asyncio.sleep(attack.no_read_s)
                return await connection.wait_for_end(attack.timeout_s)
            finally:
                script.cancel()
                await asyncio.gather(script, return_exceptions=True)


def main(plan: Plan, pipe: Connection) -> None:
    """Entry of the process. Its low priority keeps the swarm's measurements clean of the attackers' work."""
    os.nice(15)
    attackers = Attackers(plan)
    pipe.send("ready")
    asyncio.run(attackers.run(pipe))
