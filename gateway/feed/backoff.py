"""Telling the sink that a link or a reading has failed, and waiting as the schedule says. Knows no Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import logging


class ConnectionSink(Protocol):
    def disconnected(self, reason: str) -> None: ...


class Backoff:
    """One try after another: waits by the configured schedule, whose last wait repeats."""

    def __init__(self, retry_s: tuple[float, ...], sink: ConnectionSink, logger: logging.Logger, what: str) -> None:
        """`what`: how the log calls the failure."""
        self._retry_s = retry_s
        self._sink = sink
        self._logger = logger
        self._what = what
        self._failures = 0

    def succeeded(self) -> None:
        """The next failure is the first again."""
        self._failures = 0

    async def failed(self, error: Exception) -> None:
        """Say so, and wait until it is time for the next attempt."""
        reason = reason_of(error)
        wait_s = self._retry_s[min(self._failures, len(self._retry_s) - 1)]
        self._failures += 1
        self._sink.disconnected(reason)
        self._logger.warning("%s: %s; next attempt in %g s", self._what, reason, wait_s)
        await asyncio.sleep(wait_s)


def reason_of(error: Exception) -> str:
    return str(error) or type(error).__name__
