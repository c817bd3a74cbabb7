"""What each way of taking news costs: a simulated collector, one gateway after the other, a client that has it all."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import NamedTuple

import orjson
from redis import Redis
from websockets.sync.client import connect

from loadtest.gateway_process import Gateway
from loadtest.processes import cores, pinned, usage
from loadtest.simulated_collector import simulated_collector
from simulator.pairs import choose_pairs
from simulator.server import EmbeddedServer

MODES = ("pubsub", "keyspace", "poll", "streams")
NOTIFICATIONS = "K$z"
_SETTLE_S = 4.0


class Cost(NamedTuple):
    """Over the time measured, a second."""

    mode: str
    gateway_percent: float
    """Of a core."""
    redis_percent: float
    writes: float
    """Tickers that the collector wrote."""
    taken: float
    """Payloads that the gateway took from the feed."""
    updates: float
    """Ticker values that the client got."""

    def __str__(self) -> str:
        return (
            f"{self.mode:<9} gateway {self.gateway_percent:5.1f} %, redis {self.redis_percent:5.1f} % of a core; "
            f"{self.writes:,.0f} tickers written, {self.taken:,.0f} taken, {self.updates:,.0f} delivered a second"
        )


def measure(mode: str, symbols: int, rate: float, seconds: float) -> Cost:
    """Start it all, wait until it has settled, look for `seconds`."""
    with ExitStack() as stack:
        with pinned(cores()[1]):
            server = stack.enter_context(EmbeddedServer(options={"notify-keyspace-events": NOTIFICATIONS}))
            options = {"publish": mode == "pubsub", "streams": mode == "streams"}
            stack.enter_context(simulated_collector(server.url, symbols, rate, ("1m",), **options))
        redis = stack.enter_context(Redis.from_url(server.url))
        pairs = choose_pairs(symbols)
        while not redis.exists(f"ticker:{pairs[-1].symbol}"):
            time.sleep(0.1)
        gateway = Gateway.start(server.url, {"feed": {"mode": mode}, "market": {"intervals": ["1m"]}})
        stack.callback(gateway.stop)
        assert gateway.pid is not None
        stream = stack.enter_context(connect(f"ws://127.0.0.1:{gateway.port}/v1/stream", compression=None, proxy=None))
        names = [f"{kind}{pair.symbol}{end}" for pair in pairs for kind, end in (("ticker:", ""), ("kline:", ":1m"))]
        stream.send(orjson.dumps({"op": "subscribe", "channels": names}).decode())
        until_s = time.monotonic() + _SETTLE_S
        while time.monotonic() < until_s:
            stream.recv(timeout=10)
        before = (usage(gateway.pid).cpu_s, usage(server.pid).cpu_s, gateway.metrics(), _sets(redis))
        started_s, updates = time.monotonic(), 0
        while time.monotonic() < started_s + seconds:
            message = orjson.loads(stream.recv(timeout=10))
            updates += sum("c" in news for _, news in message.get("u", ()))
        took_s = time.monotonic() - started_s
        after = (usage(gateway.pid).cpu_s, usage(server.pid).cpu_s, gateway.metrics(), _sets(redis))
        taken = "gateway_feed_messages_total"
        return Cost(
            mode,
            100 * (after[0] - before[0]) / took_s,
            100 * (after[1] - before[1]) / took_s,
            # A ticker is two keys.
            (after[3] - before[3]) / 2 / took_s,
            (after[2][taken] - before[2][taken]) / took_s,
            updates / took_s,
        )


def _sets(redis: Redis) -> int:
    stats = redis.info("commandstats")
    assert isinstance(stats, dict)
    return int(stats["cmdstat_set"]["calls"])
