"""What other work costs live clients: the scenario `mission`, first alone and then with that work beside it.

1,000 clients follow 100 tickers each in both phases. The work is done by a process of lower priority on the harness's
cores.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from loadtest.gateway_process import Gateway
from loadtest.report.terminal import line
from loadtest.run import DRAIN, Options, Run
from loadtest.scenario import Phase, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection

    from loadtest.report.result import PhaseResult
    from loadtest.tested_server import Certificate, TestedServer

ALONE, BESIDE = "alone", "beside"


def _run(work: Callable[[int, Connection], Any], port: int, pipe: Connection) -> None:
    os.nice(5)
    pipe.send(work(port, pipe))


class Beside:
    """Has `work` done while the second phase lasts."""

    def __init__(
        self, settings: Mapping[str, Mapping[str, Any]], work: Callable[[int, Connection], Any], *, quiet: bool
    ) -> None:
        """`settings`: of the gateway. `work`: a picklable function that gets the gateway's port and a pipe, on which
        something comes when it has to end; what it returns is `found`. `quiet`: no line each second."""
        self._settings = settings
        self._work = work
        self._quiet = quiet
        self._gateway: Gateway | None = None
        self._ours, self._theirs = multiprocessing.Pipe()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._began_s = 0.0
        self.seconds = 0.0
        self.found: Any = None
        self.metrics: dict[str, float] = {}
        """The gateway's, when the work has ended."""

    def run(self, name: str, seconds: float) -> list[PhaseResult]:
        """Both phases, each of so many seconds."""
        phases = (Phase(name=ALONE, seconds=seconds), Phase(name=BESIDE, seconds=seconds))
        scenario = msgspec.structs.replace(load("mission"), phases=phases, baseline=False)
        return Run(scenario, Options(name, name), self._show, self._start).run().phases

    def _start(self, redis_url: str, certificate: Certificate | None) -> TestedServer:
        self._gateway = Gateway.start(redis_url, self._settings)
        return self._gateway

    def _show(self, phase: str, row: dict[str, float]) -> None:
        assert self._gateway is not None
        if phase == BESIDE and self._process is None:
            context = multiprocessing.get_context("spawn")
            arguments = (self._work, self._gateway.port, self._theirs)
            self._process = context.Process(target=_run, args=arguments, daemon=True)
            self._process.start()
            self._began_s = time.monotonic()
        elif phase == DRAIN and self._process is not None and not self.seconds:
            self.metrics = self._gateway.metrics()
            self._ours.send("end")
            self.found = self._ours.recv()
            self.seconds = time.monotonic() - self._began_s
            self._process.join()
        if not self._quiet:
            click.echo(line(phase, row))


def figures(phase: PhaseResult, name: str) -> str:
    """What live clients had in a phase."""
    assert phase.gateway is not None
    ages = phase.ages_ms["ticker"]
    return (
        f"{name:<15} ticker p50 {ages['p50']:6.1f} ms, p99 {ages['p99']:6.1f} ms   delivered "
        f"{phase.delivery.delivered_per_s:10,.0f}/s   gateway {phase.gateway.cpu_percent:5.1f} % of a core, "
        f"{phase.gateway.rss_mb:6.1f} MB, waited {phase.gateway.waited_percent:.1f} %"
    )
