"""What each flush interval went into: the charges of the load meter, the rest of the process, and time lost to others.

Time is lost to others while the process could run but does not: because the core is busy with other processes, or
because a container has used up its share.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from gateway.delivery.load_level import Window
from gateway.delivery.load_meter import Cause

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.load_meter import LoadMeter

SCHEDSTAT = "/proc/thread-self/schedstat"

WAITED_FIELD = 1
"""Of `SCHEDSTAT`: nanoseconds in which the thread waited for a core."""


class LoadWindows:
    """`take` returns the time since the last `take`; `totals_s` grows by the same."""

    def __init__(
        self,
        meter: LoadMeter,
        http_waits: Callable[[], bool] = lambda: False,
        monotonic_s: Callable[[], float] = time.monotonic,
        process_s: Callable[[], float] = time.process_time,
        waited_s: Callable[[], float | None] | None = None,
    ) -> None:
        """`http_waits`: whether requests wait for their share of the time. `process_s`: CPU time of the process.
        `waited_s`: how long the calling thread has waited for a core; None where the system does not say. In seconds.
        """
        self.meter = meter
        self._http_waits = http_waits
        self._monotonic_s = monotonic_s
        self._process_s = process_s
        self._waited_s = waited_s or scheduler_wait_s
        self._at_s = monotonic_s()
        self._cpu_s = process_s()
        self._spent_s = dict(meter.spent_s)
        self._waited_before_s: float | None = None
        self.totals_s = dict.fromkeys(Cause, 0.0)

    def cpu_s(self) -> float:
        """CPU time of the process, to take the time of a flush by."""
        return self._process_s()

    def take(self, clients: int, late_s: float, flush_share: float = 1.0) -> Window:
        """The time since the last call.

        `late_s`: time in which the process should have run but did not, as far as the caller knows: what counts as lost
        to others where the system does not say. `flush_share`: part of the core that flushes need; what they have taken
        beyond it, because there was time, does not count as used.
        """
        now_s, cpu_s, waited_s = self._monotonic_s(), self._process_s(), self._waited_s()
        self.meter.settle()
        spent_s = {cause: total_s - self._spent_s[cause] for cause, total_s in self.meter.spent_s.items()}
        # While other threads of this process run, its main thread may wait for the same core.
        helpers_s = max(0.0, cpu_s - self._cpu_s - sum(spent_s.values()))
        spent_s[Cause.REST] += helpers_s
        if waited_s is not None and self._waited_before_s is not None:
            late_s = waited_s - self._waited_before_s
        spent_s[Cause.OTHERS] = max(0.0, late_s - helpers_s)
        elapsed_s = max(1e-6, now_s - self._at_s)
        needed_s = {**spent_s, Cause.FLUSH: min(spent_s[Cause.FLUSH], flush_share * elapsed_s)}
        window = Window(elapsed_s, needed_s, clients, self._http_waits())
        self._at_s, self._cpu_s, self._waited_before_s = now_s, cpu_s, waited_s
        self._spent_s = dict(self.meter.spent_s)
        for cause, seconds in spent_s.items():
            self.totals_s[cause] += seconds
        return window


def charge_tasks(loop: asyncio.AbstractEventLoop, meter: LoadMeter) -> None:
    """Charge each new task to what is charged when it is made: a read of the store to the request that needs it."""

    def make(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(meter.inherited(work), loop=loop, **options)

    loop.set_task_factory(make)


def scheduler_wait_s() -> float | None:
    """How long this thread has waited for a core, in seconds; None where the system does not say (only Linux does)."""
    try:
        descriptor = os.open(SCHEDSTAT, os.O_RDONLY)
    except OSError:
        return None
    try:
        return int(os.read(descriptor, 100).split()[WAITED_FIELD]) / 1e9
    except (OSError, IndexError, ValueError):
        return None
    finally:
        os.close(descriptor)
