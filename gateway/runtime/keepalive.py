"""Pings all clients from one loop, and ends the connections of clients that no longer answer or have been connected for
long: no timer per connection."""

from __future__ import annotations

import asyncio
import math
import random
from itertools import chain
from typing import TYPE_CHECKING

from gateway.delivery.close_codes import Close

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from gateway.config import StreamConfig
    from gateway.delivery.session import Session

STEP_S = 1.0

END_JITTER = 0.1
"""Connections that came together end spread over this part of their age, so that they come back spread too."""


def loop_s() -> float:
    """Seconds on the clock of the running event loop, on which sinks note when their client sent something."""
    return asyncio.get_running_loop().time()


class Keepalive:
    """Every client is pinged once per interval, a share of them each second, so that pongs do not come all at once.

    The number of its connection decides in which turn of the interval a client is pinged: so the first ping comes
    within one interval too, whenever the client has connected.
    """

    def __init__(
        self,
        config: StreamConfig,
        sessions: Collection[Session],
        clock_s: Callable[[], float] = loop_s,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        more: Collection[Session] = (),
    ) -> None:
        """`more`: sessions of another kind."""
        self.configure(config)
        self._sessions = sessions
        self._more = more
        self._clock_s = clock_s
        self._sleep = sleep

    def configure(self, config: StreamConfig) -> None:
        """Take the settings that may change while the process runs; a round of pings that is under way ends first."""
        self._interval_s = config.ping_interval_s
        self._silence_max_s = config.ping_interval_s + config.ping_timeout_s
        self._max_age_s = config.max_age_s

    async def run(self) -> None:
        """Ping until cancelled."""
        turn, due_s = 0, self._clock_s()
        while True:
            turns = max(1, math.ceil(self._interval_s / STEP_S))
            now_s = self._clock_s()
            # After a pause of the process the turns that it has missed are not made up for.
            due_s = max(due_s, now_s - STEP_S) + self._interval_s / turns
            await self._sleep(max(0.0, due_s - now_s))
            turn = (turn + 1) % turns
            now_s = self._clock_s()
            for session in [one for one in chain(self._sessions, self._more) if one.sink.id % turns == turn]:
                self._check(session, now_s)

    def _check(self, session: Session, now_s: float) -> None:
        """Ping one client, or end its connection."""
        sink = session.sink
        if sink.closing:
            return
        if now_s - sink.last_message_s > self._silence_max_s:
            sink.close(Close.NO_PONG)
        elif self._max_age_s and self._is_old(session, now_s):
            sink.warn(0)
            sink.shutdown()
        else:
            # A client whose socket is full is slowed down by the flush; a ping would only wait behind the rest.
            sink.ping()

    def _is_old(self, session: Session, now_s: float) -> bool:
        """Its age counts from the first check: within one interval of its beginning."""
        if session.ends_s is None:
            session.end_at(now_s + self._max_age_s * random.uniform(1 - END_JITTER, 1))
        return session.ends_s is not None and now_s >= session.ends_s
