"""websockets: the plainest client there is."""

from __future__ import annotations

import asyncio
import json

from record import SYMBOL, Record, stream_base
from websockets.asyncio.client import connect


async def main() -> None:
    record = Record()
    async with connect(f"ws://{stream_base()}/ws/{SYMBOL.lower()}@kline_1s") as socket:
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": [f"{SYMBOL.lower()}@miniTicker"], "id": 1}))
        await (await socket.ping())
        async for text in socket:
            record.event(json.loads(text))
            if record.enough:
                break
    record.tell()


asyncio.run(main())
