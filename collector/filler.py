"""Asks the exchange for the klines that are missing, a few at a time, the most wanted ones first."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from collector.exchange import ExchangeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.exchange import Exchange
    from collector.keeper import Keeper, Missing, Name
    from gateway.model.kline import Kline

logger = logging.getLogger(__name__)

# At an exchange 100 ms away this is 80 answers a second, more than the limits of exchanges allow for long.
_PARALLEL = 8
_LOOK_S = 0.25
_RETRY_MIN_S, _RETRY_MAX_S = 1.0, 300.0

# After failures everybody pauses: an exchange that is down must not be asked for thousands of series in turn.
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.5, 30.0

SETTLED_MS = 15_000
"""How long after its end an answer is believed that holds nothing for a kline."""

EMPTY_ANSWERS = 3
"""So many answers must have been empty where every kline exists as a rule: the symbol was halted."""


class _Wait(NamedTuple):
    """Why a series is not asked for now."""

    until_s: float
    tries: int
    empty: int
    """Answers in a row that held nothing."""
    missing: Missing
    """What was missing then."""


class Filler:
    """Owns the questions under way. Call `run` once."""

    def __init__(self, exchange: Exchange, keeper: Keeper, now_s: Callable[[], float]) -> None:
        self.asked = 0
        """Questions since the start."""
        self.failures = 0
        self.error = ""
        """What the exchange said last, where it refused; "" once it answers again."""
        self._exchange = exchange
        self._keeper = keeper
        self._now_s = now_s
        self._waits: dict[Name, _Wait] = {}
        self._asking: set[Name] = set()
        # Set when a question is over: the next one can be asked.
        self._answered = asyncio.Event()
        self._pause_until_s = 0.0
        self._pauses = 0

    @property
    def missing(self) -> int:
        """How many series wait for an answer."""
        return sum(1 for _ in self._keeper.missing())

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for missing in self._due():
                    self._asking.add(missing.name)
                    tasks.create_task(self._ask(missing), name=f"fill {missing.name}")
                if not self._exchange.venue.closes:
                    self._keeper.close_by_clock()
                self._answered.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._answered.wait()

    def _due(self) -> list[Missing]:
        now_s = self._now_s()
        due: list[Missing] = []
        # After a failure one question finds out whether the exchange answers again.
        free = (1 if self._pauses else _PARALLEL) - len(self._asking)
        if free <= 0 or now_s < self._pause_until_s:
            return due
        for missing in self._keeper.missing():
            if missing.name not in self._asking and self._is_due(missing, now_s):
                due.append(missing)
                if len(due) == free:
                    break
        return due

    def _is_due(self, missing: Missing, now_s: float) -> bool:
        """Whether to ask now. A symbol that was halted is streamed again: what came meanwhile must not wait longer."""
        wait = self._waits.get(missing.name)
        return wait is None or wait.until_s <= now_s or missing.seen_ms > wait.missing.seen_ms

    async def _ask(self, missing: Missing) -> None:
        """Ask until nothing more is there, which for a whole history may take several questions."""
        left: Missing | None = missing
        try:
            while left is not None and await self._asked_once(left):
                left = self._keeper.missing_of(missing.name)
        except ExchangeError as error:
            self._failed(left or missing, error)
        finally:
            self._asking.discard(missing.name)
            self._answered.set()

    async def _asked_once(self, missing: Missing) -> bool:
        """Ask one question; returns whether the answer was full, so that there may be more."""
        name, span = missing.name, missing.span
        self.asked += 1
        klines = await self._exchange.klines(name.symbol, name.interval, span.start_ms, span.end_ms)
        self.error, self._pauses = "", 0
        full = len(klines) >= self._exchange.venue.rows_max
        self._keeper.fill(missing, klines, settled=not full and self._is_settled(missing, klines))
        left = self._keeper.missing_of(name)
        if left is not None and left.span.start_ms <= span.start_ms:
            self._wait_longer(missing, is_empty=not klines)
            return False
        self._waits.pop(name, None)
        return full

    def _is_settled(self, missing: Missing, klines: Sequence[Kline]) -> bool:
        """Whether klines that are not in the answer do not exist, because nothing was traded."""
        if self._exchange.now_ms() - missing.span.end_ms < SETTLED_MS:
            return False
        if self._exchange.venue.skips:
            return True
        wait = self._waits.get(missing.name)
        # Newer klines are streamed, and again and again the exchange has nothing before them.
        return (
            not klines
            and missing.seen_ms >= missing.span.end_ms
            and wait is not None
            and wait.missing.span.start_ms == missing.span.start_ms
            and wait.empty >= EMPTY_ANSWERS
        )

    def _failed(self, missing: Missing, error: ExchangeError) -> None:
        self.failures += 1
        if not self.error:
            logger.warning("exchange refused series=%s/%s error=%s", *missing.name, error)
        self.error = str(error)
        now_s = self._now_s()
        if not error.permanent and now_s >= self._pause_until_s:
            self._pause_until_s = now_s + min(_PAUSE_MAX_S, _PAUSE_MIN_S * 2**self._pauses)
            self._pauses += 1
        self._pause_until_s = max(self._pause_until_s, now_s + error.retry_after_s)
        self._wait_longer(missing, at_least_s=_RETRY_MAX_S if error.permanent else 0.0)

    def _wait_longer(self, missing: Missing, at_least_s: float = 0.0, *, is_empty: bool = False) -> None:
        before = self._waits.get(missing.name)
        tries = empty = 0
        if before is not None and before.missing.span.start_ms == missing.span.start_ms:
            empty = before.empty
            # Something new was streamed: begin anew with short waits.
            tries = before.tries + 1 if before.missing.seen_ms == missing.seen_ms else 0
        wait_s = max(at_least_s, min(_RETRY_MAX_S, _RETRY_MIN_S * 2 ** min(tries, 16)))
        self._waits[missing.name] = _Wait(self._now_s() + wait_s, tries, empty + is_empty, missing)
