"""The settings of the gateway under test, and what its clients of the native stream follow."""

from __future__ import annotations

from typing import Any, Literal

from loadtest.scenario import Clients, Feed, Phase, Scenario

FeedMode = Literal["auto", "pubsub", "keyspace", "poll"]
"""The gateway's `feed.mode`."""

SLOW_BYTES_PER_S = 8192
HEARTBEAT_S = 1.0
CLOSE_WAIT_S = 4.0
"""A Binance stream waits so long for a close. The collector holds some back for 3 s."""

SETTINGS: dict[str, dict[str, Any]] = {
    "redis": {"retry_s": [0.1, 0.2, 0.4], "watchdog_s": 0.8, "connect_timeout_s": 1.0, "command_timeout_s": 1.0},
    "market": {"intervals": ["1s"], "stale_after_s": 1.2},
    "stream": {"heartbeat_s": HEARTBEAT_S, "slow_abort_s": 10.0, "close_wait_s": CLOSE_WAIT_S},
    "server": {"shutdown_s": 4.0},
}


def make_scenario(clients: int, symbols: int, slow: float, stalled: float) -> Scenario:
    """So many clients, of which shares are slow or stalled; each follows half of the symbols."""
    return Scenario(
        title="nemesis",
        feed=Feed(symbols=symbols, kline_symbols=symbols, intervals=("1s",)),
        clients=Clients(
            count=clients,
            tickers=symbols // 2,
            klines=symbols // 2,
            history=3,
            decoded=1.0,
            slow=slow,
            slow_bytes_per_s=SLOW_BYTES_PER_S,
            stalled=stalled,
        ),
        phases=(Phase(name="all", seconds=1),),
    )
