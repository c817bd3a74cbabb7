"""Klines as the gateway sends them and as the client returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kline_gateway_client.codec import decode_json, kline_from_fields

from gateway.protocol.native import kline_json
from tests.builders import MINUTE_MS, T0, kline

if TYPE_CHECKING:
    from kline_gateway_client.values import Kline

SYMBOL = "BTCUSDT"
CHANNEL = f"kline:{SYMBOL}:1m"


def opens(number: int) -> int:
    """Open time of a kline in ms."""
    return T0 + number * MINUTE_MS


def kline_fields(number: int, prices: str = "100 110 90 105", **changes: Any) -> dict[str, Any]:
    """The fields of a kline in a message; it opens `number` minutes after T0."""
    fields: dict[str, Any] = decode_json(kline_json(kline(number, prices, **{"closed": True} | changes)))
    return fields


def client_kline(number: int, prices: str = "100 110 90 105", **changes: Any) -> Kline:
    """The same kline as the client returns it."""
    return kline_from_fields(SYMBOL, "1m", kline_fields(number, prices, **changes))


def snapshot(n: int, *closed: int, forming: int | None = None, channel: str = CHANNEL, **more: Any) -> dict[str, Any]:
    return {
        "op": "snapshot",
        "n": n,
        "channel": channel,
        "klines": [kline_fields(number) for number in closed],
        "forming": None if forming is None else kline_fields(forming, closed=False),
        "state": "live",
    } | more
