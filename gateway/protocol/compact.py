"""The compact variant of the native protocol: flushes as flat arrays, everything else as in `native.py`. Pure.

A flush is `[t, n, update, n, update, …]`; the most frequent update is the shortest: a bare number is a price.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from gateway.protocol.deflate import deflated_frame
from gateway.protocol.frame import TEXT, frame_head
from gateway.protocol.native import DEFLATE_MIN_BYTES, NativeDialect

if TYPE_CHECKING:
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

SUBPROTOCOL = "kline.v1.compact"

STATS_EVERY_MS = 5000
"""24 h statistics are sent once in each span of event time of this length, prices always."""

FORMING, CLOSED, PROVISIONAL = 0, 1, 2


class CompactDialect(NativeDialect):
    """The native protocol with flushes a fifth of the size."""

    name = "compact"

    def ticker(self, n: int, old: Ticker | None, new: Ticker) -> bytes:
        if old is None or old.event_time_ms // STATS_EVERY_MS != new.event_time_ms // STATS_EVERY_MS:
            stats = ",".join([text or "null" for text in new[1:7]])
            return self._array(n, f"{stats},{new.trades if new.trades >= 0 else 'null'}", new.event_time_ms)
        return self._price(n, new.last, new.event_time_ms) if new.last != old.last else b""

    def kline(self, n: int, old: Kline | None, new: Kline) -> bytes:
        if old is None or old.open_time_ms != new.open_time_ms or old.provisional is not new.provisional:
            return self._whole(n, new, PROVISIONAL if new.provisional else FORMING)
        if old[2:9] == new[2:9]:
            return b""
        if old[6:9] == new[6:9] and old.open == new.open and _follows_close(old, new):
            # Volume, quote volume and trades are unchanged.
            return self._price(n, new.close, new.event_time_ms)
        figures = f"{new.open},{new.high},{new.low},{new.close},{new.volume},{new.quote_volume},{new.trades}"
        return self._array(n, figures, new.event_time_ms)

    def closed(self, n: int, kline: Kline) -> bytes:
        return self._whole(n, kline, CLOSED)

    def frame(self, body: bytes, now_ms: int, *, spare: bool) -> bytes:
        start = b"[%d" % now_ms
        if spare and self.deflate and len(body) >= DEFLATE_MIN_BYTES:
            return deflated_frame(TEXT, b"".join((start, body, b"]")))
        return b"".join((frame_head(TEXT, len(start) + len(body) + 1), start, body, b"]"))

    def _whole(self, n: int, kline: Kline, state: int) -> bytes:
        figures = (
            f"{kline.open_time_ms},{kline.open},{kline.high},{kline.low},{kline.close}"
            f",{kline.volume},{kline.quote_volume},{kline.trades},{state}"
        )
        return self._array(n, figures, kline.event_time_ms)

    def _price(self, n: int, price: str, event_time_ms: int) -> bytes:
        """A price alone: a bare number, or one with its event time."""
        return self._array(n, price, event_time_ms) if self.event_times else f",{n},{price}".encode()

    def _array(self, n: int, figures: str, event_time_ms: int) -> bytes:
        """Event times come last, so that an update's length says what it is."""
        time = f",{event_time_ms or 'null'}" if self.event_times else ""
        return f",{n},[{figures}{time}]".encode()


def _follows_close(old: Kline, new: Kline) -> bool:
    """Whether a client that widens its high and low by the new close arrives at the new high and low."""
    high_follows = new.high == old.high or (new.high == new.close and Decimal(new.close) > Decimal(old.high))
    low_follows = new.low == old.low or (new.low == new.close and Decimal(new.close) < Decimal(old.low))
    return high_follows and low_follows
