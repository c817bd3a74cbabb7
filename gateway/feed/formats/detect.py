"""Which format a payload looks like, to tell people what to set. Pure, and only ever a guess."""

from __future__ import annotations

import json
from typing import Any

_OBJECTS = {
    "cryptofeed": ({"exchange", "symbol", "start", "stop"}, {"exchange", "symbol", "bid", "ask"}),
    "ccxt": ({"symbol", "last", "baseVolume"},),
    "array": ({"symbol", "lastPrice", "closeTime"},),
    "binance": ({"t", "o", "h", "l", "c"}, {"s", "c"}, {"e", "k"}),
}
"""Format -> the fields that its objects have."""

_ROWS = {6: "ccxt", 12: "array"}
"""Elements of a row -> the format."""


def looks_like(payload: bytes) -> str:
    """The name of the format that a payload seems to have; "" where it looks like none."""
    try:
        data: Any = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    if isinstance(data, list) and data:
        row = data[0] if isinstance(data[0], list) else data
        return _ROWS.get(len(row), "")
    if isinstance(data, dict):
        return next((name for name, kinds in _OBJECTS.items() if any(kind <= data.keys() for kind in kinds)), "")
    return ""
