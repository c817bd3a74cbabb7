"""Answers that are the same for everybody: made at most once a second, however many requests ask for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.history.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

SHARED_S = 1.0
"""Age up to which an answer is sent again."""


class Shared(Generic[T]):
    """`make` never runs twice at a time, and not again before its result is `max_age_s` old. Errors are not kept."""

    def __init__(
        self,
        make: Callable[[], Coroutine[None, None, T]],
        max_age_s: float | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_age_s`: `SHARED_S` where None. `clock_s`: monotonic."""
        self._make = make
        self._max_age_s = max_age_s
        self._clock_s = clock_s
        self._kept: tuple[float, T] | None = None
        self._flight: SingleFlight[T] = SingleFlight()

    async def get(self) -> T:
        """The answer, made now if the one that is kept is too old. Raises what `make` raises."""
        max_age_s = SHARED_S if self._max_age_s is None else self._max_age_s
        if self._kept is not None and self._clock_s() - self._kept[0] < max_age_s:
            return self._kept[1]
        return await self._flight.join("", self._remake)

    async def _remake(self) -> T:
        made = await self._make()
        self._kept = (self._clock_s(), made)
        return made
