"""Events of a replay to frames, in the dialect of its client. Pure.

A frame has what happens at one moment and says the market's time. So a replay of the same time sends the same frames,
however fast it is and however often it had to wait.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from gateway.model.kline import Kline
from gateway.replay.channels import ReplayKlines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.delivery.dialect import Style
    from gateway.model.ticker import Ticker
    from gateway.replay.channels import ReplayChannel
    from gateway.replay.timeline import Event


class EventEncoder:
    """Encodes for one client: forming klines and tickers as what has changed since it was last sent them."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self._sent: dict[int, Kline | Ticker] = {}

    def set_style(self, style: Style) -> None:
        """Encode differently from now on; what has been sent must be sent again."""
        self.style = style
        self._sent.clear()

    def note(self, channel: ReplayChannel) -> None:
        """The client has been sent the channel's value in a snapshot."""
        value = _value(channel)
        if value is not None:
            self._sent[channel.n] = value

    def forget(self, n: int) -> None:
        """The client has no longer subscribed to a channel."""
        self._sent.pop(n, None)

    def frames(self, events: Iterable[Event]) -> bytes:
        """The frames of events, in their order; b"" where the client is sent none of them."""
        dialect = self.style[0]
        found: list[bytes] = []
        for at_ms, some in groupby(events, key=lambda event: event.at_ms):
            if body := b"".join([self._fragment(event.channel, event.value) for event in some]):
                found.append(dialect.frame(body, at_ms, spare=True))
        return b"".join(found)

    def values(self, channels: Iterable[ReplayChannel], now_ms: int) -> bytes:
        """The frames with the values of channels as they are now."""
        pairs = [(channel, value) for channel in channels if (value := _value(channel)) is not None]
        body = b"".join([self._fragment(channel, value) for channel, value in pairs])
        return self.style[0].frame(body, now_ms, spare=True) if body else b""

    def _fragment(self, channel: ReplayChannel, value: Kline | Ticker) -> bytes:
        dialect, closed_only = self.style
        n = channel.n
        if isinstance(value, Kline) and value.closed:
            self._sent.pop(n, None)
            return dialect.closed(n, value)
        if closed_only:
            return b""
        before = self._sent.get(n)
        self._sent[n] = value
        if isinstance(value, Kline):
            return dialect.kline(n, before if isinstance(before, Kline) else None, value)
        return dialect.ticker(n, None if isinstance(before, Kline) else before, value)


def _value(channel: ReplayChannel) -> Kline | Ticker | None:
    return channel.forming if isinstance(channel, ReplayKlines) else channel.value
