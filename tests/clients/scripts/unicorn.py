"""unicorn-binance-websocket-api: streams only; it buffers what comes, as text."""

from __future__ import annotations

import json
import time

from record import SYMBOL, Record, stream_base
from unicorn_binance_websocket_api import BinanceWebSocketApiManager


def main() -> None:
    record = Record()
    with BinanceWebSocketApiManager(
        exchange="binance.com", websocket_base_uri=f"ws://{stream_base()}/", warn_on_update=False, disable_colorama=True
    ) as manager:
        manager.create_stream(["kline_1s", "miniTicker"], [SYMBOL.lower()])
        while not record.enough:
            text = manager.pop_stream_data_from_stream_buffer()
            if text:
                message = json.loads(text)
                record.event(message.get("data", message))
            else:
                time.sleep(0.01)
    record.tell()


main()
