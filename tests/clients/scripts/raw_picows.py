"""picows: frames as they come."""

from __future__ import annotations

import asyncio
import json

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from record import SYMBOL, Record, base


class PubSubFeed(WSListener):
    def __init__(self, record: Record) -> None:
        self.record = record

    def on_ws_connected(self, transport: WSTransport) -> None:
        names = [f"{SYMBOL.lower()}@kline_1s", f"{SYMBOL.lower()}@miniTicker"]
        request = {"method": "SUBSCRIBE", "params": names, "id": "picows"}
        transport.send(WSMsgType.TEXT, json.dumps(request).encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            message = json.loads(frame.get_payload_as_utf8_text())
            self.record.event(message)
            if "result" in message:
                self.record.more["reply"] = message
            if self.record.enough:
                transport.disconnect()


async def main() -> None:
    record = Record()
    transport, _ = await ws_connect(lambda: PubSubFeed(record), f"ws://{base()}/ws")
    await transport.wait_disconnected()
    record.tell()


asyncio.run(main())
