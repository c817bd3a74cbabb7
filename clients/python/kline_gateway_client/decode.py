"""The border between text and values: JSON is decoded here and nowhere else, and no digit of a price is lost. Pure."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kline_gateway_client.intervals import close_time_ms
from kline_gateway_client.values import Kline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JSON = "kline.v1.json"
COMPACT = "kline.v1.compact"

_CLOSED, _PROVISIONAL = 1, 2


def decoded(text: str | bytes) -> Any:
    """JSON with every number as a `Decimal`; raises `ValueError`."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def kline_of(symbol: str, interval: str, fields: Mapping[str, Any]) -> Kline:
    """A whole kline of the native dialect."""
    return Kline(
        symbol,
        interval,
        int(fields["openTime"]),
        int(fields["closeTime"]),
        fields["open"],
        fields["high"],
        fields["low"],
        fields["close"],
        fields["volume"],
        fields["quoteVolume"],
        int(fields["trades"]),
        fields["isClosed"],
        fields.get("provisional", False),
    )


def kline_of_compact(symbol: str, interval: str, elements: Sequence[Decimal]) -> Kline:
    """A whole kline of the compact variant: `[openTime,o,h,l,c,v,q,n,state]`."""
    open_time_ms, open_, high, low, close, volume, quote_volume, trades, state = elements
    opened_ms = int(open_time_ms)
    return Kline(
        symbol,
        interval,
        opened_ms,
        close_time_ms(interval, opened_ms),
        open_,
        high,
        low,
        close,
        volume,
        quote_volume,
        int(trades),
        state == _CLOSED,
        state == _PROVISIONAL,
    )


def subscribe(id: int, channels: Sequence[str], history: int, resume: Mapping[str, int]) -> str:
    command: dict[str, Any] = {"op": "subscribe", "id": id, "channels": channels}
    if history:
        command["history"] = history
    if resume:
        command["resume"] = resume
    return json.dumps(command, separators=(",", ":"))


def unsubscribe(id: int, channels: Sequence[str]) -> str:
    return json.dumps({"op": "unsubscribe", "id": id, "channels": channels}, separators=(",", ":"))
