"""python-binance: AsyncClient, BinanceSocketManager, single and multiplex sockets."""

from __future__ import annotations

import asyncio

from binance import AsyncClient, BinanceSocketManager
from record import SYMBOL, Record, base, stream_base


async def main() -> None:
    record = Record()
    AsyncClient.API_URL = f"http://{base()}/api"
    BinanceSocketManager.STREAM_URL = f"ws://{stream_base()}/"
    client = await AsyncClient.create()
    try:
        record.more["price"] = (await client.get_symbol_ticker(symbol=SYMBOL))["price"]
        record.more["day"] = (await client.get_ticker(symbol=SYMBOL))["lastPrice"]
        record.more["symbols"] = [symbol["symbol"] for symbol in (await client.get_exchange_info())["symbols"]]
        for row in (await client.get_klines(symbol=SYMBOL, interval="1s", limit=5))[:-1]:
            record.row(row)
        manager = BinanceSocketManager(client)
        name = SYMBOL.lower()
        async with manager.multiplex_socket([f"{name}@kline_1s", f"{name}@miniTicker"]) as stream:
            while not record.enough:
                message = await stream.recv()
                assert message["stream"] in (f"{name}@kline_1s", f"{name}@miniTicker"), message
                record.event(message["data"])
        async with manager.kline_socket(SYMBOL, interval="1s") as stream:
            single = await stream.recv()
            record.more["single"] = [single["s"], single["k"]["i"]]
    finally:
        await client.close_connection()
    record.tell()


asyncio.run(main())
