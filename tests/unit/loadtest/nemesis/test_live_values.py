from __future__ import annotations

import time
from typing import Any

import pytest

from loadtest.nemesis.live_values import CLOSE_GRACE_MS, live_values, newest_prices, oldest_live, reading
from loadtest.nemesis.setup import HEARTBEAT_S, make_scenario
from loadtest.protocol.dialects import NATIVE
from loadtest.protocol.stamps import UNITS_PER_MS, stamp_at
from loadtest.swarm.client import Client, State, make_clients
from loadtest.swarm.follower import SETTLING_CHECKS

EPOCH_NS = time.monotonic_ns() - 60_000_000_000
"""Longer ago than any price here."""
OLD_MS = 700
LIMIT_MS = 3000.0


@pytest.fixture
def clients() -> list[Client]:
    """Two clients that read, of which the first has a live ticker and a live kline channel."""
    scenario = make_scenario(2, 2, 0.0, 0.0)
    clients = make_clients(scenario, NATIVE, "h", lambda _: None, range(2))
    for client in clients:
        client.state = State.READY
        client.last_read_ns = time.monotonic_ns()
    price = float(stamp_at(time.monotonic_ns(), EPOCH_NS) - OLD_MS * UNITS_PER_MS)
    snapshots: list[dict[str, Any]] = [
        {"channel": "ticker:AAUSDT", "n": 1, "ticker": {"c": price}, "state": "live"},
        {
            "channel": "kline:AAUSDT:1s",
            "n": 2,
            "state": "live",
            "klines": [{"openTime": time.time_ns() // 1_000_000 - 2500, "volume": 1}],
            "forming": None,
        },
    ]
    for message in snapshots:
        assert clients[0].follower is not None
        clients[0].follower.snapshot(message)
    for _ in range(SETTLING_CHECKS):
        assert clients[0].follower is not None
        clients[0].follower.count_check()
    return clients


def test_each_client_tells_its_oldest_price_and_its_most_overdue_kline(clients: list[Client]) -> None:
    ticker, kline = live_values(clients, EPOCH_NS, LIMIT_MS)
    assert (ticker.client, ticker.channel, ticker.limit_ms) == (0, "ticker:AAUSDT", LIMIT_MS)
    assert ticker.age_ms >= OLD_MS
    assert (kline.client, kline.channel) == (0, "closed kline:AAUSDT:1s")
    assert kline.age_ms >= 500
    assert kline.limit_ms == LIMIT_MS + CLOSE_GRACE_MS


def test_a_client_that_has_missed_the_heartbeats_shows_nothing_as_live(clients: list[Client]) -> None:
    clients[0].last_read_ns -= round(4 * HEARTBEAT_S * 1e9)
    assert oldest_live(clients[0], EPOCH_NS) is None
    assert not list(live_values(clients, EPOCH_NS, LIMIT_MS))


def test_clients_that_are_away_or_do_not_read_do_not_count(clients: list[Client]) -> None:
    clients[0].state = State.CONNECTING
    clients[1].kind = "slow"
    assert reading(clients) == []
    assert not list(live_values(clients, EPOCH_NS, LIMIT_MS))


def test_the_newest_price_of_any_client_counts(clients: list[Client]) -> None:
    newer = float(stamp_at(time.monotonic_ns(), EPOCH_NS))
    assert clients[1].follower is not None
    clients[1].follower.snapshot({"channel": "ticker:AAUSDT", "n": 1, "ticker": {"c": newer}, "state": "stale"})
    assert newest_prices(clients) == {"AAUSDT": newer}
