"""Client of a kline gateway for asyncio programs: klines, tickers and history, complete across reconnects.

async with Client("http://127.0.0.1:8000") as client:
    async for kline in client.klines("BTCUSDT", "1m", mode="closed"):
        print(kline.open_time, kline.close)
"""

from kline_gateway_client.client import Client
from kline_gateway_client.errors import (
    Forbidden,
    GatewayError,
    InvalidInterval,
    InvalidSymbol,
    MissedBars,
    MissedKlines,
    RateLimited,
    Refused,
    TooManySubscriptions,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from kline_gateway_client.history import History
from kline_gateway_client.replay import Replay
from kline_gateway_client.stream import Stream
from kline_gateway_client.values import Kline, Status, Ticker

__version__ = "0.1.0"

__all__ = [
    "Client",
    "Forbidden",
    "GatewayError",
    "History",
    "InvalidInterval",
    "InvalidSymbol",
    "Kline",
    "MissedBars",
    "MissedKlines",
    "RateLimited",
    "Refused",
    "Replay",
    "Status",
    "Stream",
    "Ticker",
    "TooManySubscriptions",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "__version__",
]
