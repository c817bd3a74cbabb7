"""Carries out a comparison: one server after the other, each row as often as asked, in an order that rotates."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gateway.config import ConfigError
from loadtest.compare.columns import DIALECTS
from loadtest.compare.figures import Figures, figures
from loadtest.compare.peer_process import Peer, PeerError, available
from loadtest.compare.rows import PHASE, for_server, rotated
from loadtest.compare.table import Comparison, cell
from loadtest.gateway_process import Gateway, GatewayError
from loadtest.process_group import ProcessError
from loadtest.processes import busy_ticks, cores, machine
from loadtest.run import Options, Run, with_certificate
from loadtest.scenario import load
from simulator.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from loadtest.compare.columns import Column
    from loadtest.compare.rows import Row
    from loadtest.report.observer import Row as Second
    from loadtest.report.result import Result
    from loadtest.scenario import Scenario
    from loadtest.tested_server import Certificate, TestedServer

_FAILURES = (ProcessError, GatewayError, PeerError, ServerError, ConfigError, OSError)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared. `overrides`: `KEY=VALUE` for every scenario."""

    rows: Sequence[Row]
    columns: Sequence[Column]
    runs: int
    seconds: float
    environment: Path
    """Where the peers are installed."""
    overrides: tuple[str, ...]
    command: str
    parts: int = 1
    """Swarm processes."""


class OtherCores:
    """Watches how busy the cores of clients, feeder and Redis are while the load is measured."""

    def __init__(self) -> None:
        self._first: tuple[int, int] | None = None
        self._last = (0, 0)

    def note(self, phase: str, _: Second) -> None:
        """Called each second."""
        if phase == PHASE:
            self._last = busy_ticks(cores()[1])
            self._first = self._first or self._last

    @property
    def busy(self) -> float | None:
        """Share of the time; None before there are two looks."""
        if self._first is None or self._last[1] == self._first[1]:
            return None
        return (self._last[0] - self._first[0]) / (self._last[1] - self._first[1])


def compare(plan: Plan, say: Callable[[str], None]) -> Iterator[Comparison]:
    """Measure row by row; yields all that is known after each. `say` gets a line for each measurement.

    A server that fails has a note instead of figures.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    cores()
    peers = available(plan.environment)
    there, notes = _present(plan.columns, peers)
    scenarios = {row: load(row.scenario, plan.overrides) for row in plan.rows}
    known = Comparison(
        commands=(plan.command,),
        started=started,
        seconds=plan.seconds,
        machine=machine(),
        servers={column.name: _describe(column, peers) for column in there},
        rows={},
        cells=(),
        notes=(*notes, *(f"every row with {override}" for override in plan.overrides)),
    )
    for row in plan.rows:
        found: dict[str, list[Figures]] = {column.name: [] for column in there}
        for turn in range(plan.runs):
            for column in rotated(there, turn):
                measured = _measure(plan, row, scenarios[row], column)
                found[column.name].append(measured)
                say(f"{row.label:<22} {column.name:<12} run {turn + 1}: {_summary(measured)}")
        known = replace(
            known,
            rows={**known.rows, row.label: scenarios[row].title},
            cells=(*known.cells, *(cell(row.label, name, runs) for name, runs in found.items())),
        )
        yield known


def _present(columns: Sequence[Column], peers: dict[str, tuple[str, str]]) -> tuple[list[Column], list[str]]:
    """The servers that can run, and why the others cannot."""
    there, notes = [], []
    for column in columns:
        missing = (
            "" if column.kind == "gateway" else peers.get(column.kind, ("", "is not installed: `make compare`"))[1]
        )
        if missing:
            notes.append(f"{column.name} {missing}")
        else:
            there.append(column)
    return there, notes


def _measure(plan: Plan, row: Row, scenario: Scenario, column: Column) -> Figures:
    """One measurement; a failure is a note."""
    scenario, cores_seen = for_server(scenario, plan.seconds, DIALECTS[column.kind]), OtherCores()
    options = Options(name=row.scenario, command=plan.command, parts=plan.parts)
    start = partial(_start, column, scenario, plan.environment)
    try:
        result: Result = Run(scenario, options, cores_seen.note, start).run()
    except _FAILURES as error:
        return Figures(notes=(f"failed: {str(error).strip().splitlines()[-1]}",))
    return figures(result, cores_seen.busy, gateway=column.kind == "gateway")


def _start(
    column: Column, scenario: Scenario, environment: Path, redis_url: str, certificate: Certificate | None
) -> TestedServer:
    if column.kind != "gateway":
        return Peer.start(column.kind, environment, redis_url, certificate)
    settings = dict(scenario.gateway)
    for section, keys in column.settings.items():
        settings[section] = {**settings.get(section, {}), **keys}
    return Gateway.start(redis_url, with_certificate(settings, certificate), checkout=column.checkout)


def _describe(column: Column, peers: dict[str, tuple[str, str]]) -> dict[str, Any]:
    if column.kind != "gateway":
        return {"kind": column.kind, "version": peers[column.kind][0]}
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=column.checkout, capture_output=True, text=True, check=False
    )
    return {"kind": "gateway", "version": answer.stdout.strip() or "unknown", "settings": column.settings}


def _summary(measured: Figures) -> str:
    if measured.delivered_per_s is None:
        return "; ".join(measured.notes)
    return (
        f"{measured.delivered_per_s:>11,.0f}/s  {measured.cpu_us or 0:6.2f} us  "
        f"p50 {measured.p50_ms or 0:.1f} p99 {measured.p99_ms or 0:.1f} ms  {'; '.join(measured.notes)}"
    )
