"""Pings the store, so that an outage and its end are noticed before a request depends on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.history.store import StoreUnavailable
from gateway.redis.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PING_S = 10.0
"""Between two pings while the store is available."""


class StoreProbe:
    """Pings one store, while it is unavailable by the retry schedule. A successful ping closes an open circuit."""

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        retry_s: tuple[float, ...],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`ping`: raises `StoreUnavailable`. `retry_s`: waits after failures in a row; the last one repeats."""
        self._ping = ping
        self._backoff = Backoff(retry_s)
        self._sleep = sleep

    async def run(self) -> None:
        """Ping until cancelled."""
        while True:
            try:
                await self._ping()
                self._backoff.reset()
                wait_s = PING_S
            except StoreUnavailable as error:
                # While the circuit is open, a ping before the end of its wait would not be sent.
                wait_s = self._backoff.next_wait_s()
                if error.retry_after_s:
                    wait_s = error.retry_after_s
            await self._sleep(wait_s)
