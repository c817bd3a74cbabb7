"""What a client must know of a wire dialect: how to recognise, count and decode updates. Pure.

Most clients count without decoding, and the counts are exact for what this feed publishes:

- native: a ticker's update holds `"c":` exactly once (each has a new last price, and no other key ends in `c`), a
  closed kline's update holds `"isClosed":true`;
- compact: a flush of tickers is `[t,n,price,n,[7 figures],…]`, so it has (commas - 6 x inner arrays) / 2 updates. That
  does not hold with klines in it, so a scenario with klines must decode everything;
- binance: each message is one event and names its type exactly once. Clients follow mini tickers only;
- plain: each message is a ticker as the collector published it, which holds `{"s":"` exactly once. Not of the gateway:
  a server that passes messages on speaks it, see `compare/`;
- nats: the NATS protocol in binary frames; each message begins with `MSG ` and its subject, which is the channel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from loadtest.feeder.ticker_feed import ticker_json
from loadtest.protocol.websocket import BINARY, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

ChannelUpdate = tuple[int | str, dict[str, Any]]
"""A channel's number (or its name, where the dialect has no numbers), and its fields by their native names."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One wire format of the stream endpoint."""

    name: str
    subprotocol: str | None
    update_prefix: bytes
    """First bytes of every update's payload, and of no other message's."""
    count_tickers: Callable[[bytearray, int, int], tuple[int, int]]
    """Ticker updates and closed klines in the update `data[start:stop]`, where there are no klines."""
    count_all: Callable[[bytearray, int, int], tuple[int, int]] | None
    """The same where there are klines; None: it takes decoding."""
    updates: Callable[[bytes], list[ChannelUpdate]]
    """Decodes an update's payload."""
    message: Callable[[bytes], dict[str, Any]]
    """Decodes any other message, to the native shape."""
    subscribe: Callable[[int, list[str], int, dict[str, int]], dict[str, Any]]
    """The command for channels, from its id, their names, how much history and where to resume."""
    snapshots: bool = True
    """Whether a subscription is answered with a snapshot of each channel; else its reply is all there is."""
    run_pattern: re.Pattern[bytes] | None = None
    """Matches a row of update frames with headers, in a dialect with too many small frames to walk one by one."""
    opcode: int = TEXT
    """Opcode of updates and of commands."""
    encode: Callable[[dict[str, Any]], bytes] = orjson.dumps
    """The payload of a command."""


def _native_tickers(data: bytearray, start: int, stop: int) -> tuple[int, int]:
    return data.count(b'"c":', start, stop), 0


def _native_all(data: bytearray, start: int, stop: int) -> tuple[int, int]:
    return data.count(b'"c":', start, stop), data.count(b'"isClosed":true', start, stop)


def _native_updates(payload: bytes) -> list[ChannelUpdate]:
    updates: list[ChannelUpdate] = orjson.loads(payload)["u"]
    return updates


def _message(payload: bytes) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(payload)
    return message


def _native_subscribe(id: int, names: list[str], history: int, resume: dict[str, int]) -> dict[str, Any]:
    body: dict[str, Any] = {"op": "subscribe", "id": id, "channels": names}
    if history:
        body["history"] = history
    if resume:
        body["resume"] = resume
    return body


def _compact_tickers(data: bytearray, start: int, stop: int) -> tuple[int, int]:
    inner = data.count(b"[", start, stop) - 1
    return (data.count(b",", start, stop) - 6 * inner) // 2, 0


def _compact_updates(payload: bytes) -> list[ChannelUpdate]:
    _, *rest = orjson.loads(payload)
    return [(number, _compact_fields(updates)) for number, updates in zip(rest[::2], rest[1::2], strict=True)]


def _compact_fields(updates: Any) -> dict[str, Any]:
    """Compact values do not say whether the channel is a ticker or a kline: the result has the fields of both."""
    match updates:
        case [open_time_ms, _, _, _, close, volume, _, _, state]:
            return {"openTime": open_time_ms, "close": close, "volume": volume, "isClosed": state == 1}
        case [first, _, _, fourth, _, _, _]:
            return {"c": first, "close": fourth}
        case _:
            return {"c": updates, "close": updates}


def _binance_events(data: bytearray, start: int, stop: int) -> tuple[int, int]:
    return data.count(b'"e":"24hrMiniTicker"', start, stop), 0


def _binance_updates(payload: bytes) -> list[ChannelUpdate]:
    event = orjson.loads(payload)["data"]
    return [(f"ticker:{event['s']}", {"c": float(event["c"])})]


def _binance_message(payload: bytes) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(payload)
    if "error" in message:
        return {"op": "error", "code": f"BINANCE_{message['error']['code']}"}
    return {"op": "subscribed", "channels": {}} if "result" in message else {"op": message.get("e", "event")}


def _binance_subscribe(id: int, names: list[str], history: int, resume: dict[str, int]) -> dict[str, Any]:
    streams = [f"{name.partition(':')[2].lower()}@miniTicker" for name in names]
    return {"method": "SUBSCRIBE", "params": streams, "id": id}


# What follows the symbol has the same length in every ticker of the feed.
_TICKER = ticker_json("", "0" * 8, "0000")
_AFTER_SYMBOL = len(_TICKER) - len('{"s":"')
_find_prices = re.compile(rb'\{"s":"([^"]+)","c":"([0-9.]+)"').findall


def _plain_tickers(data: bytearray, start: int, stop: int) -> tuple[int, int]:
    return data.count(b'{"s":"', start, stop), 0


def _plain_updates(payload: bytes) -> list[ChannelUpdate]:
    return [(f"ticker:{symbol.decode()}", {"c": float(price)}) for symbol, price in _find_prices(payload)]


def _nats_tickers(data: bytearray, start: int, stop: int) -> tuple[int, int]:
    return data.count(b"MSG ticker:", start, stop), 0


def _nats_message(payload: bytes) -> dict[str, Any]:
    """What the server says of itself; its answer to the PING behind the subscriptions says that they are in force."""
    verb, _, rest = payload.strip().partition(b" ")
    match verb:
        case b"PONG":
            return {"op": "subscribed", "channels": {}}
        case b"-ERR":
            return {"op": "error", "code": rest.decode(errors="replace")}
        case _:
            return {"op": verb.decode(errors="replace").lower()}


def _nats_command(command: dict[str, Any]) -> bytes:
    """CONNECT before the first subscriptions, one SUB for each channel, and a PING that is answered after them."""
    first = 'CONNECT {"verbose":false,"pedantic":false}\r\n' if not command["id"] else ""
    channels = enumerate(command["channels"], command["id"] + 1)
    return "".join([first, *(f"SUB {name} {number}\r\n" for number, name in channels), "PING\r\n"]).encode()


NATIVE = Dialect(
    name="native",
    subprotocol=None,
    update_prefix=b'{"op":"update"',
    count_tickers=_native_tickers,
    count_all=_native_all,
    updates=_native_updates,
    message=_message,
    subscribe=_native_subscribe,
)

COMPACT = Dialect(
    name="compact",
    subprotocol="kline.v1.compact",
    update_prefix=b"[",
    count_tickers=_compact_tickers,
    count_all=None,
    updates=_compact_updates,
    message=_message,
    subscribe=_native_subscribe,
)

BINANCE = Dialect(
    name="binance",
    subprotocol=None,
    update_prefix=b'{"stream":"',
    count_tickers=_binance_events,
    count_all=None,
    updates=_binance_updates,
    message=_binance_message,
    subscribe=_binance_subscribe,
    snapshots=False,
    # A final text frame of 126 to 65,535 bytes whose payload is one flat event; possessive, so that it never goes back.
    run_pattern=re.compile(rb'(?:\x81\x7e..\{"stream":"[^{}]*+\{[^{}]*+\}\})++', re.DOTALL),
)

PLAIN = Dialect(
    name="plain",
    subprotocol=None,
    update_prefix=b'{"s":"',
    count_tickers=_plain_tickers,
    count_all=None,
    updates=_plain_updates,
    message=_message,
    subscribe=_native_subscribe,
    snapshots=False,
    run_pattern=re.compile(rb'(?:\x81\x7e..\{"s":"[^"]++.{%d})++' % _AFTER_SYMBOL, re.DOTALL),
)

NATS = Dialect(
    name="nats",
    subprotocol=None,
    update_prefix=b"MSG ",
    count_tickers=_nats_tickers,
    count_all=None,
    updates=_plain_updates,
    message=_nats_message,
    subscribe=_native_subscribe,
    snapshots=False,
    opcode=BINARY,
    encode=_nats_command,
)

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (NATIVE, COMPACT, BINANCE, PLAIN, NATS)}
