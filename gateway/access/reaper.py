"""Sends away who has stayed too long: a token that has run out or was revoked, no token or no subscription in time.

One loop and one heap for all connections; each stands in it once for every time that may come.
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
    from gateway.ops.counters import Counters

STEP_S = 0.25
REVOCATIONS_S = 2.0


class ConnectionReaper:
    """`revoked` reads the list of revoked tokens where it has changed, and says which; None: as before."""

    def __init__(
        self,
        counters: Counters,
        revocations: Callable[[], Callable[[Grant], bool] | None],
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._counters = counters
        self._revocations = revocations
        self._wall_s = wall_s
        self._heap: list[tuple[float, int, ConnectionAccess]] = []
        self._order = itertools.count()
        self._with_id: set[ConnectionAccess] = set()

    def add(self, visitor: ConnectionAccess, now_s: float) -> None:
        """Watch it; again when it has shown another token."""
        when_s = visitor.next_check_s(now_s, self._wall_s())
        if when_s < math.inf:
            heapq.heappush(self._heap, (when_s, next(self._order), visitor))
        if visitor.grant is not None and visitor.grant.id:
            self._with_id.add(visitor)

    def forget(self, visitor: ConnectionAccess) -> None:
        """What stands in the heap goes when its time comes."""
        self._with_id.discard(visitor)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        checked_s = 0.0
        while True:
            await asyncio.sleep(STEP_S)
            self.sweep(loop.time())
            if loop.time() - checked_s >= REVOCATIONS_S:
                checked_s = loop.time()
                self.revoke()

    def sweep(self, now_s: float) -> None:
        wall_s = self._wall_s()
        while self._heap and self._heap[0][0] <= now_s:
            _, _, visitor = heapq.heappop(self._heap)
            if visitor.gone:
                continue
            if reason := visitor.overdue(now_s, wall_s):
                self._end(visitor, reason)
            else:
                self.add(visitor, now_s)

    def revoke(self) -> None:
        if revoked := self._revocations():
            for visitor in [one for one in self._with_id if one.grant is not None and revoked(one.grant)]:
                self._end(visitor, Close.UNAUTHORIZED)

    def _end(self, visitor: ConnectionAccess, reason: Close) -> None:
        if visitor.socket is not None:
            self._counters.disconnects[reason.code] += 1
            visitor.socket.close(reason)
