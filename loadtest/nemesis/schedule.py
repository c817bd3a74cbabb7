"""Which fault happens when in a nemesis run: a pure function of the seed and the length."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

BEGIN_S = 2.0
"""Time without faults at the beginning."""

CALM_S = 6.0
"""Time without faults at the end, in which the system recovers."""

GAP_S = (0.2, 2.5)
"""Range of the time between two beginnings. It is shorter than most faults, so faults of different parts overlap."""

LENGTHS_S: Mapping[str, tuple[float, float]] = {
    "kill gateway": (0.1, 3.0),
    "restart gateway": (0.1, 2.0),
    # After a longer freeze, a client that follows the protocol would have left by itself.
    "freeze gateway": (0.2, 2.5),
    "restart redis empty": (0.0, 0.0),
    "drop clients": (0.0, 0.0),
    # A close counts as overdue late, and a silent connection is replaced late.
    "klines stop": (4.0, 12.0),
    "move redis": (4.0, 12.0),
}
"""Fault -> range of its length, where it differs from `LENGTH_S`."""

LENGTH_S = (0.5, 8.0)
"""Range of a fault's length. Some outages are longer than a price may be shown as live."""

RECOVERY_S = 0.5
"""Least time between two faults of one part, which would else be one longer fault."""


class ScheduledFault(NamedTuple):
    """A fault with its begin and end, in seconds since the run began."""

    begin_s: float
    end_s: float
    name: str


def make_schedule(seed: int, seconds: float, parts: Mapping[str, str]) -> list[ScheduledFault]:
    """Faults by the time they begin. `parts`: fault -> part of the system that it breaks.

    Of each part, one fault at a time; every fault happens once before any happens again.
    """
    draw = random.Random(seed)
    schedule: list[ScheduledFault] = []
    free_s = dict.fromkeys(parts.values(), 0.0)
    remaining: list[str] = []
    now_s = BEGIN_S
    calm_s = seconds - CALM_S
    while now_s < calm_s:
        if not remaining:
            remaining = sorted(parts)
            draw.shuffle(remaining)
        name = next((name for name in remaining if free_s[parts[name]] <= now_s), None)
        if name is not None:
            remaining.remove(name)
            end_s = min(calm_s, now_s + draw.uniform(*LENGTHS_S.get(name, LENGTH_S)))
            schedule.append(ScheduledFault(now_s, end_s, name))
            free_s[parts[name]] = end_s + RECOVERY_S
        now_s += draw.uniform(*GAP_S)
    return schedule
