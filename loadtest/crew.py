"""The processes of a run and the pipes to them. Owns starting, listening and ending; decides nothing about the load."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from loadtest import attackers, feed, http_load, swarm_process
from loadtest.attackers import AttackTick
from loadtest.http_load import HttpTick
from loadtest.messages import Command, FeedTick, Plan, SwarmEnd, SwarmTick

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess

_START_S = 60.0
_ANSWER_S = 60.0

Message = FeedTick | SwarmTick | SwarmEnd | HttpTick | AttackTick


class CrewError(Exception):
    """A process of the harness ended or did not answer."""


class Crew:
    """`heard` takes every message as it comes, also while something else is awaited."""

    def __init__(self, heard: Callable[[Message], None]) -> None:
        self._heard = heard
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[Connection, SpawnProcess] = {}
        self.feeder: Connection | None = None
        self.swarm: list[Connection] = []
        self.http: Connection | None = None
        self.attackers: Connection | None = None

    def start_feeder(self, plan: Plan) -> None:
        self.feeder = self._start("feeder", feed.main, plan)

    def start_clients(self, plan: Plan) -> None:
        if plan.scenario.clients.count:
            self.swarm = [self._start("swarm", swarm_process.main, plan, part) for part in range(plan.parts)]
        if plan.scenario.http.connections:
            self.http = self._start("http", http_load.main, plan)
        if plan.scenario.attackers:
            self.attackers = self._start("attackers", attackers.main, plan)

    def tell(self, command: Command, *pipes: Connection | None) -> None:
        for pipe in pipes:
            if pipe is not None:
                pipe.send(command)

    def listen(self, seconds: float) -> None:
        """Hear what comes for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._hear(left)

    def until(self, met: Callable[[], bool], what: str, most_s: float = _ANSWER_S) -> None:
        """Hear what comes until the condition is met."""
        deadline = time.monotonic() + most_s
        while not met():
            if (left := deadline - time.monotonic()) <= 0:
                raise CrewError(f"waited {most_s:g} s for {what}")
            self._hear(min(left, 0.5))

    def stop(self) -> None:
        """End what is still there."""
        for pipe, process in self._processes.items():
            if process.is_alive():
                process.join(2)
            if process.is_alive():
                process.terminate()
                process.join()
            pipe.close()
        self._processes.clear()

    def _start(self, name: str, target: Callable[..., None], *arguments: Any) -> Connection:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=target, args=(*arguments, theirs), name=name, daemon=True)
        process.start()
        theirs.close()
        self._processes[ours] = process
        if not ours.poll(_START_S):
            raise CrewError(f"the {name} process did not start")
        self._receive(ours)
        return ours

    def _hear(self, most_s: float) -> None:
        for pipe in wait(list(self._processes), most_s):
            if isinstance(pipe, Connection) and (message := self._receive(pipe)) is not None:
                self._heard(message)

    def _receive(self, pipe: Connection) -> Any:
        try:
            return pipe.recv()
        except EOFError as error:
            process = self._processes[pipe]
            process.join(1)
            if process.exitcode == 0:
                del self._processes[pipe]
                return None
            raise CrewError(f"the {process.name} process ended with status {process.exitcode}") from error
