"""A whole gateway in the test's process: real server, simulated collector, real sockets, every route."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import redis

from gateway.app import Gateway
from gateway.config import Config, HistoryConfig, LimitsConfig, MarketConfig, RedisConfig
from simulator.exchange import Activity
from simulator.server import EmbeddedServer
from simulator.simulate import Simulation, make_collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

WAIT_S = 20.0
SYMBOLS = ("BTCUSDT", "PEPEUSDT", "ETHBTC")
INTERVALS = ("1m", "1h")
UNKNOWN_SYMBOL = "NONEUSDT"


@dataclass
class Running:
    gateway: Gateway
    server: EmbeddedServer
    http: httpx.AsyncClient

    def stored(self, symbol: str, interval: str) -> list[bytes]:
        """The members of a sorted set, oldest first."""
        with redis.Redis(port=self.server.port) as client:
            members: Any = client.zrange(f"klines:{symbol}:{interval}", 0, -1)
        return list(members)

    async def eventually(self, path: str, wanted: Callable[[httpx.Response], bool]) -> httpx.Response:
        """Ask until the answer is as wanted."""
        answer = None
        for _ in range(int(WAIT_S / 0.05)):
            answer = await self.http.get(path)
            if wanted(answer):
                return answer
            await asyncio.sleep(0.05)
        assert answer is not None
        raise AssertionError(f"still {answer.status_code}: {answer.text[-300:]}")


@asynccontextmanager
async def running(klines_ttl_s: float = 60.0, limits: LimitsConfig | None = None) -> AsyncIterator[Running]:
    """Ready when the feed is live."""
    async with EmbeddedServer() as server, asyncio.TaskGroup() as tasks:
        link = RedisConfig(url=server.url, connect_timeout_s=0.3, command_timeout_s=0.3, retry_s=(0.1,))
        simulation = Simulation(SYMBOLS, INTERVALS, Activity(rate=20.0, forming_s=0.1), extended=True)
        collector = make_collector(simulation, link)
        collecting = tasks.create_task(collector.run())
        await collector.seeded.wait()
        config = Config(
            redis=link,
            market=MarketConfig(intervals=INTERVALS, unknown_after_s=0.0),
            history=HistoryConfig(klines_ttl_s=klines_ttl_s),
            limits=limits or LimitsConfig(),
        )
        gateway = Gateway(config)
        ready = asyncio.Event()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = tasks.create_task(gateway.run(listening, ready.set))
            await ready.wait()
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=address, timeout=WAIT_S) as http:
                found = Running(gateway, server, http)
                for path in ("/readyz", "/v1/health/data"):
                    await found.eventually(path, lambda answer: answer.status_code == 200)
                yield found
            serving.cancel()
            collecting.cancel()
