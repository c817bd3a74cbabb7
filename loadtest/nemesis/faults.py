"""What is done to the world, each with its undoing. A fault says which part it breaks: of one part one at a time."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.nemesis.rig import Rig

    Act = Callable[[Rig], None]

HOUR_S = 3600.0
SLOW_BYTES_PER_S = 6000.0
"""A fifth of what the feed needs."""
SPIKE = 40
TINY_OUTPUT = "2kb 1kb 1"
NORMAL_OUTPUT = "32mb 8mb 60"


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    part: str
    begin: Act
    end: Act


def _nothing(_: Rig) -> None: ...


def _restart_server(rig: Rig) -> None:
    rig.server.kill()
    rig.server.start()


def _cut_output(rig: Rig) -> None:
    # The first 16 KB of a subscriber's output do not count: it takes more than that at once.
    rig.limit_output(TINY_OUTPUT)
    rig.collector.habits.factor = SPIKE


def _spare_output(rig: Rig) -> None:
    rig.collector.habits.factor = 1
    rig.limit_output(NORMAL_OUTPUT)


def _set_line(bytes_per_s: float = 0.0, *, dark: bool = False) -> Act:
    def act(rig: Rig) -> None:
        rig.line.bytes_per_s, rig.line.dark = bytes_per_s, dark

    return act


def _habit(name: str, value: object) -> Act:
    def act(rig: Rig) -> None:
        setattr(rig.collector.habits, name, value)

    return act


def _signal(number: signal.Signals) -> Act:
    return lambda rig: rig.gateway.signal(number)


def _start_again(rig: Rig) -> None:
    rig.start_gateway()


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill redis", "redis", lambda rig: rig.server.kill(), lambda rig: rig.server.start()),
        Fault("freeze redis", "redis", lambda rig: rig.server.freeze(), lambda rig: rig.server.thaw()),
        Fault("restart redis empty", "redis", _restart_server, _nothing),
        Fault("cut output", "redis", _cut_output, _spare_output),
        Fault("slow line", "line", _set_line(SLOW_BYTES_PER_S), _set_line()),
        Fault("dark line", "line", _set_line(dark=True), _set_line()),
        Fault("silence", "collector", _habit("silent", True), _habit("silent", False)),
        Fault("reorder", "collector", _habit("shuffled", True), _habit("shuffled", False)),
        Fault("duplicate", "collector", _habit("doubled", True), _habit("doubled", False)),
        Fault("contradict", "collector", _habit("contradicting", True), _habit("contradicting", False)),
        Fault("spike", "collector", _habit("factor", SPIKE), _habit("factor", 1)),
        Fault("kill gateway", "gateway", lambda rig: rig.gateway.kill(), _start_again),
        Fault("restart gateway", "gateway", lambda rig: rig.end_gateway(), _start_again),
        Fault("freeze gateway", "gateway", _signal(signal.SIGSTOP), _signal(signal.SIGCONT)),
        # Of the gateway too: it takes the time at its start for the true one.
        Fault("clock forward", "gateway", lambda rig: rig.step_clock(HOUR_S), lambda rig: rig.step_clock(0)),
        Fault("clock back", "gateway", lambda rig: rig.step_clock(-HOUR_S), lambda rig: rig.step_clock(0)),
        Fault("drop clients", "clients", lambda rig: rig.drop_clients(), _nothing),
    )
}
