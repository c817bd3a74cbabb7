"""The native protocol: updates, snapshots and replies -> WebSocket frames of JSON (see PROTOCOL.md). Pure.

Prices and volumes are validated decimal text and are inserted unchanged: JSON numbers with the digits of the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.protocol.deflate import deflated_frame
from gateway.protocol.frame import TEXT, frame, frame_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.delivery.commands import CommandError, CommandId
    from gateway.delivery.staleness import Staleness
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

SUBPROTOCOL = "kline.v1.json"
PROTOCOL_VERSION = 1


def kline_json(kline: Kline) -> bytes:
    """A complete kline as JSON."""
    return (
        f'{{"openTime":{kline.open_time_ms},"open":{kline.open},"high":{kline.high},"low":{kline.low}'
        f',"close":{kline.close},"volume":{kline.volume},"closeTime":{kline.close_time_ms}'
        f',"quoteVolume":{kline.quote_volume},"trades":{kline.trades},"isClosed":{"true" if kline.closed else "false"}'
        + (',"provisional":true}' if kline.provisional else "}")
    ).encode()


_DERIVED = {True: '"derived":true', False: '"derived":false'}
"""Also in full values once a ticker was derived: a client keeps fields that a newer value lacks."""


def ticker_json(ticker: Ticker) -> bytes:
    """A complete ticker as JSON: the fields that the source gave, and the event time if it is known."""
    fields = [f'"{letter}":{text}' for letter, text in zip("cohlvqpP", ticker[1:9], strict=True) if text]
    if ticker.trades >= 0:
        fields.append(f'"n":{ticker.trades}')
    if ticker.event_time_ms:
        fields.append(f'"E":{ticker.event_time_ms}')
    if ticker.derived is not None:
        fields.append(_DERIVED[ticker.derived])
    return f"{{{','.join(fields)}}}".encode()


DEFLATE_MIN_BYTES = 256
"""Shorter messages are not compressed: they shrink too little."""


class NativeDialect:
    """Updates as fragments `,[n,{...}]`, joined into one `update` message per flush. Keeps no state.

    `deflate`: the client has negotiated permessage-deflate; long messages are compressed. `event_times`: updates and
    forming klines have the event time `E` of the value that they make, in ms; `null` where it is not known.
    """

    name = "native"

    def __init__(self, *, deflate: bool = False, event_times: bool = False) -> None:
        self.deflate = deflate
        self.event_times = event_times

    def ticker(self, n: int, old: Ticker | None, new: Ticker) -> bytes:
        if old is None:
            return b",[%d,%b]" % (n, self._ticker_json(new))
        # Slots 1 to 8 are last, open, high, low, volume, quote volume, change, change percent.
        fields = [
            f'"{letter}":{text}'
            for letter, before, text in zip("cohlvqpP", old[1:9], new[1:9], strict=True)
            # A field missing in a newer ticker is unchanged: the protocol cannot express that it is gone.
            if text is not before and text != before and text
        ]
        if new.trades != old.trades and new.trades >= 0:
            fields.append(f'"n":{new.trades}')
        if new.derived is not old.derived and new.derived is not None:
            fields.append(_DERIVED[new.derived])
        return self._changes(n, fields, new.event_time_ms)

    def tickers(self, n: int, news: Iterable[Ticker]) -> bytes:
        """Empty: no native channel contains several symbols."""
        return b""

    def kline(self, n: int, old: Kline | None, new: Kline) -> bytes:
        if old is None or old.open_time_ms != new.open_time_ms:
            return b",[%d,%b]" % (n, self._kline_json(new))
        fields = [
            f'"{name}":{text}'
            for name, before, text in zip(_KLINE_NAMES, old[2:9], new[2:9], strict=True)
            if text != before
        ]
        if new.provisional is not old.provisional:
            fields.append(f'"provisional":{"true" if new.provisional else "false"}')
        return self._changes(n, fields, new.event_time_ms)

    def closed(self, n: int, kline: Kline) -> bytes:
        return b",[%d,%b]" % (n, self._kline_json(kline))

    def frame(self, body: bytes, now_ms: int, *, spare: bool) -> bytes:
        start = b'{"op":"update","t":%d,"u":[' % now_ms
        # Drop the first fragment's comma without copying the rest; two bytes close the message.
        fragments = memoryview(body)[1:]
        if spare and self.deflate and len(body) >= DEFLATE_MIN_BYTES:
            return deflated_frame(TEXT, b"".join((start, fragments, b"]}")))
        return b"".join((frame_head(TEXT, len(start) + len(body) + 1), start, fragments, b"]}"))

    def status(self, states: Mapping[int, Staleness]) -> bytes:
        """One message for each state that channels are in."""
        by_state: dict[Staleness, list[int]] = {}
        for n, state in states.items():
            by_state.setdefault(state, []).append(n)
        return b"".join(self._json(_status(ns, state)) for state, ns in by_state.items())

    def throttle(self, interval_ms: int, reason: str) -> bytes:
        return self._json({"op": "throttle", "interval_ms": interval_ms, "reason": reason})

    def heartbeat(self, now_ms: int) -> bytes:
        return self._json({"op": "heartbeat", "t": now_ms})

    def shutdown(self, retry_ms: int) -> bytes:
        """The notice before the gateway closes the connection; `retry_ms`: when the client should reconnect."""
        return self._json({"op": "shutdown", "retry_ms": retry_ms})

    def hello(
        self,
        server: str,
        now_ms: int,
        interval_ms: int,
        limits: Mapping[str, int],
        replay: Mapping[str, float | None] | None = None,
    ) -> bytes:
        """The first message of a connection. `interval_ms`: how long an update waits for its flush at most. `replay`:
        what is replayed, if it is no live connection."""
        return self._json(
            {
                "op": "hello",
                "protocol": PROTOCOL_VERSION,
                "server": server,
                "time": now_ms,
                "interval_ms": interval_ms,
                "limits": dict(limits),
                **({} if replay is None else {"replay": dict(replay)}),
            }
        )

    def replay_end(self, market_ms: int, reason: str) -> bytes:
        """The last message of a replay."""
        return self._json({"op": "replay_end", "t": market_ms, "reason": reason})

    def subscribed(
        self, id: CommandId, results: Mapping[str, int | CommandError], market_ms: int | None = None
    ) -> bytes:
        """The reply to `subscribe`. `results`: channel number or error, by channel name. `market_ms`: in a replay, the
        time that it is there."""
        channels = {
            name: {"n": result} if isinstance(result, int) else {"error": _error(result)}
            for name, result in results.items()
        }
        time = {} if market_ms is None else {"time": market_ms}
        return self._reply("subscribed", id, {"channels": channels, **time})

    def kline_snapshot(
        self,
        n: int,
        channel: str,
        klines: bytes,
        forming: Kline | None,
        state: Staleness,
        extra: Mapping[str, bool],
    ) -> bytes:
        """`klines`: encoded (`kline_json`) and comma-separated, made once for many snapshots. `extra`: flags."""
        body = b'"klines":[%b],"forming":%b' % (klines, self._kline_json(forming) if forming else b"null")
        message = _snapshot(n, channel, body, state, extra)
        if self.deflate and len(message) >= DEFLATE_MIN_BYTES:
            return deflated_frame(TEXT, message)
        return self._message(message)

    def ticker_snapshot(self, n: int, channel: str, ticker: Ticker | None, state: Staleness) -> bytes:
        """The snapshot of a ticker channel."""
        body = b'"ticker":%b' % (self._ticker_json(ticker) if ticker else b"null")
        return self._message(_snapshot(n, channel, body, state, {}))

    def unsubscribed(self, id: CommandId, channels: Iterable[str]) -> bytes:
        """The reply to `unsubscribe`."""
        return self._reply("unsubscribed", id, {"channels": list(channels)})

    def channel_list(self, id: CommandId, channels: Mapping[str, int]) -> bytes:
        """The reply to `list`: channel numbers by name."""
        return self._reply("list", id, {"channels": dict(channels)})

    def profile(self, id: CommandId, profile: Mapping[str, float | bool | None]) -> bytes:
        """The reply to `set`: what is in force now."""
        return self._reply("set", id, profile)

    def pong(self, id: CommandId, now_ms: int) -> bytes:
        """The reply to `ping`."""
        return self._reply("pong", id, {"time": now_ms})

    def authenticated(self, id: CommandId, expires_ms: int | None) -> bytes:
        """The reply to `auth`; `expires_ms`: None for a token without an end."""
        return self._reply("auth", id, {"expires": expires_ms})

    def error(self, error: CommandError) -> bytes:
        """The reply to a command that was refused."""
        return self._reply("error", error.id, _error(error))

    def _message(self, text: bytes) -> bytes:
        """One message with the bytes around it, ready to be written."""
        return frame(TEXT, text)

    def _json(self, message: Mapping[str, Any]) -> bytes:
        return self._message(orjson.dumps(message))

    def _reply(self, op: str, id: CommandId, fields: Mapping[str, Any]) -> bytes:
        return self._json({"op": op, **({} if id is None else {"id": id}), **fields})

    def _changes(self, n: int, fields: list[str], event_time_ms: int) -> bytes:
        """A fragment of changed fields; b"" if there are none: a value is not sent for its event time alone."""
        if not fields:
            return b""
        if self.event_times:
            fields.append(f'"E":{event_time_ms or "null"}')
        return f",[{n},{{{','.join(fields)}}}]".encode()

    def _ticker_json(self, ticker: Ticker) -> bytes:
        # A complete ticker has its event time anyhow, if it is known.
        return ticker_json(ticker) if ticker.event_time_ms else self._timed(ticker_json(ticker), 0)

    def _kline_json(self, kline: Kline) -> bytes:
        return self._timed(kline_json(kline), kline.event_time_ms)

    def _timed(self, value: bytes, event_time_ms: int) -> bytes:
        """A JSON object with its event time, if event times are sent."""
        return b'%b,"E":%b}' % (value[:-1], str(event_time_ms or "null").encode()) if self.event_times else value


_KLINE_NAMES = ("open", "high", "low", "close", "volume", "quoteVolume", "trades")


def _status(ns: Iterable[int], state: Staleness) -> dict[str, Any]:
    name = "live" if state.live else "stale"
    message: dict[str, Any] = {"op": "status", "channels": {str(n): name for n in ns}}
    if not state.live:
        message |= {"reason": state.reason, "since": state.since_ms}
    return message


def _snapshot(n: int, channel: str, body: bytes, state: Staleness, extra: Mapping[str, bool]) -> bytes:
    head = b'{"op":"snapshot","n":%d,"channel":"%b",' % (n, channel.encode())
    flags = "".join(f',"{key}":{"true" if value else "false"}' for key, value in extra.items())
    named = '"live"' if state.live else f'"stale","reason":"{state.reason}","since":{state.since_ms}'
    return b"".join((head, body, f',"state":{named}{flags}}}'.encode()))


def _error(error: CommandError) -> dict[str, str]:
    return {"code": error.code.value, "message": error.message}
