"""The faults: what each one does to the system under test, how it ends, and which part it breaks."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.nemesis.collector import Misbehaviour
from loadtest.nemesis.dirt import foreign_channels, future_times, impossible_prices

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.nemesis.dirt import Dirt
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
    """Something that breaks. `part`: what it breaks; two faults of one part never overlap.

    `stops`: whether prices may stand still while it lasts.
    """

    name: str
    part: str
    begin: Act
    end: Act
    stops: bool = False


def change(system: SystemUnderTest, fault: Fault, *, ends: bool) -> None:
    """Begin or end a fault, and record it: a beginning before it happens, an end after it."""
    if ends:
        fault.end(system)
        system.ended(fault.name)
    else:
        system.began(fault.name, stops=fault.stops)
        fault.begin(system)


def _do_nothing(_: SystemUnderTest) -> None: ...


def _kill_server(system: SystemUnderTest) -> None:
    system.server.kill()


def _freeze_server(system: SystemUnderTest) -> None:
    system.server.freeze()


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


def _misbehave(name: str, part: str, attribute: str, value: object, *, stops: bool = False) -> Fault:
    """A fault of the collector: an attribute of its `Misbehaviour` has this value meanwhile."""
    normal = getattr(Misbehaviour(), attribute)

    def begin(system: SystemUnderTest) -> None:
        setattr(system.collector.misbehaviour, attribute, value)

    def end(system: SystemUnderTest) -> None:
        setattr(system.collector.misbehaviour, attribute, normal)

    return Fault(name, part, begin, end, stops)


def _send(name: str, dirt: Dirt) -> Fault:
    """A fault of the collector: it sends this besides correct data."""

    def begin(system: SystemUnderTest) -> None:
        system.collector.misbehaviour.dirt[name] = dirt

    def end(system: SystemUnderTest) -> None:
        del system.collector.misbehaviour.dirt[name]

    return Fault(name, name, begin, end)


def _set_notifications(flags: str) -> Act:
    return lambda system: system.set_notifications(flags)


def _signal(number: signal.Signals) -> Act:
    return lambda system: system.gateway.signal(number)


def _step_clock(seconds: float) -> Act:
    return lambda system: system.step_clock(seconds)


def _start_gateway(system: SystemUnderTest) -> None:
    # Until it has started prices stand still, and it takes the time of its start for the correct one.
    system.start_gateway()
    system.wait(system.gateway.listens, "the start of the gateway")


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill redis", "redis", _kill_server, lambda system: system.server.start(), stops=True),
        Fault("freeze redis", "redis", _freeze_server, lambda system: system.server.thaw(), stops=True),
        Fault("restart redis empty", "redis", _restart_server, _do_nothing, stops=True),
        Fault("cut output", "redis", _limit_output, _restore_output, stops=True),
        # The old server stays up and answers pings, so that only a new connection brings prices again.
        Fault("move redis", "redis", lambda system: system.move_server(), lambda system: system.stop_old_server()),
        Fault("foreign notifications", "redis", _set_notifications("Kg$"), _set_notifications("")),
        Fault("slow line", "line", _set_proxy(SLOW_BYTES_PER_S), _set_proxy(), stops=True),
        Fault("dark line", "line", _set_proxy(blocked=True), _set_proxy(), stops=True),
        _misbehave("silence", "collector", "silent", True, stops=True),
        _misbehave("reorder", "collector", "shuffled", True),
        _misbehave("duplicate", "collector", "doubled", True),
        _misbehave("contradict", "collector", "contradicting", True),
        _misbehave("spike", "collector", "factor", SPIKE_FACTOR),
        _misbehave("prices stop", "lane", "prices_stop", True, stops=True),
        _misbehave("klines stop", "lane", "klines_stop", True),
        _misbehave("garbage", "lane", "garbage", True, stops=True),
        _misbehave("microseconds", "unit", "unit", "us"),
        _misbehave("seconds", "unit", "unit", "s"),
        _send("future times", future_times),
        _send("impossible prices", impossible_prices),
        _send("foreign channels", foreign_channels),
        Fault("kill gateway", "gateway", lambda system: system.gateway.kill(), _start_gateway, stops=True),
        Fault("restart gateway", "gateway", lambda system: system.end_gateway(), _start_gateway, stops=True),
        Fault("freeze gateway", "gateway", _signal(signal.SIGSTOP), _signal(signal.SIGCONT), stops=True),
        # The clock counts as a part of the gateway: a gateway takes the time at its start for the correct one.
        Fault("clock forward", "gateway", _step_clock(HOUR_S), _step_clock(0)),
        Fault("clock back", "gateway", _step_clock(-HOUR_S), _step_clock(0)),
        Fault("drop clients", "clients", lambda system: system.drop_clients(), _do_nothing, stops=True),
    )
}
"""Faults by name. The schedule of a seed follows from the names: changing one changes what every seed means."""
