"""Keeps the streams of one connection coming, over as many connections as that takes.

The old connection delivers until the new one does: whatever becomes of the new one, nothing is lost by it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from collector.binance.connection import Connection

logger = logging.getLogger(__name__)

# Both connections deliver for so long, so that nothing falls between them.
_OVERLAP_S = 2.0

# Four commands at a rate of three a second, with room for a slow exchange.
_READY_S = 30.0

_RETRY_S = (0.2, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


class _Running:
    """A connection and its task."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.task = asyncio.create_task(connection.run(), name=name)

    async def wait(self, event: asyncio.Event, timeout_s: float | None = None) -> bool:
        """Wait until the connection ends, the event is set, or the time is over; returns whether the connection
        lives and the event is set."""
        waiting = asyncio.create_task(event.wait())
        try:
            await asyncio.wait({self.task, waiting}, timeout=timeout_s, return_when="FIRST_COMPLETED")
        finally:
            waiting.cancel()
        return event.is_set() and not self.task.done()

    @property
    def ended(self) -> str:
        """Why the connection ended by itself; raises what its task raised."""
        return self.task.result()


class Line:
    """Call `run` once."""

    def __init__(self, number: int, open_: Callable[[], Connection], turn: Callable[[], Awaitable[None]]) -> None:
        """`open_`: makes a connection with the streams of the moment. `turn`: waits until one may be opened."""
        self.connects = 0
        """Attempts since the start."""
        self.lost = 0
        """Connections that ended without being replaced first."""
        self._number = number
        self._open_connection = open_
        self._turn = turn
        self._open: list[_Running] = []

    @property
    def ready(self) -> bool:
        """Whether a connection delivers."""
        return any(running.connection.ready.is_set() and not running.task.done() for running in self._open)

    def change(self, unsubscribe: Sequence[str], subscribe: Sequence[str]) -> None:
        """Subscribe and unsubscribe streams."""
        for running in self._open:
            running.connection.change(unsubscribe, subscribe)

    async def run(self) -> None:
        """Run until cancelled."""
        current: _Running | None = None
        failures = 0
        try:
            while True:
                await self._turn()
                new = self._begin()
                if not await self._takes_over(new, current):
                    logger.warning("exchange connection failed number=%d reason=%s", self._number, await self._end(new))
                    await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                    failures += 1
                    continue
                current, failures = new, 0
                if await new.wait(new.connection.ending):
                    continue
                self.lost += 1
                current = None
                logger.warning("exchange connection lost number=%d reason=%s", self._number, await self._end(new))
                await asyncio.sleep(_RETRY_S[0])
        finally:
            for running in self._open:
                running.task.cancel()
            if self._open:
                await asyncio.wait({running.task for running in self._open})

    def _begin(self) -> _Running:
        self.connects += 1
        running = _Running(self._open_connection(), f"binance connection {self._number}")
        self._open.append(running)
        return running

    async def _takes_over(self, new: _Running, current: _Running | None) -> bool:
        """Wait until the new connection delivers, and end the current one then; returns whether it does."""
        if not await new.wait(new.connection.ready, _READY_S):
            return False
        if current is not None:
            await asyncio.wait({new.task}, timeout=_OVERLAP_S)
            if new.task.done():
                return False
            await self._end(current)
        return True

    async def _end(self, running: _Running) -> str:
        """End a connection; returns why it had ended by itself, if it had."""
        if not running.task.cancel():
            self._open.remove(running)
            return running.ended
        await asyncio.wait({running.task})
        self._open.remove(running)
        return "not ready in time"
