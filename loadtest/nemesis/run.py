"""A nemesis run: carries out the schedule on a system under test, prints a line a second, and returns the verdict."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.nemesis.faults import FAULTS, change
from loadtest.nemesis.schedule import make_schedule
from loadtest.nemesis.system import SystemUnderTest

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.nemesis.setup import FeedMode
    from loadtest.nemesis.verdict import Verdict

LIMIT_MS = 6000.0
"""Oldest price that may be shown as live. A gateway that freezes just after it sent an old price adds the client's
limit to the feed's."""

BOTS = 20
"""Clients of Binance's kline streams."""


def run(
    seed: int, seconds: float, print_line: Callable[[str], None], keep: Path | None = None, feed_mode: FeedMode = "auto"
) -> Verdict:
    """Break the system as the seed says, for so long. `keep`: folder for recording and log; None: they are deleted.
    `feed_mode`: how the gateway reads.

    Raises `TimeoutError` when the system does not recover.
    """
    schedule = make_schedule(seed, seconds, {name: fault.part for name, fault in FAULTS.items()})
    with tempfile.TemporaryDirectory(prefix="nemesis-") as folder:
        # Half of all collectors send event times. Without them, nobody can tell a stored price from one that is still
        # on a slow line, so prices out of order do not count (see docs/guarantees.md).
        timed = bool(seed % 2)
        system = SystemUnderTest(
            keep or Path(folder),
            slow=0.1,
            stalled=0.05,
            timed=timed,
            ordered=timed,
            limit_ms=LIMIT_MS,
            bots=BOTS,
            feed_mode=feed_mode,
        )
        with system:
            steps = [(fault.begin_s, 0, fault.name) for fault in schedule]
            steps += [(fault.end_s, 1, fault.name) for fault in schedule]
            steps.sort()
            active: list[str] = []
            began_s = time.monotonic()
            next_line_s = 0
            while (now_s := time.monotonic() - began_s) < seconds:
                while steps and steps[0][0] <= now_s:
                    _, ends, name = steps.pop(0)
                    step_s = time.monotonic()
                    change(system, FAULTS[name], ends=bool(ends))
                    # The schedule waits for a gateway that takes long to end: the next one would else start at the
                    # moment when its clock is set, and take that time for the correct one.
                    began_s += time.monotonic() - step_s
                    active.remove(name) if ends else active.append(name)
                if now_s >= next_line_s:
                    print_line(line(system, now_s, active))
                    next_line_s = int(now_s) + 1
                system.run(0.05)
            return system.finish()


def line(system: SystemUnderTest, now_s: float, active: list[str]) -> str:
    """One second of the run. `active`: names of the faults that are on."""
    found = " ".join(f"{name}={count}" for name, count in system.kline_faults.items())
    return (
        f"{now_s:5.0f} s  {system.ready:>3} clients  {system.checked:>7,} closed klines"
        f"  oldest live {system.oldest_live_ms / 1000:4.1f} s  {found or 'no fault'}  {', '.join(active)}".rstrip()
    )
