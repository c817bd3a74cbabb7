"""aiohttp's WebSocket client, with compression as it asks for it by itself."""

from __future__ import annotations

import asyncio

import aiohttp
from record import SYMBOL, Record, base


async def main() -> None:
    record = Record()
    streams = f"{SYMBOL.lower()}@kline_1s/{SYMBOL.lower()}@miniTicker"
    url = f"ws://{base()}/stream?streams={streams}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, compress=15, heartbeat=5) as socket:
        while not record.enough:
            record.event((await socket.receive_json())["data"])
    record.tell()


asyncio.run(main())
