"""Which of several collectors writes: the one that holds a key of Redis with a time to live.

Each time it is acquired it has a new value, and every write looks whether that is still there (`script.py`): a
collector that was frozen and comes back writes nothing. On a Redis Cluster that look and the write would be on two
nodes, so there is no lease there.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from typing import TYPE_CHECKING

from collector import script
from gateway.redis.tasks import raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from collector.contract import Command

LEASE_MS = 3000
"""After the death of its holder it takes so long at the most until another collector writes."""

RENEW_S = 1.0
_LOOK_S = 0.5


class LeaseUnsupported(ValueError):
    """Two collectors cannot share this Redis; the message says why."""


class LeaseLost(Exception):
    """Another collector may write."""


class Lease:
    """`holder` is what the lease must hold for this collector to write."""

    def __init__(self, key: str, send: Callable[[Sequence[Command]], Any]) -> None:
        """`send`: runs commands and returns their answers; raises `RedisError` or `OSError`."""
        self.key = key
        self.holder = ""
        """Empty while another collector holds the lease."""
        self._send = send
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    async def acquire(self) -> None:
        """Wait until the lease is one's own."""
        while True:
            holder = f"{self._name}:{secrets.token_hex(8)}"
            (left_ms,) = await self._send([("EVAL", script.ACQUIRE, 1, self.key, holder, LEASE_MS)])
            if not left_ms:
                self.holder = holder
                return
            # Its holder may give it back before its time.
            raise_if_cancelled()
            await asyncio.sleep(min(_LOOK_S, left_ms / 1000) if left_ms > 0 else _LOOK_S)

    async def keep(self) -> None:
        """Renew the lease until it turns out to be lost: raises `LeaseLost`."""
        while True:
            await asyncio.sleep(RENEW_S)
            (kept,) = await self._send([("EVAL", script.RENEW, 1, self.key, self.holder, LEASE_MS)])
            if not kept:
                raise LeaseLost

    async def release(self) -> None:
        """Give it back, so that another collector takes over at once."""
        holder, self.holder = self.holder, ""
        if holder:
            await self._send([("EVAL", script.RELEASE, 1, self.key, holder)])
