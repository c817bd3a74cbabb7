"""The processes of a run and the pipes to them. Starts, listens to and ends them; decides nothing about the load."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from loadtest.attack import process as attack_process
from loadtest.feeder import process as feeder_process
from loadtest.swarm import http_load
from loadtest.swarm import process as swarm_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess

    from loadtest.protocol.messages import Command, Message, Plan

_START_S = 60.0
_ANSWER_S = 60.0


class ProcessError(Exception):
    """A process of the harness ended early, or did not answer in time."""


class ProcessGroup:
    """`on_message` takes every message on arrival, also while the caller waits for something else."""

    def __init__(self, on_message: Callable[[Message], None]) -> None:
        self._on_message = on_message
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[Connection, SpawnProcess] = {}
        self.feeder: Connection | None = None
        self.swarm: list[Connection] = []
        self.http: Connection | None = None
        self.attackers: Connection | None = None

    def start_feeder(self, plan: Plan) -> None:
        """Start the feeder; returns when what the gateway reads at its start is stored."""
        self.feeder = self._start("feeder", feeder_process.main, plan)

    def start_clients(self, plan: Plan) -> None:
        """Start the processes of all clients that the scenario has."""
        if plan.scenario.clients.count:
            self.swarm = [self._start("swarm", swarm_process.main, plan, part) for part in range(plan.parts)]
        if plan.scenario.http.connections:
            self.http = self._start("http", http_load.main, plan)
        if plan.scenario.attackers:
            self.attackers = self._start("attackers", attack_process.main, plan)

    def send(self, command: Command, *pipes: Connection | None) -> None:
        """Send a command to the given processes; None stands for one that the scenario does not have."""
        for pipe in pipes:
            if pipe is not None:
                pipe.send(command)

    def receive_for(self, seconds: float) -> None:
        """Take messages for so long."""
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            self._receive_any(left_s)

    def receive_until(self, condition: Callable[[], bool], what: str, timeout_s: float = _ANSWER_S) -> None:
        """Take messages until the condition holds; raises `ProcessError` after `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if (left_s := deadline_s - time.monotonic()) <= 0:
                raise ProcessError(f"waited {timeout_s:g} s for {what}")
            self._receive_any(min(left_s, 0.5))

    def stop(self) -> None:
        """End the processes that still run."""
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
            raise ProcessError(f"the {name} process did not start")
        self._receive(ours)
        return ours

    def _receive_any(self, timeout_s: float) -> None:
        for pipe in wait(list(self._processes), timeout_s):
            if isinstance(pipe, Connection) and (message := self._receive(pipe)) is not None:
                self._on_message(message)

    def _receive(self, pipe: Connection) -> Any:
        """The next message; None from a process that has ended as planned."""
        try:
            return pipe.recv()
        except EOFError as error:
            process = self._processes[pipe]
            process.join(1)
            if process.exitcode == 0:
                del self._processes[pipe]
                return None
            raise ProcessError(f"the {process.name} process ended with status {process.exitcode}") from error
