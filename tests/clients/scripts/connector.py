"""binance-connector: REST client and stream client, by their base addresses."""

from __future__ import annotations

import json
import queue

from binance.spot import Spot
from binance.websocket.spot.websocket_stream import SpotWebsocketStreamClient
from record import SYMBOL, Record, base


def main() -> None:
    record = Record()
    rest = Spot(base_url=f"http://{base()}")
    record.more["price"] = rest.ticker_price(SYMBOL)["price"]
    record.more["symbols"] = [symbol["symbol"] for symbol in rest.exchange_info()["symbols"]]
    for row in rest.klines(SYMBOL, "1s", limit=5)[:-1]:
        record.row(row)
    received: queue.SimpleQueue[str] = queue.SimpleQueue()
    stream = SpotWebsocketStreamClient(
        stream_url=f"ws://{base()}", on_message=lambda _, text: received.put(text), is_combined=True
    )
    stream.kline(symbol=SYMBOL, interval="1s", id=7)
    stream.mini_ticker(symbol=SYMBOL, id=8)
    while not record.enough:
        message = json.loads(received.get())
        if "data" in message:
            record.event(message["data"])
        else:
            record.more.setdefault("replies", []).append(message)
    stream.stop()
    record.tell()


main()
