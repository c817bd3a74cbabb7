"""Closes the clients at shutdown: announces it to all, then closes a few at a time, so that they do not all reconnect
at once.

Decides when each client is closed; the receiver of its socket decides what is written.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLOSES_PER_S = 100
"""A new process accepts many more; a slower pace would only make a restart longer."""

CHECK_S = 0.02

RETRY_MIN_MS = 250
"""Shortest time that clients are told to wait: the next process needs a moment to start."""


class ClosingClient(Protocol):
    """What this file needs of a client."""

    def warn(self, retry_ms: int) -> None:
        """Tell the client that its connection will end, and to wait `retry_ms` before it reconnects."""
        ...

    def shutdown(self) -> None:
        """Write what is pending, then close."""
        ...


async def close_clients(
    clients: Sequence[ClosingClient],
    most_s: float,
    hurried: Callable[[], bool],
    draw: Callable[[int, int], int] = random.randint,
) -> None:
    """Warn all clients now, then close them in random order over at most `most_s` seconds; at once if `hurried()`.

    Until it is closed, a client gets updates as before. `draw(low, high)`: a random integer.
    """
    spread_s = min(most_s, len(clients) / CLOSES_PER_S)
    for client in clients:
        client.warn(RETRY_MIN_MS + draw(0, round(spread_s * 1000)))
    waiting = random.sample(clients, len(clients))
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while waiting:
        elapsed_s = loop.time() - began_s
        # A late step also closes the share of the steps that it delayed.
        share = 1.0 if hurried() or elapsed_s >= spread_s else elapsed_s / spread_s
        while waiting and len(clients) - len(waiting) < share * len(clients):
            waiting.pop().shutdown()
        if waiting:
            await asyncio.sleep(CHECK_S)
