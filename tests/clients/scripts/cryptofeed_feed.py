"""cryptofeed: symbols by REST, candles by one stream. It takes wss addresses only."""

from __future__ import annotations

import asyncio

from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import CANDLES
from cryptofeed.exchanges import Binance
from record import Record, base, tls_base


def main() -> None:
    # It knows no 1s interval, so the bar it sees is still forming.
    record = Record("1m")
    Binance.websocket_endpoints = [WebsocketEndpoint(f"wss://{tls_base()}")]
    Binance.rest_endpoints = [RestEndpoint(f"http://{base()}", routes=Routes("/api/v3/exchangeInfo"))]
    handler = FeedHandler({"log": {"disabled": True}, "uvloop": False, "backend_multiprocessing": False})

    async def candle(candle, receipt_s):
        symbol, prices = candle.symbol.replace("-", ""), [candle.open, candle.high, candle.low, candle.close]
        record.kline(
            round(candle.start * 1000), prices, candle.volume, candle.closed, symbol=symbol, interval=candle.interval
        )
        # It knows no stream of last prices either: a bar's close is one.
        record.ticker(symbol, candle.close)
        if record.enough:
            asyncio.get_running_loop().stop()

    feed = Binance(symbols=["BTC-USDT"], channels=[CANDLES], callbacks={CANDLES: candle}, candle_closed_only=False)
    record.more["symbols"] = sorted(feed.exchange_symbol_mapping)
    handler.add_feed(feed)
    handler.run(install_signal_handlers=False)
    record.tell()


main()
