"""The faults: what each one does to the system under test, how it ends, and which part it breaks."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.nemesis.system import SystemUnderTest

    Act = Callable[[SystemUnderTest], None]

HOUR_S = 3600.0
SLOW_BYTES_PER_S = 6000.0
"""A fifth of what the feed needs."""
SPIKE_FACTOR = 40
TINY_OUTPUT = "2kb 1kb 1"
NORMAL_OUTPUT = "32mb 8mb 60"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks. `part`: what it breaks; two faults of one part never overlap."""

    name: str
    part: str
    begin: Act
    end: Act


def _do_nothing(_: SystemUnderTest) -> None: ...


def _restart_server(system: SystemUnderTest) -> None:
    system.server.kill()
    system.server.start()


def _limit_output(system: SystemUnderTest) -> None:
    # The server does not count the first 16 KB of a subscriber's output, so more than that must come at once.
    system.limit_output(TINY_OUTPUT)
    system.collector.misbehaviour.factor = SPIKE_FACTOR


def _restore_output(system: SystemUnderTest) -> None:
    system.collector.misbehaviour.factor = 1
    system.limit_output(NORMAL_OUTPUT)


def _set_proxy(bytes_per_s: float = 0.0, *, blocked: bool = False) -> Act:
    def act(system: SystemUnderTest) -> None:
        system.proxy.bytes_per_s, system.proxy.blocked = bytes_per_s, blocked

    return act


def _set_collector(name: str, value: object) -> Act:
    def act(system: SystemUnderTest) -> None:
        setattr(system.collector.misbehaviour, name, value)

    return act


def _signal(number: signal.Signals) -> Act:
    return lambda system: system.gateway.signal(number)


def _step_clock(seconds: float) -> Act:
    return lambda system: system.step_clock(seconds)


def _start_gateway(system: SystemUnderTest) -> None:
    system.start_gateway()


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill redis", "redis", lambda system: system.server.kill(), lambda system: system.server.start()),
        Fault("freeze redis", "redis", lambda system: system.server.freeze(), lambda system: system.server.thaw()),
        Fault("restart redis empty", "redis", _restart_server, _do_nothing),
        Fault("cut output", "redis", _limit_output, _restore_output),
        Fault("slow line", "line", _set_proxy(SLOW_BYTES_PER_S), _set_proxy()),
        Fault("dark line", "line", _set_proxy(blocked=True), _set_proxy()),
        Fault("silence", "collector", _set_collector("silent", True), _set_collector("silent", False)),
        Fault("reorder", "collector", _set_collector("shuffled", True), _set_collector("shuffled", False)),
        Fault("duplicate", "collector", _set_collector("doubled", True), _set_collector("doubled", False)),
        Fault("contradict", "collector", _set_collector("contradicting", True), _set_collector("contradicting", False)),
        Fault("spike", "collector", _set_collector("factor", SPIKE_FACTOR), _set_collector("factor", 1)),
        Fault("kill gateway", "gateway", lambda system: system.gateway.kill(), _start_gateway),
        Fault("restart gateway", "gateway", lambda system: system.end_gateway(), _start_gateway),
        Fault("freeze gateway", "gateway", _signal(signal.SIGSTOP), _signal(signal.SIGCONT)),
        # The clock counts as a part of the gateway: a gateway takes the time at its start for the correct one.
        Fault("clock forward", "gateway", _step_clock(HOUR_S), _step_clock(0)),
        Fault("clock back", "gateway", _step_clock(-HOUR_S), _step_clock(0)),
        Fault("drop clients", "clients", lambda system: system.drop_clients(), _do_nothing),
    )
}
"""Faults by name. The schedule of a seed follows from the names: changing one changes what every seed means."""
