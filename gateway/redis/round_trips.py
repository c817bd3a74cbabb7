"""Reads that are wanted at the same time leave together: a round trip costs the same for one command as for several."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.redis.connections import CommandPart

PARALLEL = 2
"""Round trips under way: while the answer of one is decoded, the server works on another."""

TOGETHER_MAX = 16
"""Commands of one round trip: 16 series of 500 klines are 3 MB, which take the server a few milliseconds."""


class _Wanted(NamedTuple):
    command: Sequence[CommandPart]
    answer: asyncio.Future[Any]


class RoundTrips:
    """Commands that come while `PARALLEL` round trips are under way wait for one to end, and leave in the next."""

    def __init__(self, run_all: Callable[[Sequence[Sequence[CommandPart]]], Awaitable[list[Any]]]) -> None:
        """`run_all`: runs commands in one round trip, and returns their answers in order."""
        self._run_all = run_all
        self._waiting: deque[_Wanted] = deque()
        self._trips: set[asyncio.Task[None]] = set()

    async def execute(self, *command: CommandPart) -> Any:
        """The answer to a command. Raises what the round trip raises in which it leaves."""
        wanted = _Wanted(command, asyncio.get_running_loop().create_future())
        self._waiting.append(wanted)
        self._depart()
        return await wanted.answer

    async def aclose(self) -> None:
        """Cancel what is under way, and those that wait for it."""
        trips, waiting = list(self._trips), list(self._waiting)
        self._waiting.clear()
        for wanted in waiting:
            wanted.answer.cancel()
        for trip in trips:
            trip.cancel()
        await asyncio.gather(*trips, return_exceptions=True)

    def _depart(self) -> None:
        while self._waiting and len(self._trips) < PARALLEL:
            together = [self._waiting.popleft() for _ in range(min(TOGETHER_MAX, len(self._waiting)))]
            # Nobody waits for the answers to the others any more.
            wanted = [one for one in together if not one.answer.done()]
            if wanted:
                # A task of its own: the reader who is cancelled must not cancel the read of the others.
                trip = asyncio.create_task(self._run(wanted))
                self._trips.add(trip)
                trip.add_done_callback(self._arrived)

    def _arrived(self, trip: asyncio.Task[None]) -> None:
        self._trips.discard(trip)
        self._depart()

    async def _run(self, wanted: Sequence[_Wanted]) -> None:
        try:
            answers = await self._run_all([one.command for one in wanted])
        except asyncio.CancelledError:
            for one in wanted:
                one.answer.cancel()
            raise
        except Exception as error:
            for one in wanted:
                if not one.answer.done():
                    one.answer.set_exception(error)
        else:
            for one, answer in zip(wanted, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)
