"""Makes the hours and days that are missing in an archive's file in a process of its own, once they are many.

Years of minutes take seconds of a processor. In a thread they would take the event loop's turns at the interpreter, and
the clients' streams would be late; a process of low priority takes what is left of the machine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

logger = logging.getLogger(__name__)

PARTS_MAX = 30_000
"""Parts that a thread may aggregate: a year of minutes takes 2.8 s (`python -m loadtest archive`), these some 0.2 s."""

_PROGRAM = "gateway.archive.make_days"


class Asked(NamedTuple):
    """Longer klines that were asked for; see `Rollups.aggregated`. JSON keeps it as it is."""

    symbol: str
    part: str
    whole: str
    limit: int
    start_ms: int | None
    end_ms: int
    skip: bool


class Making:
    """One process at a time: who asks meanwhile waits, and finds it done."""

    def __init__(self, path: Path) -> None:
        """`path`: the archive's file."""
        self._path = path
        self._turn = asyncio.Lock()

    async def make(self, asked: Asked, unmade: Callable[[], Awaitable[int]]) -> None:
        """Have it made if it is much. `unmade`: of how many parts is not made yet. Where that fails it is logged, and
        whoever reads the longer klines makes them."""
        if await unmade() <= PARTS_MAX:
            return
        async with self._turn:
            if await unmade() > PARTS_MAX:
                await self._run(asked)

    async def _run(self, asked: Asked) -> None:
        command = (sys.executable, "-m", _PROGRAM, str(self._path), json.dumps(asked))
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            logger.warning("archive: no process to make %s of %s: %s", asked.whole, asked.symbol, error)
            return
        try:
            _, said = await child.communicate()
        finally:
            with suppress(ProcessLookupError):
                child.kill()
        if child.returncode:
            last = (said.decode(errors="replace").strip().splitlines() or ["it was killed"])[-1]
            logger.warning("archive: the process that makes %s of %s: %s", asked.whole, asked.symbol, last)
