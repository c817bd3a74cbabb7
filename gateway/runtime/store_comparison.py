"""Compares the newest stored klines with those in memory from time to time, and corrects memory where they differ.

A collector may replace what it has stored without a message about it. Clients that are connected would keep the old
kline for ever, while new ones get the new kline from the store. What is watched is compared once every
`market.compare_s`, evenly spread, and of all other series one at a turn. A difference counts once it has been seen
twice: a collector may publish a correction shortly before it stores it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gateway.history.store import SeriesRead, StoreUnavailable
from gateway.market.corrections import corrections
from gateway.ops.logs import BurstLog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Iterator

    from gateway.config import MarketConfig
    from gateway.history.store import KlineStore
    from gateway.market.market import Market
    from gateway.market.series import Series
    from gateway.model.kline import Kline
    from gateway.redis.contract import Topic

logger = logging.getLogger(__name__)

TURN_S = 1.0
"""Longest time between two turns."""

TURNS_MIN = 20
"""Turns in a period, so that reads are spread over it."""

RECHECK_TURNS = 2
"""Turns after which a difference is looked at again."""

WATCHED_TURNS = 5
"""Turns between two looks at what is watched."""

PASSED_MAX = 200
"""Series passed over at a turn, in search of one that is not watched and is stored."""


class Rotation:
    """Gives each of a changing set of series its turn, those first that have waited longest."""

    def __init__(self) -> None:
        self._order: dict[Series, None] = {}
        self._credit = 0.0

    def __contains__(self, series: Series) -> bool:
        return series in self._order

    def set_members(self, members: Collection[Series]) -> None:
        """Replace the set; new members come first."""
        wanted = set(members)
        new = [series for series in members if series not in self._order]
        self._order = dict.fromkeys([*new, *(series for series in self._order if series in wanted)])

    def take(self, share: float) -> list[Series]:
        """The next ones: over many calls `share` of the members each time."""
        self._credit = min(self._credit + share * len(self._order), len(self._order))
        # Shares that are fractions do not add up to whole numbers exactly.
        count = int(self._credit + 1e-6)
        self._credit -= count
        taken = [series for series, _ in zip(self._order, range(count), strict=False)]
        for series in taken:
            del self._order[series]
        self._order |= dict.fromkeys(taken)
        return taken


class StoreComparison:
    """Runs until cancelled; where `market.compare_s` is 0, it must not be run."""

    def __init__(
        self,
        config: MarketConfig,
        store: KlineStore,
        market: Market,
        backfill: Container[Series],
        is_live: Callable[[], bool],
        demand: Callable[[], Iterable[Topic]],
        clock_ms: Callable[[], int],
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`demand`: what somebody watches. Series in `backfill` are being read anyway."""
        self._depth = config.compare_klines
        self._period_s = config.compare_s
        self._turn_s = min(TURN_S, config.compare_s / TURNS_MIN)
        self._store = store
        self._market = market
        self._backfill = backfill
        self._is_live = is_live
        self._demand = demand
        self._clock_ms = clock_ms
        self._clock_s = clock_s
        self._sleep = sleep
        self._turn = 0
        self._watched = Rotation()
        # What remains of a round of the others, and the turn at which the next one may begin.
        self._others: Iterator[Series] = iter(())
        self._others_turn = 0
        # By series: the corrections that were found, and the turn at which to look again.
        self._suspects: dict[Series, tuple[dict[int, Kline], int]] = {}
        self._bursts = BurstLog()
        self.compared = 0
        """Series compared so far."""
        self.corrected = 0
        """Closed klines that were corrected by what is stored."""

    async def run(self) -> None:
        """Compare at every turn while the feed is live."""
        while True:
            await self._sleep(self._turn_s)
            if self._is_live():
                try:
                    await self.compare()
                except StoreUnavailable:
                    continue

    async def compare(self) -> None:
        """Compare the series whose turn it is. Raises `StoreUnavailable`."""
        due = [series for series in self._due() if series not in self._backfill]
        reads = [SeriesRead(series.symbol, series.interval.name, self._depth) for series in due]
        for series, stored in zip(due, await self._store.closed_klines_of(reads), strict=True):
            # It may have stopped to be live, or be read, meanwhile: then there are better news than these.
            if self._is_live() and series not in self._backfill:
                self._compare(series, stored)
        self.compared += len(due)
        self._turn += 1
        for line in self._bursts.due(self._clock_s()):
            logger.warning("%s", line)

    def _due(self) -> list[Series]:
        if self._turn % WATCHED_TURNS == 0:
            self._watched.set_members(self._watched_series())
        due = [series for series, (_, turn) in self._suspects.items() if turn <= self._turn]
        own_turn = [*self._watched.take(self._turn_s / self._period_s), *self._next_other()]
        return due + [series for series in own_turn if series not in self._suspects]

    def _watched_series(self) -> list[Series]:
        found = (self._market.series(topic.symbol, topic.interval) for topic in self._demand() if topic.interval)
        return [series for series in found if series is not None and _is_comparable(series)]

    def _next_other(self) -> list[Series]:
        for _ in range(PASSED_MAX):
            series = next(self._others, None)
            if series is None:
                if self._turn >= self._others_turn:
                    self._others = self._market.every_series()
                    self._others_turn = self._turn + round(self._period_s / self._turn_s)
                break
            if _is_comparable(series) and series not in self._watched:
                return [series]
        return []

    def _compare(self, series: Series, stored: list[Kline]) -> None:
        found = corrections(series, stored)
        before, _ = self._suspects.pop(series, ({}, 0))
        confirmed = [kline for at, kline in found.items() if before.get(at) == kline]
        if len(confirmed) < len(found):
            self._suspects[series] = (found, self._turn + RECHECK_TURNS)
        if confirmed:
            self._market.correct(series, confirmed, self._clock_ms())
            self.corrected += len(confirmed)
            name = f"{series.symbol} {series.interval.name}"
            message = f"the store has other closed klines than the feed has sent: {len(confirmed)} of {name} corrected"
            if line := self._bursts.add("correction", message, self._clock_s()):
                logger.warning("%s", line)


def _is_comparable(series: Series) -> bool:
    return series.in_source and bool(series.closed)
