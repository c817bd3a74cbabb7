"""A nemesis run: the plan is carried out on a world, a line a second, and a verdict at the end."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.nemesis.faults import FAULTS
from loadtest.nemesis.plan import plan
from loadtest.nemesis.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.nemesis.verdict import Verdict

LIMIT_MS = 6000.0
"""A frozen gateway under a client that has just been given an old price: both limits, one after the other."""


def run(seed: int, seconds: float, say: Callable[[str], None], keep: Path | None = None) -> Verdict:
    """Raises `TimeoutError` when the world does not recover. `keep`: where recording and log go, instead of nowhere."""
    strokes = plan(seed, seconds, {name: fault.part for name, fault in FAULTS.items()})
    with tempfile.TemporaryDirectory(prefix="nemesis-") as folder:
        # Half of all collectors say when something happened, half do not.
        timed = bool(seed % 2)
        # Without event times a stored price and one still on a slow line cannot be told apart: see the README.
        rig = Rig(keep or Path(folder), slow=0.1, stalled=0.05, timed=timed, ordered=timed, limit_ms=LIMIT_MS)
        with rig:
            acts = [(stroke.at_s, 0, stroke.name) for stroke in strokes]
            acts += [(stroke.until_s, 1, stroke.name) for stroke in strokes]
            acts.sort()
            broken: list[str] = []
            began_s = time.monotonic()
            said_s = 0
            while (now_s := time.monotonic() - began_s) < seconds:
                while acts and acts[0][0] <= now_s:
                    _, ends, name = acts.pop(0)
                    (FAULTS[name].end if ends else FAULTS[name].begin)(rig)
                    broken.remove(name) if ends else broken.append(name)
                if now_s >= said_s:
                    say(line(rig, now_s, broken))
                    said_s = int(now_s) + 1
                rig.run(0.05)
            return rig.finish()


def line(rig: Rig, now_s: float, broken: list[str]) -> str:
    """One second."""
    faults = " ".join(f"{name}={count}" for name, count in rig.broken.items())
    return (
        f"{now_s:5.0f} s  {rig.ready:>3} clients  {rig.checked:>7,} closed klines"
        f"  oldest live {rig.oldest_live_ms / 1000:4.1f} s  {faults or 'no fault'}  {', '.join(broken)}".rstrip()
    )
