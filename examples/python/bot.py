"""A bot that decides on closed klines: buys when the fast mean crosses above the slow one, sells when it falls below.

    python bot.py BTCUSDT 1m --url http://127.0.0.1:8000

It prints its decisions and does not trade.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from kline_gateway_client import Client, MissedKlines

if TYPE_CHECKING:
    from decimal import Decimal

    from kline_gateway_client import Kline


class Crossing:
    """Compares the means of the last `fast` and `slow` close prices."""

    def __init__(self, fast: int, slow: int) -> None:
        self.fast = fast
        self.closes: deque[Decimal] = deque(maxlen=slow)

    def take(self, kline: Kline) -> bool | None:
        """Whether to be in the market after this kline; None: there are too few klines yet."""
        self.closes.append(kline.close)
        if len(self.closes) < (self.closes.maxlen or 0):
            return None
        fast = list(self.closes)[-self.fast :]
        return sum(fast) / len(fast) > sum(self.closes) / len(self.closes)


async def trade(url: str, symbol: str, interval: str, fast: int, slow: int) -> None:
    crossing, inside = Crossing(fast, slow), None
    async with Client(url) as client:
        klines = client.klines(symbol, interval, mode="closed", history=slow)
        while True:
            try:
                kline = await anext(klines)
            except MissedKlines as missed:
                # A mean over missing klines would be wrong.
                print(f"{missed}; starting again")
                crossing = Crossing(fast, slow)
                continue
            wanted = crossing.take(kline)
            decision = "wait" if wanted is None else "hold" if wanted is inside else "buy" if wanted else "sell"
            if wanted is False and inside is None:
                decision = "hold"
            inside = wanted
            print(f"{kline.open_time:%Y-%m-%d %H:%M:%S} {kline.symbol} {kline.close} {decision}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("symbol")
    parser.add_argument("interval")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--fast", type=int, default=5)
    parser.add_argument("--slow", type=int, default=20)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(trade(given.url, given.symbol, given.interval, given.fast, given.slow))


if __name__ == "__main__":
    main()
