"""The end of service: every client is told, then sent away a few at a time, so that not all come back at once.

Decides when each goes; what a goodbye consists of is the client's edge.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLOSES_PER_S = 100
"""A new process shakes hands with many more; a gentler pace would only make a restart longer."""

STEP_S = 0.02

RETRY_MIN_MS = 250
"""What a client is told to wait at least: a process that comes up after this one is gone needs a moment."""


class ClosingClient(Protocol):
    """A client as its end is concerned."""

    def warn(self, retry_ms: int) -> None:
        """The connection ends soon: tell the client, and how long to wait before it connects anew."""
        ...

    def shutdown(self) -> None:
        """Write what is owed, and say goodbye."""
        ...


async def drain(
    guests: Sequence[ClosingClient],
    most_s: float,
    hurried: Callable[[], bool],
    draw: Callable[[int, int], int] = random.randint,
) -> None:
    """Warn all guests now, then let them go in a random order over at most `most_s` seconds; at once when `hurried`.

    Meanwhile they are served as before.
    """
    spread_s = min(most_s, len(guests) / CLOSES_PER_S)
    for guest in guests:
        guest.warn(RETRY_MIN_MS + draw(0, round(spread_s * 1000)))
    waiting = random.sample(guests, len(guests))
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while waiting:
        gone_s = loop.time() - began_s
        # One second may have many steps, and a late step takes the share of those it missed.
        share = 1.0 if hurried() or gone_s >= spread_s else gone_s / spread_s
        while waiting and len(guests) - len(waiting) < share * len(guests):
            waiting.pop().shutdown()
        if waiting:
            await asyncio.sleep(STEP_S)
