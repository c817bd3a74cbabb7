"""What the clients of a system show as live at a moment, and how old it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from loadtest.nemesis.setup import HEARTBEAT_S
from loadtest.protocol.stamps import UNITS_PER_MS, stamp_at
from loadtest.report.recording import Shown
from loadtest.swarm.client import Client, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MISSED_HEARTBEATS_MAX = 3
"""After so many missed heartbeats the protocol tells a client to reconnect; it shows nothing as live any more."""

CLOSE_GRACE_MS = 2000.0
"""How late a closed kline may be before it is overdue, by the gateway's settings."""


def reading(clients: Iterable[Client]) -> list[Client]:
    """The clients that are connected and read what they are sent."""
    return [client for client in clients if client.kind == "normal" and client.state is State.READY]


def oldest_live(client: Client, epoch_ns: int) -> tuple[str, int] | None:
    """Channel and age (in stamp units) of the oldest price that a client shows as live; None without one."""
    if client.follower is None or not _hears(client):
        return None
    return client.follower.oldest_live(stamp_at(time.monotonic_ns(), epoch_ns))


def live_values(clients: Iterable[Client], epoch_ns: int, limit_ms: float) -> Iterator[Shown]:
    """The oldest price and the most overdue kline that each client shows as live. Call it every `LIVE_CHECK_S`.

    `limit_ms`: of a price's age. Kline channels count once they have been live for a while (`SETTLING_CHECKS`).
    """
    for client in reading(clients):
        if client.follower is not None:
            client.follower.count_check()
        if seen := oldest_live(client, epoch_ns):
            yield Shown(client.index, seen[0], seen[1] / UNITS_PER_MS, limit_ms)
        if client.follower is None or not _hears(client):
            continue
        if overdue := client.follower.most_overdue(time.time_ns() // 1_000_000):
            yield Shown(client.index, f"closed {overdue[0]}", overdue[1], limit_ms + CLOSE_GRACE_MS)


def newest_prices(clients: Iterable[Client]) -> dict[str, float]:
    """Symbol -> the newest price that any client has, live or not."""
    newest: dict[str, float] = {}
    for client in clients:
        if client.follower is not None:
            for symbol, price in client.follower.prices():
                newest[symbol] = max(price, newest.get(symbol, 0.0))
    return newest


def _hears(client: Client) -> bool:
    silent_ns = time.monotonic_ns() - client.last_read_ns
    return silent_ns <= MISSED_HEARTBEATS_MAX * HEARTBEAT_S * 1e9
