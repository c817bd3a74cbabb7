"""What an entry of a Redis stream is about, and its payload as one piece. Pure.

Collectors write an entry in one of two ways: one field holds the payload as JSON (others may name symbol and interval),
or the payload's own fields are the entry's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

_SYMBOL = ("symbol", "s")
_INTERVAL = ("interval", "timeframe", "i")
_PLAIN: dict[bytes, Any] = {
    b"True": True,
    b"true": True,
    b"False": False,
    b"false": False,
    b"None": None,
    b"null": None,
}

# Fits into 64 bits: what is longer would lose digits as a number.
_is_integer = re.compile(rb"-?(?:0|[1-9][0-9]{0,17})").fullmatch


class Entry(NamedTuple):
    """`symbol`, `interval`: "" where the entry does not name them."""

    symbol: str
    interval: str
    payload: bytes


def entry_of(fields: Mapping[bytes, bytes]) -> Entry:
    """Read the fields of an entry. Never fails: what cannot be read is a payload that will be refused."""
    body = next((value for value in fields.values() if value[:1] in (b"{", b"[")), None)
    named = {name.decode("utf-8", "replace"): _value(value) for name, value in fields.items()}
    symbol, interval = _named(named, _SYMBOL), _named(named, _INTERVAL)
    if body is None:
        return Entry(symbol, interval, orjson.dumps(named))
    if (not symbol or not interval) and body[:1] == b"{":
        inner = _object(body)
        kline = inner.get("k")
        if isinstance(kline, dict):
            inner = {**inner, **kline}
        symbol, interval = symbol or _named(inner, _SYMBOL), interval or _named(inner, _INTERVAL)
    return Entry(symbol, interval, body)


def _named(values: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = next((values[name] for name in names if name in values), "")
    return found if isinstance(found, str) else ""


def _value(text: bytes) -> Any:
    """The value that a field's text stands for. Decimals stay text, so that they keep their digits."""
    if text in _PLAIN:
        return _PLAIN[text]
    return int(text) if _is_integer(text) else text.decode("utf-8", "replace")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
