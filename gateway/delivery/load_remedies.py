"""What is done about load, by the work that causes it. Pure.

- ingest: payloads are conflated before they are decoded, and flushes come less often;
- http: requests for data get a share of the time, wait for it in a queue, and are refused beyond what that can hold;
- flush: tickers are flushed less often, then forming klines too. At the last level new connections are refused and in
  the end clients are disconnected, who can resume elsewhere: only while writing to clients takes more of the core than
  everything else, other processes included, and only as far as there are more clients than `stream.shed_above`.

Closed klines are never held back. Handshakes have limits of their own, snapshots a share of the time.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from gateway.delivery.load_meter import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping


class Level(IntEnum):
    """Load levels, as the metric and the status page number them."""

    NORMAL = 0
    BUSY = 1
    SURGE = 2
    OVERLOAD = 3


class Periods(NamedTuple):
    """Flushes between two that include the lane."""

    ticker: int
    kline: int


FLUSH_PERIODS = {
    Level.NORMAL: Periods(1, 1),
    Level.BUSY: Periods(2, 1),
    Level.SURGE: Periods(4, 2),
    Level.OVERLOAD: Periods(8, 4),
}
"""By the level of `Cause.FLUSH`."""

INGEST_PERIODS = {
    Level.NORMAL: Periods(1, 1),
    Level.BUSY: Periods(1, 1),
    Level.SURGE: Periods(2, 1),
    Level.OVERLOAD: Periods(4, 2),
}
"""By the level of `Cause.INGEST`: what is flushed less often is conflated more, and leaves time to read the feed."""

HTTP_SHARES = {Level.NORMAL: 1.0, Level.BUSY: 0.4, Level.SURGE: 0.2, Level.OVERLOAD: 0.1}
"""By the level of `Cause.HTTP`: part of the time for requests for data."""

REMEDIED = (Cause.FLUSH, Cause.INGEST, Cause.HTTP)
"""The causes that have levels."""

NORMAL = dict.fromkeys(REMEDIED, Level.NORMAL)


def periods_of(levels: Mapping[Cause, Level]) -> Periods:
    """How often each lane is flushed, by the levels of the causes."""
    flush, ingest = FLUSH_PERIODS[levels[Cause.FLUSH]], INGEST_PERIODS[levels[Cause.INGEST]]
    return Periods(max(flush.ticker, ingest.ticker), max(flush.kline, ingest.kline))


def effects_of(levels: Mapping[Cause, Level]) -> list[str]:
    """What is done, for people."""
    effects = []
    if levels[Cause.INGEST]:
        effects.append("the feed is conflated before it is decoded")
    if (period := periods_of(levels).ticker) > 1:
        effects.append(f"tickers are sent at one flush in {period}")
    if level := levels[Cause.HTTP]:
        effects.append(f"requests for data share {HTTP_SHARES[level] * 100:.0f} % of the time")
    return effects
