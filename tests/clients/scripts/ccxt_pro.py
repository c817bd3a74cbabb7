"""ccxt: REST and streams of one exchange object, by the addresses in its `urls`."""

from __future__ import annotations

import asyncio

from ccxt.pro import binance
from record import Record, base, stream_base

PAIR = "BTC/USDT"


async def main() -> None:
    record = Record()
    exchange = binance({"options": {"fetchMarkets": {"types": ["spot"]}}})
    # ccxt tells a spot stream by the word in its address: hence /stream/ws.
    exchange.urls["api"] |= {"public": f"http://{base()}/api/v3", "ws": {"spot": f"ws://{stream_base()}/stream/ws"}}
    try:
        markets = await exchange.load_markets()
        record.more["pairs"] = sorted(markets)
        record.more["tick"] = markets[PAIR]["precision"]["price"]
        record.more["fetched"] = (await exchange.fetch_ticker(PAIR))["last"]
        for row in (await exchange.fetch_ohlcv(PAIR, "1s", limit=5))[:-1]:
            record.row(row)

        async def klines() -> None:
            while not record.enough:
                for row in await exchange.watch_ohlcv(PAIR, "1s"):
                    record.kline(row[0], row[1:5], row[5], None)

        async def tickers() -> None:
            while not record.enough:
                ticker = await exchange.watch_ticker(PAIR)
                record.ticker(ticker["info"]["s"], ticker["last"])

        await asyncio.gather(klines(), tickers())
    finally:
        await exchange.close()
    record.tell()


asyncio.run(main())
