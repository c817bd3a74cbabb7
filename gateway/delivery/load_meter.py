"""What the loop's CPU time goes into, by cause. Pure: the clock is passed in.

Every part that does work of a cause charges it: `with meter.charge(Cause.HTTP):` around a step without `await`, and
`await meter.charged(Cause.HTTP, coroutine)` for work that awaits. Charges nest; time counts for the innermost one only,
and what nobody charges counts as `Cause.REST`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")


class Cause(StrEnum):
    """What the time goes into, as metrics and status name it."""

    INGEST = "ingest"
    """Reading, decoding and applying the feed."""
    FLUSH = "flush"
    """Encoding updates and writing them to clients."""
    HTTP = "http"
    HANDSHAKES = "handshakes"
    SNAPSHOTS = "snapshots"
    """What clients are sent when they subscribe or resume."""
    REPLAYS = "replays"
    """What is stored, sent again as if it happened now. It has a share of its own (`replay.cpu_share`)."""
    REST = "rest"
    """Everything else that this process does."""
    OTHERS = "others"
    """Time in which the process could have run but the core was busy with others. Never charged; it is measured."""


class Charge:
    """Charges the time between `__enter__` and `__exit__` to its cause. Reusable, and may nest in itself."""

    __slots__ = ("_cause", "_meter")

    def __init__(self, meter: LoadMeter, cause: Cause) -> None:
        self._meter = meter
        self._cause = cause

    def __enter__(self) -> None:
        self._meter.begin(self._cause)

    def __exit__(self, *_: object) -> None:
        self._meter.end()


class LoadMeter:
    """CPU seconds by cause since the start, in `spent_s`; they only grow.

    A step that is charged must not await: what other tasks do meanwhile would count for its cause.
    """

    def __init__(self, cpu_s: Callable[[], float]) -> None:
        """`cpu_s`: CPU time of the thread in which everything is charged, in seconds."""
        self._cpu_s = cpu_s
        self._charges = {cause: Charge(self, cause) for cause in Cause}
        self._outer: list[Cause] = []
        self._current = Cause.REST
        self._since_s = cpu_s()
        self.spent_s = dict.fromkeys(Cause, 0.0)

    def charge(self, cause: Cause) -> Charge:
        """A context manager for a step of this cause."""
        return self._charges[cause]

    def charged(self, cause: Cause, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """The same work as a coroutine with every step charged to the cause. Returns and raises what `work` does."""
        return Charged(self._charges[cause], work)

    def inherited(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """The same work, charged to what is charged now: for a task that is started on somebody's behalf."""
        return work if self._current is Cause.REST else self.charged(self._current, work)

    def begin(self, cause: Cause) -> None:
        """Charge the time from now on to a cause, until `end`."""
        self.settle()
        self._outer.append(self._current)
        self._current = cause

    def end(self) -> None:
        """Charge the time from now on to what it was charged to before the last `begin`."""
        self.settle()
        self._current = self._outer.pop()

    def settle(self) -> None:
        """Bring `spent_s` up to date with the time that is charged now."""
        now_s = self._cpu_s()
        self.spent_s[self._current] += now_s - self._since_s
        self._since_s = now_s


class Charged(Coroutine[Any, Any, T]):
    """A coroutine whose steps are those of another one, each charged to a cause."""

    __slots__ = ("_charge", "_work")

    def __init__(self, charge: Charge, work: Coroutine[Any, Any, T]) -> None:
        self._charge = charge
        self._work = work

    def send(self, value: Any) -> Any:
        with self._charge:
            return self._work.send(value)

    def throw(self, *error: Any) -> Any:
        with self._charge:
            return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        # An iterator with `throw` and `close` is all that `await` needs.
        return cast("Generator[Any, Any, T]", self)

    def __next__(self) -> Any:
        return self.send(None)
