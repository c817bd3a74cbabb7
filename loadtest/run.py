"""One run from start to end: store, gateway, clients, feed, phases, drain, verdicts. Owns the order of the steps."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from loadtest import baseline
from loadtest.attack.attacks import ATTACKS
from loadtest.gateway_process import Gateway
from loadtest.process_group import ProcessGroup
from loadtest.processes import cores, machine
from loadtest.protocol.ages import Ages
from loadtest.protocol.dialects import DIALECTS
from loadtest.protocol.messages import Command, Plan
from loadtest.report.load_levels import load_changes, recovery_s
from loadtest.report.measure import Subscribers, growth, phase_result, warnings
from loadtest.report.observer import Observer
from loadtest.report.result import (
    AttackResult,
    Checks,
    Connecting,
    LoadChange,
    MemoryStep,
    PhaseResult,
    Result,
    bytes_per_write,
    events_per_write,
    judge,
)
from loadtest.rivals import rivals
from loadtest.tested_server import Certificate
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from loadtest.processes import Usage
    from loadtest.report.measure import Boundary
    from loadtest.report.observer import Row
    from loadtest.scenario import Phase, Scenario
    from loadtest.tested_server import TestedServer

_JOIN_S = 180.0
_SETTLE_S = 1.0
_BASELINE_S = 5.0
WARM_UP, DRAIN = "warm-up", "drain"


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is carried out; the scenario says what it does."""

    name: str
    command: str
    address: tuple[str, int] | None = None
    """A gateway that runs already; else one is started."""
    pid: int | None = None
    redis_url: str | None = None
    """A Redis-compatible server that runs already; else one is started."""
    parts: int = 1
    recording: str | None = None


StartServer = Callable[[str, Certificate | None], "TestedServer"]
"""Starts a server from the URL of its Redis and, where clients are to connect by TLS, a certificate."""


class Run:
    """Carries out a scenario. `show` gets the phase and the figures of each second; `start` replaces the gateway."""

    def __init__(
        self,
        scenario: Scenario,
        options: Options,
        show: Callable[[str, Row], None],
        start: StartServer | None = None,
    ) -> None:
        self._scenario, self._options, self._show = scenario, options, show
        self._start = start or self._start_gateway
        self._observer = Observer(options.parts if scenario.clients.count else 0)
        self._processes = ProcessGroup(self._observer.record)
        self._subscribers = Subscribers.of(scenario)
        self._began_s = time.monotonic()
        self._phase = WARM_UP
        self._boundaries: list[Boundary] = []
        self._first_phase_s = self._last_phase_s = 0.0

    def run(self) -> Result:
        """Run all phases. Raises `ProcessError`, `GatewayError` or `ServerError` when a process fails."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        scenario, options = self._scenario, self._options
        os.sched_setaffinity(0, cores()[1])
        with ExitStack() as stack:
            redis_url = options.redis_url or stack.enter_context(EmbeddedServer()).url
            plan = Plan(scenario, time.monotonic_ns(), redis_url, "", 0, options.parts, options.recording)
            stack.callback(self._processes.stop)
            self._processes.start_feeder(plan)
            stack.enter_context(rivals(scenario.rivals))
            certificate = None
            if scenario.tls:
                certificate = Certificate.throwaway(Path(stack.enter_context(TemporaryDirectory(prefix="loadtest-"))))
            gateway = self._start(redis_url, certificate)
            stack.callback(gateway.stop)
            self._processes.start_clients(replace(plan, host=gateway.host, port=gateway.port))
            metrics = gateway.metrics()
            memory = self._connect(gateway)
            self._phases(gateway)
            self._finish(gateway)
            load = self._load_changes(gateway)
            closed_s = time.time()
            metrics = {name: round(value - metrics.get(name, 0), 6) for name, value in gateway.metrics().items()}
        phases = self._results()
        checks = self._checks()
        attacks = [
            AttackResult(phase, kind, ATTACKS[kind].expected, count, outcomes.get(kind, {}))
            for phase, outcomes in self._observer.attacks.items()
            for kind, count in scenario.attackers.items()
        ]
        return Result(
            scenario=options.name,
            title=scenario.title,
            started=started,
            command=options.command,
            machine={**machine(), "commit": _commit()},
            definition=msgspec.to_builtins(scenario),
            phases=phases,
            memory=memory,
            connecting=self._connecting(),
            series=self._observer.rows,
            checks=checks,
            attacks=attacks,
            baseline=self._baseline(phases, metrics),
            load=load,
            metrics={name: value for name, value in metrics.items() if value and "_bucket" not in name},
            warnings=warnings(phases),
            verdicts=judge(
                scenario.expect,
                phases,
                checks,
                attacks=attacks,
                events_per_write=events_per_write(metrics),
                recovery_s=recovery_s(load, self._last_phase_s, closed_s) if options.address is None else None,
            ),
        )

    def _start_gateway(self, redis_url: str, certificate: Certificate | None) -> TestedServer:
        if self._options.address is not None:
            return Gateway(*self._options.address, pid=self._options.pid)
        return Gateway.start(redis_url, with_certificate(self._scenario.gateway, certificate))

    def _are_ready(self, wanted: int) -> bool:
        return self._observer.total("ready") >= wanted

    def _connect(self, gateway: TestedServer) -> list[MemoryStep]:
        """Connect the clients step by step; measures the gateway's memory before any traffic."""
        clients = self._scenario.clients
        if not clients.count:
            return []
        start = gateway.usage()
        steps = [_memory(0, start, start)] if start else []
        for total in clients.steps or (clients.count,):
            self._processes.send(Command("connect", value=total), *self._processes.swarm)
            self._wait(partial(self._are_ready, total), _JOIN_S, gateway)
            self._wait(lambda: False, _SETTLE_S, gateway)
            if start and (now := gateway.usage()):
                steps.append(_memory(self._observer.total("ready"), now, start))
        return steps

    def _phases(self, gateway: TestedServer) -> None:
        self._processes.send(Command("start"), self._processes.feeder, self._processes.http)
        self._wait(lambda: False, self._scenario.warm_up_s, gateway)
        for phase in self._scenario.phases:
            self._enter(phase.name, phase.factor, gateway)
            self._last_phase_s = time.time()
            self._first_phase_s = self._first_phase_s or self._last_phase_s
            if phase.action == "drop":
                self._processes.send(Command("drop"), *self._processes.swarm)
            self._processes.send(Command(phase.action or "phase", phase.name), self._processes.attackers)
            self._wait(lambda: False, phase.seconds, gateway)
        self._processes.send(Command("phase"), self._processes.attackers)
        self._enter(DRAIN, 0.0, gateway)

    def _load_changes(self, gateway: TestedServer) -> list[LoadChange]:
        changes = load_changes(gateway.log().splitlines())
        return [change for change in changes if change.at_s >= self._first_phase_s]

    def _enter(self, phase: str, factor: float, gateway: TestedServer) -> None:
        """End the current phase with the counts of all processes, and begin the next."""
        processes, observer = self._processes, self._observer
        processes.send(Command("phase", phase, factor), processes.feeder, *processes.swarm, processes.http)
        ended = self._phase
        at_s, usage = self._elapsed_s, gateway.usage()
        processes.receive_until(lambda: observer.ended(ended), f"the end of {ended}")
        self._boundaries.append(observer.boundary(ended, at_s, usage))
        self._phase = phase

    def _finish(self, gateway: TestedServer) -> None:
        """Stop the feed, let clients receive what is on its way, and collect their final figures."""
        processes, observer = self._processes, self._observer
        processes.send(Command("stop"), processes.feeder, processes.http, processes.attackers)
        processes.receive_until(lambda: observer.feed is not None and observer.feed.done, "the feeder's end")
        assert observer.feed is not None
        processes.send(Command("drain"), *processes.swarm)
        self._wait(lambda: False, self._scenario.drain_s, gateway)
        stop = Command("stop", prices=observer.feed.final_prices, ledger=observer.feed.ledger)
        processes.send(stop, *processes.swarm)
        processes.receive_until(lambda: len(observer.ends) == len(processes.swarm), "the swarm's end")

    def _wait(self, condition: Callable[[], bool], seconds: float, gateway: TestedServer) -> None:
        """Take messages until the condition holds or the time is up; shows figures each second."""
        deadline = time.monotonic() + seconds
        while not condition() and (left := deadline - time.monotonic()) > 0:
            self._processes.receive_for(min(1.0, left))
            self._show(self._phase, self._observer.row(self._elapsed_s, gateway.usage()))

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def _results(self) -> list[PhaseResult]:
        pairs = zip(self._scenario.phases, self._boundaries, self._boundaries[1:], strict=False)
        return [self._result(phase, before, after) for phase, before, after in pairs]

    def _connecting(self) -> Connecting:
        samples = self._boundaries[0].swarm
        closes, notices = (
            growth((), (sample.closes for sample in samples)),
            growth((), (sample.notices for sample in samples)),
        )
        return Connecting(self._joins(WARM_UP).summary_ms(), closes, notices)

    def _joins(self, phase: str) -> Ages:
        joins = Ages()
        for end in self._observer.ends:
            joins.merge(end.ready_ms.get(phase, Ages()))
        return joins

    def _result(self, phase: Phase, before: Boundary, after: Boundary) -> PhaseResult:
        joins = self._joins(phase.name)
        figures, http = self._observer.figures[phase.name], self._observer.http.get(phase.name)
        return phase_result(phase, self._scenario, self._subscribers, before, after, figures, joins, http)

    def _checks(self) -> Checks:
        decoded: dict[str, int] = {}
        faults: dict[str, int] = {}
        for end in self._observer.ends:
            for sums, part in ((decoded, end.decoded), (faults, end.kline_faults)):
                for name, value in part.items():
                    sums[name] = sums.get(name, 0) + value
        return Checks(
            decoded=decoded,
            kline_faults=faults,
            klines_checked=sum(end.klines_checked for end in self._observer.ends),
            examples=[example for end in self._observer.ends for example in end.examples],
        )

    def _baseline(self, phases: list[PhaseResult], metrics: dict[str, float]) -> dict[str, float] | None:
        """Bare writes of the first phase's size and rate, on the same core, after the gateway has ended."""
        delivery = phases[0].delivery
        if not self._scenario.baseline or not delivery.frames_per_s:
            return None
        sockets, size, ours = self._scenario.clients.count, delivery.bytes_per_frame, None
        if DIALECTS[self._scenario.clients.dialect].run_pattern is not None:
            # Each message is one event in this dialect, and a write has many.
            size = bytes_per_write(metrics) or size
        floor = baseline.measure(sockets, round(size), sockets * size / delivery.bytes_per_s, _BASELINE_S)
        if phases[0].gateway and (per_frame := phases[0].gateway.us_per_frame):
            ours = round(per_frame * size / delivery.bytes_per_frame, 2)
        figures = {
            "sockets": floor.sockets,
            "frame_bytes": floor.frame_bytes,
            "beat_ms": round(floor.beat_s * 1000, 2),
            "cpu_percent": round(floor.cpu_percent, 1),
            "us_per_write": round(floor.us_per_write, 2),
            "skipped": floor.skipped,
            "late_beats": floor.late_beats,
        }
        if ours and floor.us_per_write:
            figures["gateway_us_per_frame"] = ours
            figures["ratio"] = round(ours / floor.us_per_write, 2)
        return figures


def with_certificate(settings: dict[str, dict[str, Any]], certificate: Certificate | None) -> dict[str, dict[str, Any]]:
    """The gateway's settings, with those for TLS where there is a certificate."""
    if certificate is None:
        return settings
    files = {"tls_certificate": str(certificate.chain), "tls_key": str(certificate.key)}
    return {**settings, "server": {**settings.get("server", {}), **files}}


def _memory(connections: int, now: Usage, start: Usage) -> MemoryStep:
    grown_kb = now.rss_kb - start.rss_kb
    return MemoryStep(
        connections, round(now.rss_kb / 1024, 1), round(grown_kb / connections, 2) if connections else None
    )


def _commit() -> str:
    answer = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
