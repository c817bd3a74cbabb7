"""CPU time and memory of processes from /proc, and the cores on which they run."""

from __future__ import annotations

import os
import platform
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """Figures of a process and its descendants at one moment."""

    user_s: float
    system_s: float
    rss_kb: int
    peak_kb: int
    waited_s: float = 0.0
    """Time that the main threads were ready to run while another process occupied their core."""
    helper_s: float = 0.0
    """CPU time of processes that the server needs beside itself."""

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


def usage(pid: int) -> Usage:
    """Figures of a process and its descendants. Raises `ProcessLookupError` when it has ended."""
    user = system = rss = peak = waited_ns = 0
    for member in family(pid):
        try:
            # The name (in brackets) may contain anything; fields 3 and on follow the last bracket.
            fields = (_PROC / str(member) / "stat").read_text().rpartition(")")[2].split()
            status = (_PROC / str(member) / "status").read_text()
            waited_ns += int((_PROC / str(member) / "schedstat").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError) as error:
            if member == pid:
                raise ProcessLookupError(f"process {pid} has ended") from error
            continue
        user += int(fields[11])
        system += int(fields[12])
        rss += _kilobytes(status, "VmRSS")
        peak += _kilobytes(status, "VmHWM")
    return Usage(user / _TICKS_PER_S, system / _TICKS_PER_S, rss, peak, waited_ns / 1e9)


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    members = [pid]
    for member in members:
        members += _children(member)
    return members


def _children(pid: int) -> list[int]:
    """The children of all threads of a process; of one that ends meanwhile, those that were still to be read."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(_PROC / str(pid) / "task"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (_PROC / str(pid) / "task" / thread / "children").read_text().split())
    return found


def _kilobytes(status: str, name: str) -> int:
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


@cache
def cores() -> tuple[set[int], set[int]]:
    """The gateway's core, and the cores of everything else; both are the same on a machine with one core.

    Cached at the first call, before anything is pinned: a pinned process no longer sees the gateway's core.
    """
    allowed = sorted(os.sched_getaffinity(0))
    return {allowed[-1]}, set(allowed[:-1]) or {allowed[-1]}


@contextmanager
def pinned(to: set[int]) -> Iterator[None]:
    """Processes started inside run on these cores only, from their first instruction."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_ticks(cpus: set[int]) -> tuple[int, int]:
    """Time that these cores were not idle, of all processes of the machine, and all of their time."""
    busy = total = 0
    for line in _lines("/proc/stat"):
        name, *ticks = line.split()
        if name.removeprefix("cpu").isdecimal() and int(name.removeprefix("cpu")) in cpus:
            # user nice system idle iowait irq softirq steal; what guests use is in `user`.
            times = [int(tick) for tick in ticks[:8]]
            total += sum(times)
            busy += sum(times) - times[3] - times[4]
    return busy, total


def machine() -> dict[str, str | int]:
    """The hardware and software on which a run is measured."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(set.union(*cores())),
        "memory_mb": int(memory) // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
