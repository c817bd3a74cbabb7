"""Where requests for data wait while HTTP is what loads the process, and are refused beyond what can be served.

Must not know routes. Addresses take turns, and those of one address start in order of arrival, a few at a time, while
HTTP has not used up its share of the time; their cost is what the load meter charges to `Cause.HTTP`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway.access.admission import Refusal
from gateway.access.fair_queue import FairQueue
from gateway.delivery.load_meter import Cause
from gateway.model.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.load_level import Load
    from gateway.delivery.load_meter import LoadMeter

PARALLEL = 4
"""Requests that are served at a time while others wait: one may wait for the store while another is encoded."""

WAITING_MAX = 2048
"""Requests that wait; each holds a connection and some KB."""

GROUP_MAX = 1024
"""Requests of one address that wait: half of the places stay for others."""

WAIT_MAX_S = 45.0
"""Longest wait, less than `server.exchange_s`. An app that starts asks for some hundred series at once, and waits for
them: on two cores with ten other processes 198 of 500 klines take 40 s, on a quiet machine 10. Who has waited longer is
told to come back, rather than being cut off.
"""

CREDIT_MAX_S = 0.05
"""CPU time that HTTP may save up for a burst, which nothing else can interrupt."""

FILL = 0.8
"""Part of the time that the process gets up to which requests that wait may fill it, whatever share HTTP has: time that
nothing else needs would be wasted. Less than what raises a load level (`delivery.load_level.HIGH`)."""

CHECK_S = 0.02
"""How often the queue is looked at while requests wait."""

RETRY_S = 2.0
"""Retry-After of a refused request. Clients should add jitter."""

REFUSAL = Refusal(ErrorCode.OVERLOADED, "http_overload", ErrorCode.OVERLOADED.message, RETRY_S)


class RequestQueue:
    """`enter` before a request is served; after None, `leave` exactly once."""

    def __init__(self, load: Load, meter: LoadMeter, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._meter = meter
        self._monotonic_s = monotonic_s
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue()
        self._running = 0
        self._credit_s = 0.0
        self._at_s = monotonic_s()
        self._http_s = self._total_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._queue)

    @property
    def is_open(self) -> bool:
        """Whether a request would not wait."""
        return self._load.http_share >= 1.0 and not self._queue

    async def enter(self, group: str) -> Refusal | None:
        """Wait for the turn of a request; a refusal where too many wait, or this one has waited too long.

        `group`: the client's address.
        """
        if self.is_open:
            self._running += 1
            return None
        if len(self._queue) >= WAITING_MAX or self._queue.size_of(group) >= GROUP_MAX:
            return REFUSAL
        turn = asyncio.get_running_loop().create_future()
        self._queue.push(group, turn)
        self._start_some()
        try:
            await asyncio.wait((turn,), timeout=WAIT_MAX_S)
        except asyncio.CancelledError:
            if turn.done():
                # Its turn had come just before the client hung up.
                self.leave()
            raise
        finally:
            waited_in_vain = turn.cancel()
        return REFUSAL if waited_in_vain else None

    def leave(self) -> None:
        """A request has been answered."""
        self._running -= 1
        self._start_some()

    def _start_some(self) -> None:
        """Give as many requests their turn as the share allows, and look again while others wait."""
        self._refill(self._monotonic_s())
        while self._queue and self._running < PARALLEL and self._credit_s > 0:
            # Those that nobody waits for any more are dropped.
            if not (turn := self._queue.pop()).done():
                self._running += 1
                turn.set_result(None)
        if self._queue and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self._start_some()

    def _refill(self, now_s: float) -> None:
        """Add what HTTP may use of the time since the last call, and take away what it has used."""
        self._meter.settle()
        http_s, total_s = self._meter.spent_s[Cause.HTTP], sum(self._meter.spent_s.values())
        spent_s = http_s - self._http_s
        others_s = total_s - self._total_s - spent_s
        got_s = (now_s - self._at_s) * self._load.got
        earned_s = max(got_s * self._load.http_share, got_s * FILL - others_s)
        # A share that was used up many times over before it was limited is not held against those who come later.
        self._credit_s = max(-CREDIT_MAX_S, min(self._credit_s + earned_s - spent_s, CREDIT_MAX_S))
        self._at_s, self._http_s, self._total_s = now_s, http_s, total_s
