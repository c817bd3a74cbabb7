"""Phoenix channels, as clients of Supabase's Realtime speak them: messages, replies and broadcasts. Pure.

Sources: "Realtime Protocol" of Supabase's documentation, and the serializers of phoenix.js and realtime-js. A message
is an object in version 1.0.0, and in 2.0.0 the array `[join_ref, ref, topic, event, payload]`; both are text. One event
is one message, and a fragment is a complete frame, as in Binance's dialect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from gateway.protocol.frame import TEXT, frame
from gateway.protocol.functions import kline_row

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from gateway.delivery.channel import Channel
    from gateway.delivery.staleness import Staleness
    from gateway.model.kline import Kline
    from gateway.model.symbol import SymbolRule
    from gateway.model.ticker import Ticker

Ref = int | str | None

PREFIX = "realtime:"
"""Stands before a topic where supabase-js joins it."""
KIND = "klines"
TEXT_MAX = 255
"""Characters of a topic, an event and a ref: more does not fit into version 2.0.0."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message from a client. `ref` and `join_ref` come back in the reply."""

    topic: str
    event: str
    payload: dict[str, Any]
    ref: Ref = None
    join_ref: Ref = None


@dataclass(frozen=True, slots=True)
class Topic:
    """The topic of a series' klines. `prefix`: `PREFIX`, or nothing."""

    prefix: str
    symbol: str
    interval: str

    @property
    def channel(self) -> str:
        """The name of its channel, the same whatever the prefix."""
        return f"{KIND}:{self.symbol}:{self.interval}"

    @property
    def native_name(self) -> str:
        """The native channel of the same data, which tokens name."""
        return f"kline:{self.symbol}:{self.interval}"


class Topics:
    """Parses the topics that this gateway serves."""

    def __init__(self, symbols: SymbolRule, intervals: Collection[str]) -> None:
        self._symbols = symbols
        self._intervals = frozenset(intervals)

    def parse(self, text: str) -> Topic | None:
        """The topic of a text, `realtime:klines:SYMBOL:INTERVAL` or without `realtime:`; None where it is none."""
        name = text.removeprefix(PREFIX)
        kind, _, rest = name.partition(":")
        symbol, _, interval = rest.partition(":")
        if kind != KIND or interval not in self._intervals or not self._symbols.admits(symbol):
            return None
        return Topic(text[: len(text) - len(name)], symbol, interval)


def decode(text: bytes) -> Message | None:
    """The message of a text in either version; None for what is no message."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if isinstance(data, list) and len(data) == 5:
        join_ref, ref, topic, event, payload = data
    elif isinstance(data, dict):
        join_ref, ref, topic, event, payload = map(data.get, ("join_ref", "ref", "topic", "event", "payload"))
    else:
        return None
    if not (_is_text(topic) and _is_text(event) and _is_ref(ref) and _is_ref(join_ref)):
        return None
    return Message(topic, event, payload if isinstance(payload, dict) else {}, ref, join_ref)


class PhoenixDialect:
    """`arrays`: version 2.0.0. `prefix`: of the topics that the client has joined."""

    name = "phoenix"

    def __init__(self, channels: Sequence[Channel], *, arrays: bool, prefix: str) -> None:
        self._channels = channels
        self.arrays = arrays
        self.prefix = prefix

    def ticker(self, n: int, old: Ticker | None, new: Ticker) -> bytes:
        """Empty, like `tickers`: no topic has tickers."""
        return b""

    def tickers(self, n: int, changed: Iterable[Ticker]) -> bytes:
        return b""

    def kline(self, n: int, old: Kline | None, new: Kline) -> bytes:
        return self._broadcast(n, new) if old != new else b""

    def closed(self, n: int, kline: Kline) -> bytes:
        return self._broadcast(n, kline)

    def frame(self, body: bytes, now_ms: int, *, spare: bool) -> bytes:
        return body

    def status(self, states: Mapping[int, Staleness]) -> bytes:
        """Empty, like `throttle` and `heartbeat`: the protocol has no such message, and its clients have their own."""
        return b""

    def throttle(self, interval_ms: int, reason: str) -> bytes:
        return b""

    def heartbeat(self, now_ms: int) -> bytes:
        return b""

    def reply(self, message: Message, error: str = "") -> bytes:
        """The reply to a message; `error`: why it was refused."""
        response: dict[str, object] = {"reason": error} if error else {}
        if message.event == "phx_join" and not error:
            # There is no database whose changes could be followed.
            response["postgres_changes"] = []
        payload = {"status": "error" if error else "ok", "response": response}
        return self._message(message.join_ref, message.ref, message.topic, b"phx_reply", orjson.dumps(payload))

    def system(self, topic: str, error: str) -> bytes:
        """Tells the client of a topic that something it has sent, to which there is no reply, was refused."""
        payload = {"extension": "system", "status": "error", "message": error, "channel": topic.removeprefix(PREFIX)}
        return self._message(None, None, topic, b"system", orjson.dumps(payload))

    def _broadcast(self, n: int, kline: Kline) -> bytes:
        channel = self._channels[n]
        symbol, interval = orjson.dumps(channel.symbol), channel.interval.encode()
        event_ms = kline.event_time_ms or kline.close_time_ms
        payload = (
            b'{"type":"broadcast","event":"kline_update","payload":'
            b'{"symbol":%b,"timeframe":"%b","kline":%b,"timestamp":%d}}'
            % (symbol, interval, kline_row(kline), event_ms)
        )
        return self._message(None, None, self.prefix + channel.name, b"broadcast", payload)

    def _message(self, join_ref: Ref, ref: Ref, topic: str, event: bytes, payload: bytes) -> bytes:
        join, own, name = orjson.dumps(join_ref), orjson.dumps(ref), orjson.dumps(topic)
        if self.arrays:
            return frame(TEXT, b'[%b,%b,%b,"%b",%b]' % (join, own, name, event, payload))
        return frame(TEXT, b'{"topic":%b,"event":"%b","payload":%b,"ref":%b}' % (name, event, payload, own))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_MAX


def _is_ref(value: object) -> bool:
    return value is None or (type(value) is int and abs(value) < 1 << 63) or _is_text(value)
