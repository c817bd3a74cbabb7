"""The attackers of a run, in a process of their own: each attacks, is cut, and comes again, while the phase lasts."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.attack_line import Line
from loadtest.attacks import ATTACKS

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from loadtest.attacks import Attack
    from loadtest.messages import Plan

AGAIN_S = 1.0
"""An attacker that is cut comes back after so long."""

SPREAD_S = 5.0
"""They do not all begin in the same moment."""

_HOSTS = 250


@dataclass(frozen=True, slots=True)
class AttackTick:
    """Attack -> how its connections ended -> how often, in the phase that is over."""

    phase: str
    outcomes: dict[str, dict[str, int]]


class Attackers:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kinds = [kind for kind, count in plan.scenario.attackers.items() for _ in range(count)]
        self._outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)

    async def run(self, pipe: Connection) -> None:
        """Attack while a phase says so; the outcomes are told as it ends."""
        phase = ""
        tasks: list[asyncio.Task[None]] = []
        while True:
            await asyncio.sleep(0.02)
            if not pipe.poll():
                continue
            order = pipe.recv()
            if phase:
                pipe.send(AttackTick(phase, {kind: dict(counts) for kind, counts in self._outcomes.items()}))
                self._outcomes.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if order.word == "stop":
                return
            phase = order.name if order.word == "attack" else ""
            tasks = [asyncio.create_task(self._attack(n, kind)) for n, kind in enumerate(self._kinds) if phase]

    async def _attack(self, number: int, kind: str) -> None:
        await asyncio.sleep(number % 100 / 100 * SPREAD_S)
        source = f"127.0.2.{number % _HOSTS + 1}"
        while True:
            with suppress(OSError):
                self._outcomes[kind][await self._once(ATTACKS[kind], source)] += 1
            await asyncio.sleep(AGAIN_S)

    async def _once(self, attack: Attack, source: str) -> str:
        async with Line(self._plan.host, self._plan.port, source) as line:
            if attack.handshake is not None:
                await line.upgrade(*attack.handshake)
            script = asyncio.ensure_future(attack.script(line, self._plan.scenario.symbols))
            try:
                await asyncio.sleep(attack.blind_s)
                return await line.end(attack.patience_s)
            finally:
                script.cancel()
                await asyncio.gather(script, return_exceptions=True)


def main(plan: Plan, pipe: Connection) -> None:
    """Entry of the process. It yields to the rest of the harness: a swarm that must wait would measure attackers."""
    os.nice(15)
    attackers = Attackers(plan)
    pipe.send("ready")
    asyncio.run(attackers.run(pipe))
