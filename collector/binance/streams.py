"""All connections to Binance's streams: as many as the streams need, opened within the exchange's limits."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from collector.binance.connection import Connection
from collector.binance.line import Line
from collector.binance.plan import Plan
from gateway.access.token_bucket import SECOND_US, Rate, take

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from collector.binance.facts import Facts
    from collector.events import MarketEvent
    from gateway.feed.decode import FeedError

logger = logging.getLogger(__name__)

STREAMS_MAX = 400
"""Streams a connection is given; the exchange allows more, but one slow socket would delay them all."""

# A connection is replaced this long before the exchange would end it, and each a little earlier than the one before.
_LIFETIME_SHARE = 0.95
_SPREAD = 0.04


class Streams:
    """Call `run` once; `follow` at any time."""

    def __init__(self, facts: Facts, url: str, on_event: Callable[[MarketEvent], None]) -> None:
        """`url`: base address, "" for the exchange's own."""
        self.refused: dict[str, int] = {}
        """Messages that could not be used, by reason."""
        self._facts = facts
        self._url = (url or facts.stream_url).rstrip("/")
        self._on_event = on_event
        self._plan = Plan(min(STREAMS_MAX, facts.streams_per_connection))
        self._lines: dict[int, tuple[Line, asyncio.Task[None]]] = {}
        # Of lines that are over: see `connects`, `lost`.
        self._connects = self._lost = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._connect_rate = Rate.per_second(facts.connects / facts.connects_window_s, facts.connects // 5)
        self._connects_full_us = 0

    @property
    def connected(self) -> tuple[int, int]:
        """How many connections deliver, of how many."""
        return sum(line.ready for line, _ in self._lines.values()), len(self._lines)

    @property
    def connects(self) -> int:
        """Attempts to connect since the start."""
        return self._connects + sum(line.connects for line, _ in self._lines.values())

    @property
    def lost(self) -> int:
        """Connections that ended without being replaced first."""
        return self._lost + sum(line.lost for line, _ in self._lines.values())

    def follow(self, names: Collection[str]) -> None:
        """Carry these streams from now on, and no others."""
        for change in self._plan.want(names):
            if (running := self._lines.get(change.connection)) is not None:
                running[0].change(change.unsubscribe, change.subscribe)
        self._match_plan()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._match_plan()
            await asyncio.get_running_loop().create_future()

    def _match_plan(self) -> None:
        """Begin the connections that have streams, end those that have none."""
        if self._tasks is None:
            return
        for number in self._lines.keys() - set(self._plan.numbers):
            line, task = self._lines.pop(number)
            self._connects += line.connects
            self._lost += line.lost
            task.cancel()
        for number in self._plan.numbers:
            if number not in self._lines:
                line = self._line(number)
                self._lines[number] = line, self._tasks.create_task(line.run(), name=f"binance streams {number}")

    def _line(self, number: int) -> Line:
        return Line(number, lambda: self._connection(number), self._connect_turn)

    def _connection(self, number: int) -> Connection:
        lifetime_s = self._facts.lifetime_s * (_LIFETIME_SHARE - _SPREAD * (number % 8) / 8)
        return Connection(
            self._url,
            self._plan.streams(number),
            messages_per_s=self._facts.messages_per_s,
            lifetime_s=lifetime_s,
            on_event=self._on_event,
            on_refused=self._refuse,
        )

    async def _connect_turn(self) -> None:
        while True:
            now_us = time.monotonic_ns() // 1000
            taken = take(self._connects_full_us, now_us, self._connect_rate)
            if not taken.wait_us:
                self._connects_full_us = taken.full_us
                return
            await asyncio.sleep(taken.wait_us / SECOND_US)

    def _refuse(self, error: FeedError) -> None:
        if error.reason not in self.refused:
            logger.warning("exchange message refused reason=%s detail=%s", error.reason, error)
        self.refused[error.reason] = self.refused.get(error.reason, 0) + 1
