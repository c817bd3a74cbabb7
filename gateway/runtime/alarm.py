"""An alarm that one task waits for and that others may set to an earlier time."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Alarm:
    """`wait` sleeps until a time; `ring_at`, from anywhere in the same loop, makes it end sooner."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        # A loop's own clock may stand still within a millisecond.
        self._monotonic_s = monotonic_s
        self._woken: asyncio.Future[None] | None = None
        self._timer: asyncio.Handle | None = None
        self._at_s = math.inf

    async def wait(self, at_s: float) -> float:
        """Wait until `at_s` on the monotonic clock, or until the earliest time given to `ring_at` since the last wait
        has ended. Returns for when that was."""
        self._woken = asyncio.get_running_loop().create_future()
        at_s, self._at_s = min(at_s, self._at_s), math.inf
        try:
            self.ring_at(at_s)
            await self._woken
            return self._at_s
        finally:
            self._woken = None
            self._at_s = math.inf
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def ring_at(self, at_s: float) -> None:
        """Let the wait end at `at_s`, or the next one if nobody waits; a later time than is set changes nothing."""
        if at_s >= self._at_s:
            return
        self._at_s = at_s
        if self._woken is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        loop, left_s = self._woken.get_loop(), at_s - self._monotonic_s()
        self._timer = loop.call_later(left_s, self._ring) if left_s > 0 else loop.call_soon(self._ring)

    def _ring(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
