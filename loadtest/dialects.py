"""What a client must know of a wire dialect: how updates are recognised, counted and decoded. Pure.

Most clients count without decoding, and the counts are exact for what this feed publishes:

- native: a ticker's news holds `"c":` exactly once (each update has a new last price, and no other key ends in `c`), a
  closed kline's `"isClosed":true`;
- compact: a beat of tickers is `[t,n,price,n,[7 figures],…]`, so its news are (commas - 6 x inner arrays) / 2. With
  klines among them that does not hold, so a scenario with klines must decode them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

News = tuple[int, dict[str, Any]]
"""A channel's number and its news, with the field names of the native dialect."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One wire format of the stream endpoint."""

    name: str
    subprotocol: str | None
    update_prefix: bytes
    """How the payload of an update begins; no other message begins so."""
    count_tickers: Callable[[bytearray, int, int], tuple[int, int]]
    """Ticker news and closed klines in the update `data[start:stop]`, where there are no klines."""
    count_all: Callable[[bytearray, int, int], tuple[int, int]] | None
    """The same where there are klines; None: it takes decoding."""
    updates: Callable[[bytes], list[News]]
    """Decodes an update's payload."""
    message: Callable[[bytes], dict[str, Any]]
    """Decodes any other message, to the native shape."""


def _native_tickers(data: bytearray, start: int, stop: int) -> tuple[int, int]:
    return data.count(b'"c":', start, stop), 0


def _native_all(data: bytearray, start: int, stop: int) -> tuple[int, int]:
    return data.count(b'"c":', start, stop), data.count(b'"isClosed":true', start, stop)


def _native_updates(payload: bytes) -> list[News]:
    news: list[News] = orjson.loads(payload)["u"]
    return news


def _message(payload: bytes) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(payload)
    return message


def _compact_tickers(data: bytearray, start: int, stop: int) -> tuple[int, int]:
    inner = data.count(b"[", start, stop) - 1
    return (data.count(b",", start, stop) - 6 * inner) // 2, 0


def _compact_updates(payload: bytes) -> list[News]:
    _, *rest = orjson.loads(payload)
    return [(number, _compact_news(news)) for number, news in zip(rest[::2], rest[1::2], strict=True)]


def _compact_news(news: Any) -> dict[str, Any]:
    """The news does not say whether its channel is a ticker or a kline: the fields of both are given."""
    match news:
        case [open_time_ms, _, _, _, close, volume, _, _, state]:
            return {"openTime": open_time_ms, "close": close, "volume": volume, "isClosed": state == 1}
        case [first, _, _, fourth, _, _, _]:
            return {"c": first, "close": fourth}
        case _:
            return {"c": news, "close": news}


NATIVE = Dialect(
    name="native",
    subprotocol=None,
    update_prefix=b'{"op":"update"',
    count_tickers=_native_tickers,
    count_all=_native_all,
    updates=_native_updates,
    message=_message,
)

COMPACT = Dialect(
    name="compact",
    subprotocol="kline.v1.compact",
    update_prefix=b"[",
    count_tickers=_compact_tickers,
    count_all=None,
    updates=_compact_updates,
    message=_message,
)

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (NATIVE, COMPACT)}
