"""Klines as a gateway says them and as the client holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kline_gateway_client.decode import decoded, kline_of

from gateway.protocol.native import kline_json
from tests.builders import MINUTE_MS, T0, kline

if TYPE_CHECKING:
    from kline_gateway_client.values import Kline

SYMBOL = "BTCUSDT"
CHANNEL = f"kline:{SYMBOL}:1m"


def opens(number: int) -> int:
    return T0 + number * MINUTE_MS


def said(number: int, prices: str = "100 110 90 105", **changes: Any) -> dict[str, Any]:
    """The bar at a place, as a message has it."""
    fields: dict[str, Any] = decoded(kline_json(kline(number, prices, **{"closed": True} | changes)))
    return fields


def bar(number: int, prices: str = "100 110 90 105", **changes: Any) -> Kline:
    return kline_of(SYMBOL, "1m", said(number, prices, **changes))


def snapshot(n: int, *closed: int, forming: int | None = None, channel: str = CHANNEL, **more: Any) -> dict[str, Any]:
    return {
        "op": "snapshot",
        "n": n,
        "channel": channel,
        "klines": [said(number) for number in closed],
        "forming": None if forming is None else said(forming, closed=False),
        "state": "live",
    } | more
