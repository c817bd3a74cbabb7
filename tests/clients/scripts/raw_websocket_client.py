"""websocket-client, with its callbacks."""

from __future__ import annotations

import json

import websocket
from record import SYMBOL, Record, base


def main() -> None:
    record = Record()

    def on_message(app: websocket.WebSocketApp, text: str) -> None:
        record.event(json.loads(text))
        if record.enough:
            app.close()

    streams = f"{SYMBOL.lower()}@kline_1s/{SYMBOL.lower()}@miniTicker"
    app = websocket.WebSocketApp(f"ws://{base()}/ws/{streams}", on_message=on_message)
    app.run_forever(ping_interval=2, ping_timeout=1)
    record.tell()


main()
