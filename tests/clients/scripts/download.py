"""A year of klines as bots download it: ccxt page by page, ccxt in parts side by side (as freqtrade does), and
python-binance.

    download.py HOST:PORT - SINCE_MS

Told on stdout as JSON: the rows of each way.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from binance import AsyncClient
from ccxt.async_support import binance
from record import SYMBOL, base

PAIR = "BTC/USDT"
INTERVAL, INTERVAL_MS = "1h", 3_600_000
PAGE = 1000


async def paged(exchange: Any, since_ms: int) -> list[list[Any]]:
    """Each page begins after the last row of the one before."""
    rows: list[list[Any]] = []
    while page := await exchange.fetch_ohlcv(PAIR, INTERVAL, since_ms, PAGE):
        rows += page
        since_ms = page[-1][0] + 1
    return rows


async def in_parts(exchange: Any, since_ms: int) -> list[list[Any]]:
    """Parts of a known length side by side, put together by their time."""
    starts = range(since_ms, exchange.milliseconds(), PAGE * INTERVAL_MS)
    parts = await asyncio.gather(*(exchange.fetch_ohlcv(PAIR, INTERVAL, start, PAGE) for start in starts))
    return sorted(row for part in parts for row in part)


async def main() -> None:
    since_ms = int(sys.argv[3])
    found: dict[str, list[list[Any]]] = {}
    exchange = binance({"options": {"fetchMarkets": {"types": ["spot"]}}})
    exchange.urls["api"] |= {"public": f"http://{base()}/api/v3"}
    try:
        await exchange.load_markets()
        # From the very first one there is.
        found["ccxt, paged"] = await paged(exchange, 1)
        found["ccxt, in parts"] = await in_parts(exchange, since_ms)
    finally:
        await exchange.close()
    AsyncClient.API_URL = f"http://{base()}/api"
    client = await AsyncClient.create()
    try:
        found["python-binance"] = await client.get_historical_klines(SYMBOL, INTERVAL, since_ms)
        first = await client.get_klines(symbol=SYMBOL, interval=INTERVAL, startTime=0, limit=1)
        found["the first"] = first
    finally:
        await client.close_connection()
    sys.stdout.write(f"{json.dumps(found)}\n")


asyncio.run(main())
