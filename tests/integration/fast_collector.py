"""A collector of OKX by ccxt whose clock runs faster, as that of `tests.integration.okx` does. Runs where ccxt is.

Arguments: address of the exchange, URL of Redis, symbols, intervals, speed, real time at which the clock was right (s).
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time

from collector.budget import Rates
from collector.ccxt_pro.exchange import CcxtExchange
from collector.collection import Collection
from collector.contract import Contract
from collector.naming import Renamed
from gateway.config import CollectConfig, Config, RedisConfig
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.ops.logs import setup_logging
from gateway.redis.contract import Topics
from gateway.redis.deployment import make_deployment


class FastExchange(CcxtExchange):
    """Its time is that of an exchange whose clock runs faster."""

    def __init__(self, address: str, speed: float, begin_s: float) -> None:
        super().__init__("okx", rest_url=f"http://{address}", stream_url=f"ws://{address}")
        self._speed = speed
        self._begin_s = begin_s

    def now_ms(self) -> int:
        """The time of the exchange's clock, ms since the epoch."""
        return int((self._begin_s + (time.time() - self._begin_s) * self._speed) * 1000)


async def collect(address: str, url: str, symbols: str, intervals: str, speed: float, begin_s: float) -> None:
    """Collect until SIGTERM."""
    config = Config(
        redis=RedisConfig(url=url),
        collect=CollectConfig(symbols=tuple(symbols.split(",")), top=0, intervals=tuple(intervals.split(","))),
    )
    wanted = config.collect
    exchange = Renamed(FastExchange(address, speed, begin_s), wanted.symbol)
    contract = Contract(Topics(config.redis, wanted.intervals, DEFAULT_SYMBOL_PATTERN), extended=True)
    collection = Collection(exchange, make_deployment(config.redis), contract, Rates(), wanted, config.redis.retry_s)
    task = asyncio.ensure_future(collection.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.gather(task, return_exceptions=True)
    left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, left


if __name__ == "__main__":
    setup_logging(Config().log)
    address, url, symbols, intervals, speed, begin_s = sys.argv[1:]
    asyncio.run(collect(address, url, symbols, intervals, float(speed), float(begin_s)))
