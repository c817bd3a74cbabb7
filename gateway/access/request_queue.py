"""Where requests for data wait while HTTP is what loads the process, and are refused beyond what can be served.

Must not know routes. Requests start in order of arrival, a few at a time, while HTTP has not used up its share of the
time; their cost is what the load meter charges to `Cause.HTTP`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.access.admission import Refusal
from gateway.delivery.load_meter import Cause
from gateway.model.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.load_level import Load
    from gateway.delivery.load_meter import LoadMeter

PARALLEL = 4
"""Requests that are served at a time while others wait: one may wait for the store while another is encoded."""

WAITING_MAX = 256
"""Requests that wait; each holds a connection and some KB."""

WAIT_MAX_S = 2.0
"""Longest wait. A client that waits longer has often given up, and its answer is work for nothing."""

CREDIT_MAX_S = 0.05
"""CPU time that HTTP may save up for a burst, which nothing else can interrupt."""

CHECK_S = 0.02
"""How often the queue is looked at while requests wait."""

RETRY_S = 2.0
"""Retry-After of a refused request. Clients should add jitter."""

REFUSAL = Refusal(ErrorCode.OVERLOADED, "http_overload", ErrorCode.OVERLOADED.message, RETRY_S)


class _Waiting(NamedTuple):
    turn: asyncio.Future[bool]
    since_s: float


class RequestQueue:
    """`enter` before a request is served; after None, `leave` exactly once."""

    def __init__(self, load: Load, meter: LoadMeter, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._meter = meter
        self._monotonic_s = monotonic_s
        self._waiting: deque[_Waiting] = deque()
        self._running = 0
        self._credit_s = 0.0
        self._at_s = monotonic_s()
        self._spent_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._waiting)

    @property
    def is_open(self) -> bool:
        """Whether a request would not wait."""
        return self._load.http_share >= 1.0 and not self._waiting

    async def enter(self) -> Refusal | None:
        """Wait for the turn of a request; a refusal where too many wait, or this one has waited too long."""
        if self.is_open:
            self._running += 1
            return None
        if len(self._waiting) >= WAITING_MAX:
            return REFUSAL
        waiting = _Waiting(asyncio.get_running_loop().create_future(), self._monotonic_s())
        self._waiting.append(waiting)
        self._start_some()
        try:
            return None if await waiting.turn else REFUSAL
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled() and waiting.turn.result():
                # Its turn had come just before the client hung up.
                self.leave()
            raise

    def leave(self) -> None:
        """A request has been answered."""
        self._running -= 1
        self._start_some()

    def _start_some(self) -> None:
        """Give as many requests their turn as the share allows, refuse those that have waited too long, look again."""
        now_s = self._monotonic_s()
        self._refill(now_s)
        waiting = self._waiting
        while waiting and (waiting[0].turn.done() or now_s - waiting[0].since_s > WAIT_MAX_S):
            if not (turn := waiting.popleft().turn).done():
                turn.set_result(False)
        while waiting and self._running < PARALLEL and self._credit_s > 0:
            if not (turn := waiting.popleft().turn).done():
                self._running += 1
                turn.set_result(True)
        if waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self._start_some()

    def _refill(self, now_s: float) -> None:
        """Add what HTTP may use of the time since the last call, and take away what it has used."""
        self._meter.settle()
        spent_s = self._meter.spent_s[Cause.HTTP]
        earned_s = (now_s - self._at_s) * self._load.http_share * self._load.got
        self._credit_s = min(self._credit_s + earned_s - (spent_s - self._spent_s), CREDIT_MAX_S)
        # A share that was used up many times over before it was limited is not held against those who come later.
        self._credit_s = max(self._credit_s, -CREDIT_MAX_S)
        self._at_s, self._spent_s = now_s, spent_s
