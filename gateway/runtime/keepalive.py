"""Pings for all clients from one loop, and an end to those who no longer answer or have been here for long: no timer
per connection."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from gateway.delivery.close_codes import Close
from gateway.protocol.frame import PING, frame

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.config import StreamConfig
    from gateway.delivery.session import Session
    from gateway.ops.counters import Counters

STEP_S = 1.0

END_JITTER = 0.1
"""Connections that came together end spread over this part of their age, and so come back spread too."""


class Keepalive:
    """Every client is pinged once per interval, a share of them each second, so that pongs do not come all at once."""

    def __init__(self, config: StreamConfig, sessions: Collection[Session], counters: Counters) -> None:
        self.configure(config)
        self._sessions = sessions
        self._counters = counters
        self._ping = frame(PING, b"kg")

    def configure(self, config: StreamConfig) -> None:
        """Take the settings that may change while the process runs; a round of pings that is under way ends first."""
        self._interval_s = config.ping_interval_s
        self._silence_max_s = config.ping_interval_s + config.ping_timeout_s
        self._max_age_s = config.max_age_s

    async def run(self) -> None:
        turn: list[Session] = []
        share = 0
        while True:
            await asyncio.sleep(STEP_S)
            if not turn:
                turn = list(self._sessions)
                share = max(1, round(len(turn) * STEP_S / self._interval_s + 0.5))
                # Few clients must not be pinged more often than asked: the rest of the turn is waiting.
                spare_s = self._interval_s - STEP_S * -(-len(turn) // share)
                if spare_s > 0:
                    await asyncio.sleep(spare_s)
            now_s = asyncio.get_running_loop().time()
            for session in turn[:share]:
                self._visit(session, now_s)
            del turn[:share]

    def _visit(self, session: Session, now_s: float) -> None:
        socket = session.sink
        if socket.closing:
            return
        if now_s - socket.last_message_s > self._silence_max_s:
            self._counters.disconnects[Close.NO_PONG.code] += 1
            socket.close(Close.NO_PONG)
        elif self._max_age_s and self._is_old(session, now_s):
            self._counters.disconnects[Close.RESTART.code] += 1
            socket.warn(0)
            socket.shutdown()
        else:
            # A client whose socket is full is seen to by the throttle; a ping would only wait behind the rest.
            socket.offer(self._ping)

    def _is_old(self, session: Session, now_s: float) -> bool:
        """Its age counts from the first visit: within one interval of its beginning."""
        if session.ends_s is None:
            session.ends_s = now_s + self._max_age_s * random.uniform(1 - END_JITTER, 1)
        return now_s >= session.ends_s
