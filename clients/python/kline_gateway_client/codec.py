"""Decodes JSON into values and encodes commands; nothing else touches JSON. Prices keep all digits. Pure."""

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


def decode_json(text: str | bytes) -> Any:
    """Decode JSON with every number as a `Decimal`; raises `ValueError`."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def kline_from_fields(symbol: str, interval: str, fields: Mapping[str, Any]) -> Kline:
    """The kline of a full value in the native dialect."""
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
        event_time(fields.get("E")),
    )


def kline_from_array(symbol: str, interval: str, elements: Sequence[Decimal]) -> Kline:
    """The kline of a full value in the compact dialect: `[openTime,o,h,l,c,v,q,n,state]`, or that and `E`."""
    open_time, open_, high, low, close, volume, quote_volume, trades, state = elements[:9]
    open_time_ms = int(open_time)
    return Kline(
        symbol,
        interval,
        open_time_ms,
        close_time_ms(interval, open_time_ms),
        open_,
        high,
        low,
        close,
        volume,
        quote_volume,
        int(trades),
        state == _CLOSED,
        state == _PROVISIONAL,
        event_time(elements[9]) if len(elements) > 9 else None,
    )


def event_time(value: Decimal | None) -> int | None:
    """An event time in ms; None where it is absent or not known."""
    return None if value is None else int(value)


def encode_subscribe(id: int, channels: Sequence[str], history: int, resume: Mapping[str, int]) -> str:
    """A subscribe command; `resume` maps channels to cursors, open times in ms."""
    command: dict[str, Any] = {"op": "subscribe", "id": id, "channels": channels}
    if history:
        command["history"] = history
    if resume:
        command["resume"] = resume
    return json.dumps(command, separators=(",", ":"))


def encode_unsubscribe(id: int, channels: Sequence[str]) -> str:
    """An unsubscribe command."""
    return json.dumps({"op": "unsubscribe", "id": id, "channels": channels}, separators=(",", ":"))


def encode_set(id: int, settings: Mapping[str, float | bool]) -> str:
    """A set command: the settings of the connection that it names."""
    return json.dumps({"op": "set", "id": id, **settings}, separators=(",", ":"))
