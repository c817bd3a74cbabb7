"""Pings the store, so that it is known to be away before a user asks, and to be back before a user has to try."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from gateway.history.store import StoreUnavailable
from gateway.redis.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PING_S = 10.0
"""Between two pings while all is well."""


class Pinged(Protocol):
    async def ping(self) -> None: ...


class StoreProbe:
    """While the store is away, it is pinged by the schedule of retries; an open circuit's probe is such a ping."""

    def __init__(
        self,
        store: Pinged,
        retry_s: tuple[float, ...],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._backoff = Backoff(retry_s)
        self._sleep = sleep

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._store.ping()
                self._backoff.reset()
                wait_s = PING_S
            except StoreUnavailable as error:
                # Where the circuit is open, its wait is the one that counts: a ping before that would not go out.
                wait_s = self._backoff.next_wait_s()
                if error.retry_after_s:
                    wait_s = error.retry_after_s
            await self._sleep(wait_s)
