from __future__ import annotations

from typing import Any

import pytest

from loadtest.nemesis.collector import Misbehaviour
from loadtest.nemesis.faults import FAULTS, Fault, change

OF_DATA = (
    "prices stop",
    "klines stop",
    "garbage",
    "microseconds",
    "seconds",
    "future times",
    "impossible prices",
    "foreign channels",
)


class System:
    """A system of which only the collector can be broken."""

    def __init__(self) -> None:
        self.collector = self
        self.misbehaviour = Misbehaviour()
        self.recorded: list[tuple[str, str]] = []

    def began(self, name: str, *, stops: bool) -> None:
        self.recorded.append(("stops" if stops else "began", name))

    def ended(self, name: str) -> None:
        self.recorded.append(("ended", name))


@pytest.mark.parametrize("name", OF_DATA)
def test_a_fault_of_data_changes_what_the_collector_does_until_it_ends(name: str) -> None:
    system: Any = System()
    change(system, FAULTS[name], ends=False)
    assert system.misbehaviour != Misbehaviour()
    change(system, FAULTS[name], ends=True)
    assert system.misbehaviour == Misbehaviour()


def test_a_fault_is_recorded_from_before_it_begins_until_after_it_ends() -> None:
    system: Any = System()
    fault = Fault(
        "f",
        "part",
        lambda _: system.recorded.append(("begin", "")),
        lambda _: system.recorded.append(("end", "")),
        stops=True,
    )
    change(system, fault, ends=False)
    change(system, fault, ends=True)
    assert system.recorded == [("stops", "f"), ("begin", ""), ("end", ""), ("ended", "f")]
