"""Binance's stream dialect: one WebSocket message per event, full values, prices as strings. Pure.

Field names, order and types follow "WebSocket Streams for Binance". Fields that the collector does not publish have the
values Binance uses for unknown ones (`f` and `L` -1, volumes "0"): typed clients fail on a missing key. A fragment is a
complete frame, so a flush is just its fragments joined: many messages leave in one write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.delivery.channel import View
from gateway.protocol.deflate import deflated_frame
from gateway.protocol.frame import TEXT, frame
from gateway.protocol.ticker_stats import change, change_percent, weighted_average

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.delivery.staleness import Staleness
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

DAY_MS = 86_400_000

DEFLATE_MIN_BYTES = 160
"""Shorter events are not compressed: each stands alone, and so they shrink too little."""


class Shown(Protocol):
    """What the dialect needs of a channel."""

    @property
    def name(self) -> str: ...

    @property
    def view(self) -> View: ...

    @property
    def symbol(self) -> str: ...

    @property
    def interval(self) -> str: ...


class BinanceDialect:
    """`combined`: events are wrapped as `{"stream":…,"data":…}`. `micro`: times in µs (`timeUnit=MICROSECOND`).
    `deflate`: the clients have negotiated permessage-deflate. An event is compressed once for all who share it."""

    name = "binance"

    def __init__(self, channels: Sequence[Shown], *, combined: bool, micro: bool, deflate: bool = False) -> None:
        self._channels = channels
        self.combined = combined
        self.micro = micro
        self.deflate = deflate
        self._zeros = "000" if micro else ""

    def ticker(self, n: int, old: Ticker | None, new: Ticker) -> bytes:
        channel = self._channels[n]
        if old is not None and old.event_time_ms == new.event_time_ms and old == new:
            return b""
        if channel.view is View.BOOK:
            if not (new.bid and new.ask) or (old is not None and old[13:17] == new[13:17]):
                return b""
            return self._event(channel.name, book_event(new))
        return self._event(channel.name, self._ticker_event(channel.view, new))

    def tickers(self, n: int, news: Iterable[Ticker]) -> bytes:
        channel = self._channels[n]
        return self._event(channel.name, f"[{','.join([self._ticker_event(channel.view, new) for new in news])}]")

    def kline(self, n: int, old: Kline | None, new: Kline) -> bytes:
        return self._kline(n, new) if old != new else b""

    def closed(self, n: int, kline: Kline) -> bytes:
        return self._kline(n, kline)

    def frame(self, body: bytes, now_ms: int, *, spare: bool) -> bytes:
        return body

    def status(self, states: Mapping[int, Staleness]) -> bytes:
        return b""

    def throttle(self, interval_ms: int, reason: str) -> bytes:
        return b""

    def heartbeat(self, now_ms: int) -> bytes:
        return b""

    def shutdown(self, now_ms: int) -> bytes:
        """The `serverShutdown` event before the gateway closes the connection."""
        return self._event("!serverShutdown", f'{{"e":"serverShutdown","E":{now_ms}{self._zeros}}}')

    def _event(self, stream: str, event: str) -> bytes:
        text = (f'{{"stream":"{stream}","data":{event}}}' if self.combined else event).encode()
        if self.deflate and len(text) >= DEFLATE_MIN_BYTES:
            return deflated_frame(TEXT, text)
        return frame(TEXT, text)

    def _kline(self, n: int, kline: Kline) -> bytes:
        channel, zeros = self._channels[n], self._zeros
        symbol, interval = channel.symbol, channel.interval
        # A closed kline from the store has no event time; its close time is the nearest.
        event_ms = kline.event_time_ms or kline.close_time_ms
        return self._event(
            channel.name,
            f'{{"e":"kline","E":{event_ms}{zeros},"s":"{symbol}","k":{{"t":{kline.open_time_ms}{zeros}'
            # A kline's close time is the last microsecond (or millisecond) before the next kline opens.
            f',"T":{kline.close_time_ms}{"999" if zeros else ""},"s":"{symbol}","i":"{interval}"'
            f',"f":{kline.first_trade_id},"L":{kline.last_trade_id},"o":"{kline.open}","c":"{kline.close}"'
            f',"h":"{kline.high}","l":"{kline.low}","v":"{kline.volume}","n":{kline.trades}'
            f',"x":{"true" if kline.closed else "false"},"q":"{kline.quote_volume}","V":"{kline.taker_volume}"'
            f',"Q":"{kline.taker_quote_volume}","B":"0"}}}}',
        )

    def _ticker_event(self, view: View, new: Ticker) -> str:
        zeros, last = self._zeros, new.last
        if view is View.MINI:
            return (
                f'{{"e":"24hrMiniTicker","E":{new.event_time_ms}{zeros},"s":"{new.symbol}","c":"{last}"'
                f',"o":"{new.open or last}","h":"{new.high or last}","l":"{new.low or last}"'
                f',"v":"{new.volume or 0}","q":"{new.quote_volume or 0}"}}'
            )
        open_ms = new.open_time_ms or new.event_time_ms - DAY_MS
        close_ms = new.close_time_ms or new.event_time_ms
        return (
            f'{{"e":"24hrTicker","E":{new.event_time_ms}{zeros},"s":"{new.symbol}","p":"{new.change or change(new)}"'
            f',"P":"{new.change_percent or change_percent(new)}","w":"{new.weighted_average or weighted_average(new)}"'
            f',"x":"{new.previous_close or new.open or last}","c":"{last}","Q":"{new.last_quantity or 0}"'
            f',"b":"{new.bid or 0}","B":"{new.bid_quantity or 0}","a":"{new.ask or 0}","A":"{new.ask_quantity or 0}"'
            f',"o":"{new.open or last}","h":"{new.high or last}","l":"{new.low or last}","v":"{new.volume or 0}"'
            f',"q":"{new.quote_volume or 0}","O":{open_ms}{zeros},"C":{close_ms}{zeros}'
            f',"F":{new.first_trade_id},"L":{new.last_trade_id},"n":{max(new.trades, 0)}}}'
        )


def book_event(new: Ticker) -> str:
    """A `bookTicker` event. The event time replaces the order book's update id `u`, which only has to increase."""
    return (
        f'{{"u":{new.event_time_ms},"s":"{new.symbol}","b":"{new.bid}","B":"{new.bid_quantity or 0}"'
        f',"a":"{new.ask}","A":"{new.ask_quantity or 0}"}}'
    )
