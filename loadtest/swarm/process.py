"""One process of the swarm: executes commands, sends a sample each second, checks its followers at the end."""

from __future__ import annotations

import gc
import resource
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.protocol.ages import Ages
from loadtest.protocol.dialects import DIALECTS
from loadtest.protocol.messages import Command, Plan, SwarmEnd, SwarmSample
from loadtest.report.checker import Checker
from loadtest.report.recording import Joined, Ledger, Left, Recorder
from loadtest.swarm.client import Client, State, make_clients
from loadtest.swarm.follower import SUMS
from loadtest.swarm.swarm import Swarm

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from loadtest.report.recording import Event

_REPORT_NS = 1_000_000_000
_EXAMPLES = 20


class SwarmProcess:
    """The clients of one part, and the pipe to the run."""

    def __init__(self, plan: Plan, part: int, pipe: Connection, recorder: Recorder | None) -> None:
        self._plan, self._part, self._pipe, self._recorder = plan, part, pipe, recorder
        self._checker = Checker()
        scenario = plan.scenario
        dialect = DIALECTS[scenario.clients.dialect]
        host = f"{plan.host}:{plan.port}"
        indexes = range(part, scenario.clients.count, plan.parts)
        self._clients = make_clients(scenario, dialect, host, self._record, indexes)
        at_once = max(1, scenario.clients.at_once // plan.parts)
        address, klines = (plan.host, plan.port), scenario.clients.klines > 0
        self._swarm = Swarm(
            self._clients, dialect, address, plan.epoch_ns, at_once=at_once, klines=klines, tls=scenario.tls
        )
        self._swarm.on_connected, self._swarm.on_disconnected = self._joined, self._left
        self._swarm.reconnect = scenario.clients.reconnect
        self._swarm.limit_slow(scenario.clients.slow_bytes_per_s)
        self._swarm.watch(pipe.fileno())
        self._phase = "warm-up"
        self._ready_ages: defaultdict[str, Ages] = defaultdict(Ages)
        self._began_ns = self._reported_ns = time.monotonic_ns()

    def run(self) -> None:
        gc.freeze()
        gc.disable()
        while True:
            self._swarm.step(0.2)
            now_ns = time.monotonic_ns()
            if now_ns - self._reported_ns >= _REPORT_NS:
                self._pipe.send(self._sample(now_ns))
            if self._pipe.poll() and not self._execute(self._pipe.recv(), now_ns):
                return

    def _execute(self, command: Command, now_ns: int) -> bool:
        match command.verb:
            case "connect":
                share = sum(client.index < command.value for client in self._clients)
                self._swarm.connect(share, now_ns)
            case "phase":
                self._pipe.send(self._sample(now_ns, boundary=True))
                self._phase = command.phase
            case "drop":
                self._swarm.drop(now_ns)
            case "drain":
                self._swarm.limit_slow(0)
            case "stop":
                self._pipe.send(self._sample(now_ns, boundary=True))
                self._pipe.send(self._end(command))
                self._swarm.close()
                return False
        return True

    def _record(self, event: Event) -> None:
        self._checker.check(event)
        if self._recorder:
            self._recorder.write(event)

    def _joined(self, client: Client) -> None:
        if client.follower:
            self._record(Joined(client.index))

    def _left(self, client: Client) -> None:
        if client.follower:
            self._record(Left(client.index))

    def _sample(self, now_ns: int, *, boundary: bool = False) -> SwarmSample:
        swarm, totals = self._swarm, self._swarm.totals
        elapsed_ns = max(1, now_ns - self._reported_ns)
        sample = SwarmSample(
            part=self._part,
            phase=self._phase,
            elapsed_s=(now_ns - self._began_ns) / 1e9,
            connected=swarm.connected,
            ready=swarm.ready,
            updates=totals.updates,
            updates_slow=totals.updates_slow,
            closed=totals.closed,
            closed_slow=totals.closed_slow,
            frames=totals.frames,
            bytes=totals.bytes,
            reads=totals.reads,
            busy=max(0.0, 1 - totals.idle_ns / elapsed_ns),
            worst_pass_ms=totals.worst_pass_ns / 1e6,
            cpu_s=time.process_time(),
            ages=dict(totals.ages),
            closes=dict(totals.closes),
            notices=dict(totals.notices),
            boundary=boundary,
        )
        self._ready_ages[self._phase].merge(totals.ready_ages)
        totals.reset_sample()
        self._reported_ns = now_ns
        return sample

    def _end(self, command: Command) -> SwarmEnd:
        final = {s: p for s, p in zip(self._plan.scenario.symbols, command.prices, strict=True) if p}
        ledger = Ledger(command.ledger)
        self._checker.finish(ledger)
        if self._recorder:
            self._recorder.write(ledger)
        sums = dict.fromkeys(SUMS, 0)
        not_current: list[str] = []
        for client in self._clients:
            if client.follower is None:
                continue
            if client.state is State.READY:
                not_current += client.follower.compare_final(final)
            for name, value in client.follower.sums.items():
                sums[name] += value
        return SwarmEnd(
            part=self._part,
            decoded=sums,
            kline_faults=dict(self._checker.faults),
            klines_checked=self._checker.checked,
            examples=tuple(self._checker.examples + not_current[:_EXAMPLES]),
            ready_ms=dict(self._ready_ages),
        )


def main(plan: Plan, part: int, pipe: Connection) -> None:
    """Entry of the process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = plan.scenario.clients.count // plan.parts + 200
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise OSError(f"{wanted} open files needed, {hard} allowed: raise the limit or use more swarm processes")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with ExitStack() as stack:
        recorder = None
        if plan.recording:
            path = Path(f"{plan.recording}.{part}.jsonl")
            recorder = Recorder(stack.enter_context(path.open("wb", buffering=1 << 16)), plan.scenario.title)
        process = SwarmProcess(plan, part, pipe, recorder)
        pipe.send("ready")
        process.run()
