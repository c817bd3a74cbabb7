"""binance-sdk-spot: REST and streams, typed: its models refuse what does not fit."""

from __future__ import annotations

import asyncio

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_sdk_spot.spot import Spot
from binance_sdk_spot.websocket_streams.models import KlineIntervalEnum
from record import SYMBOL, Record, base


async def main() -> None:
    record = Record()
    client = Spot(
        config_rest_api=ConfigurationRestAPI(base_path=f"http://{base()}"),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"ws://{base()}"),
    )
    for row in client.rest_api.klines(SYMBOL, "1s", limit=5).data()[:-1]:
        record.row(row)
    record.more["symbols"] = [symbol.symbol for symbol in client.rest_api.exchange_info().data().symbols]
    connection = await client.websocket_streams.create_connection()
    received: asyncio.Queue[object] = asyncio.Queue()
    klines = await connection.kline(symbol=SYMBOL.lower(), interval=KlineIntervalEnum.INTERVAL_1s.value)
    klines.on("message", received.put_nowait)
    tickers = await connection.mini_ticker(symbol=SYMBOL.lower())
    tickers.on("message", received.put_nowait)
    while not record.enough:
        message = await received.get()
        record.event(message.model_dump(by_alias=True) if hasattr(message, "model_dump") else message)
    await klines.unsubscribe()
    await connection.close_connection(close_session=True)
    record.tell()


asyncio.run(main())
