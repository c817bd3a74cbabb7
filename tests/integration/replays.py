"""An archive of a market that moves at random, and a gateway that replays it."""

from __future__ import annotations

import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.archive.sqlite import SqliteArchive
from tests.builders import MINUTE_MS, T0, kline
from tests.integration.live import SYMBOL, make_config, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.model.kline import Kline
    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving

MINUTES = 240
OTHERS = tuple(f"S{number}USDT" for number in range(8))


def minutes(seed: int = 0) -> list[Kline]:
    """A market that moves at random."""
    draw, price, found = random.Random(seed), 10_000, []
    for number in range(MINUTES):
        cents = [price := max(1, price + draw.randint(-9, 9)) for _ in range(4)]
        prices = " ".join(f"{value / 100:.2f}" for value in (cents[0], max(cents), min(cents), cents[-1]))
        trades = draw.choice((1, 2, 5))
        found.append(kline(number, prices, closed=True, event_time_ms=0, trades=trades, volume=f"{trades}.50"))
    return found


KLINES = minutes()


async def make_archive(folder: Path) -> Path:
    """An archive of some symbols' minutes."""
    archive = SqliteArchive(folder / "archive.db")
    others = {(symbol, "1m"): minutes(number) for number, symbol in enumerate(OTHERS, 1)}
    await archive.write({(SYMBOL, "1m"): KLINES} | others)
    await archive.aclose()
    return folder / "archive.db"


@asynccontextmanager
async def up(redis_server: EmbeddedServer, path: Path | None, **sections: dict[str, Any]) -> AsyncIterator[Serving]:
    archive = {"path": str(path)} if path else {}
    given: dict[str, dict[str, Any]] = {"market": {"intervals": ("1m", "5m", "1h")}, "archive": archive}
    async with serving(make_config(redis_server, **given | sections), ready=False) as found:
        yield found


def of(start: int, speed: float = 1000, *, end: int | None = None, stream: str = "/v1/stream") -> str:
    """The path of a replay between two minutes."""
    times = [T0 + start * MINUTE_MS, *([] if end is None else [T0 + end * MINUTE_MS])]
    return f"/replay/{'/'.join(map(str, times))}/{speed:g}x{stream}"


async def refused(gateway: Serving, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """How a handshake is refused: the status, and the error."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(gateway.address.replace("http", "ws") + path, proxy=None, **options):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)
