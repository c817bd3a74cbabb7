"""What happens when in a nemesis run: a pure function of the seed and the length."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

BEGIN_S = 2.0
"""The world is whole for so long at first."""

CALM_S = 6.0
"""And at the end, so that there is something to recover in."""

GAP_S = (0.2, 2.5)
"""Between the beginnings of two strokes: faults of different parts overlap."""

LENGTHS_S: Mapping[str, tuple[float, float]] = {
    "kill gateway": (0.1, 3.0),
    "restart gateway": (0.1, 2.0),
    # Longer, and a client that goes by the protocol would be away itself.
    "freeze gateway": (0.2, 2.5),
    "restart redis empty": (0.0, 0.0),
    "drop clients": (0.0, 0.0),
}
LENGTH_S = (0.5, 8.0)
"""Of all others: some outages are longer than a price may be shown as live."""


class Stroke(NamedTuple):
    at_s: float
    until_s: float
    name: str


def plan(seed: int, seconds: float, parts: Mapping[str, str]) -> list[Stroke]:
    """Strokes by time. `parts`: by fault, what it breaks; nothing is broken twice at once, and every fault has its turn
    before one comes again."""
    draw = random.Random(seed)
    strokes: list[Stroke] = []
    free_s = dict.fromkeys(parts.values(), 0.0)
    bag: list[str] = []
    at_s = BEGIN_S
    end_s = seconds - CALM_S
    while at_s < end_s:
        if not bag:
            bag = sorted(parts)
            draw.shuffle(bag)
        name = next((name for name in bag if free_s[parts[name]] <= at_s), None)
        if name is not None:
            bag.remove(name)
            until_s = min(end_s, at_s + draw.uniform(*LENGTHS_S.get(name, LENGTH_S)))
            strokes.append(Stroke(at_s, until_s, name))
            # A moment to recover, or two strokes are one.
            free_s[parts[name]] = until_s + 0.5
        at_s += draw.uniform(*GAP_S)
    return strokes
