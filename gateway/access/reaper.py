"""Closes connections whose time is over: token expired or revoked, no token or no subscription in time.

One task and one heap serve all connections; a connection has one heap entry for every time at which it may end.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from typing import TYPE_CHECKING

from gateway.delivery.close_codes import Close

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.access.connection import ConnectionAccess
    from gateway.access.grants import Grant

CHECK_S = 0.25
REVOCATIONS_S = 2.0


class ConnectionReaper:
    """Never closes a connection that has been released."""

    def __init__(
        self,
        read_revocations: Callable[[], Callable[[Grant], bool] | None],
        is_scarce: Callable[[], bool],
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """`read_revocations`: `Authenticator.read_revocations`. `is_scarce`: whether places are few.
        `wall_s`: seconds since the epoch."""
        self._read_revocations = read_revocations
        self._is_scarce = is_scarce
        self._wall_s = wall_s
        self._heap: list[tuple[float, int, ConnectionAccess]] = []
        self._order = itertools.count()
        self._with_id: set[ConnectionAccess] = set()

    def add(self, connection: ConnectionAccess, now_s: float) -> None:
        """Watch a connection; call it again when the connection has presented another token."""
        when_s = connection.next_check_s(now_s, self._wall_s())
        if when_s < math.inf:
            heapq.heappush(self._heap, (when_s, next(self._order), connection))
        if connection.grant is not None and connection.grant.id:
            self._with_id.add(connection)

    def remove(self, connection: ConnectionAccess) -> None:
        """Stop watching a connection that has been released. Its heap entries are dropped when their time comes."""
        self._with_id.discard(connection)

    async def run(self) -> None:
        """Check until cancelled."""
        loop = asyncio.get_running_loop()
        checked_s = 0.0
        while True:
            await asyncio.sleep(CHECK_S)
            self.close_overdue(loop.time())
            if loop.time() - checked_s >= REVOCATIONS_S:
                checked_s = loop.time()
                self.close_revoked()

    def close_overdue(self, now_s: float) -> None:
        """Close the connections whose time is over at `now_s` (monotonic)."""
        wall_s = self._wall_s()
        while self._heap and self._heap[0][0] <= now_s:
            _, _, connection = heapq.heappop(self._heap)
            if connection.released:
                continue
            if reason := connection.close_reason(now_s, wall_s, scarce=self._is_scarce()):
                self._close(connection, reason)
            else:
                self.add(connection, now_s)

    def close_revoked(self) -> None:
        """Close the connections whose token has been revoked since the last call."""
        if is_revoked := self._read_revocations():
            revoked = [one for one in self._with_id if one.grant is not None and is_revoked(one.grant)]
            for connection in revoked:
                self._close(connection, Close.UNAUTHORIZED)

    def _close(self, connection: ConnectionAccess, reason: Close) -> None:
        if connection.socket is not None:
            connection.socket.close(reason)
