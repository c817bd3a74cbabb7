"""Pings the store, so that an outage and its end are noticed before a request depends on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.history.store import StoreUnavailable
from gateway.redis.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PING_S = 10.0
"""Between two pings while the store is available, unless links are watched less closely than usual."""

PING_WATCHDOGS = 3.0
"""Then it is so many times the watchdog's time: where commands are billed, pings may be too."""


class StoreProbe:
    """Pings one store, while it is unavailable by the retry schedule. A successful ping closes an open circuit."""

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        retry_s: tuple[float, ...],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        watchdog_s: float = 0.0,
    ) -> None:
        """`ping`: raises `StoreUnavailable`. `retry_s`: waits after failures in a row; the last one repeats.
        `watchdog_s`: as for a subscribed connection."""
        self._ping_s = max(PING_S, PING_WATCHDOGS * watchdog_s)
        self._ping = ping
        self._backoff = Backoff(retry_s)
        self._sleep = sleep

    async def run(self) -> None:
        """Ping until cancelled."""
        while True:
            try:
                await self._ping()
                self._backoff.reset()
                wait_s = self._ping_s
            except StoreUnavailable as error:
                # While the circuit is open, a ping before the end of its wait would not be sent.
                wait_s = self._backoff.next_wait_s()
                if error.retry_after_s:
                    wait_s = error.retry_after_s
            await self._sleep(wait_s)
