"""How micro-benchmarks are measured: CPU time of this process (user + system), the median of several rounds.

The cases take turns round by round, so that a machine that grows slower does so for all of them.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS = 9


@dataclass(frozen=True, slots=True)
class Case:
    """One way to do the work: `work` does it `operations` times. `after` cleans up each time and is not measured."""

    work: Callable[[], object]
    operations: int
    after: Callable[[], object] = lambda: None
    close: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Report:
    question: str
    us: dict[str, tuple[float, float, float]]
    """Case -> median, lowest and highest CPU microseconds per operation."""

    def __str__(self) -> str:
        first = next(iter(self.us.values()))[0]
        lines = [self.question]
        for name, (median, low, high) in self.us.items():
            ratio = f"{median / first:5.2f} x" if first else ""
            lines.append(f"  {name:<36} {median:9.3f} us  ({low:.3f} to {high:.3f})  {ratio}")
        return "\n".join(lines)


def measure(question: str, cases: Mapping[str, Callable[[], Case]], rounds: int = ROUNDS) -> Report:
    ready = {name: make() for name, make in cases.items()}
    taken: dict[str, list[float]] = {name: [] for name in ready}
    gc.collect()
    gc.disable()
    try:
        for case in ready.values():
            case.work()
            case.after()
        for _ in range(rounds):
            for name, case in ready.items():
                taken[name].append(_cpu_us(case))
    finally:
        gc.enable()
        for case in ready.values():
            case.close()
    return Report(question, {name: (statistics.median(all_), min(all_), max(all_)) for name, all_ in taken.items()})


def _cpu_us(case: Case) -> float:
    before_ns = time.process_time_ns()
    case.work()
    taken_ns = time.process_time_ns() - before_ns
    case.after()
    return taken_ns / 1000 / case.operations
