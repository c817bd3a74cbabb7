"""The state of one channel, folded from snapshots and updates as PROTOCOL.md says, in both dialects. Pure.

A view keeps the newest state only. A consumer that needs every closed kline takes them as `fold` returns them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from kline_gateway_client.codec import event_time, kline_from_array, kline_from_fields
from kline_gateway_client.intervals import previous_open_ms
from kline_gateway_client.values import Kline, Ticker

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS = {name: name for name in ("open", "high", "low", "close", "volume")} | {"quoteVolume": "quote_volume"}
_TICKER_FIELDS = {
    "c": "last", "o": "open", "h": "high", "l": "low", "v": "volume", "q": "quote_volume", "n": "trades",
    "E": "event_time_ms",
}  # fmt: skip


class KlineSnapshot(NamedTuple):
    """The klines of a channel's snapshot."""

    closed: tuple[Kline, ...]
    """Ascending by open time."""
    forming: Kline | None
    after_ms: int | None = None
    """If it continues what the client had: open time of the last closed kline before `closed`."""

    @property
    def end_ms(self) -> int | None:
        """Open time of the newest closed kline that it covers; None: unknown."""
        if self.closed:
            return self.closed[-1].open_time_ms
        return self.after_ms if self.forming is None else _previous_ms(self.forming)

    def continues(self, cursor_ms: int) -> bool:
        """Whether no kline is missing between the one that opens at `cursor_ms` and this snapshot."""
        if self.after_ms is not None and cursor_ms >= self.after_ms:
            return True
        klines = self.closed if self.forming is None else (*self.closed, self.forming)
        return any(cursor_ms in (kline.open_time_ms, _previous_ms(kline)) for kline in klines)


@dataclass(slots=True)
class KlineView:
    """The newest klines of one series. `forming` is always the kline after `last`."""

    symbol: str
    interval: str
    forming: Kline | None = None
    last: Kline | None = None
    """The newest closed kline, if one has arrived."""

    @property
    def newest(self) -> Kline | None:
        """The forming kline, otherwise the newest closed one."""
        return self.forming or self.last

    def current(self) -> KlineSnapshot:
        """The state as a snapshot, for a queue that is added later."""
        return KlineSnapshot(() if self.last is None else (self.last,), self.forming)

    def snapshot(self, message: Mapping[str, Any], resumed_ms: int | None) -> KlineSnapshot:
        """Apply a snapshot message; `resumed_ms` is the cursor that was sent with the subscription."""
        closed = tuple(kline_from_fields(self.symbol, self.interval, fields) for fields in message["klines"])
        forming = message["forming"]
        self.forming = None if forming is None else kline_from_fields(self.symbol, self.interval, forming)
        recovered = message.get("recovered", False)
        if closed or not recovered:
            self.last = closed[-1] if closed else None
        return KlineSnapshot(closed, self.forming, resumed_ms if recovered else None)

    def fold(self, update: Any) -> Kline | None:
        """Apply a full value or a delta; returns the kline if the update has closed it."""
        match update:
            case {"openTime": _}:
                return self._replace(kline_from_fields(self.symbol, self.interval, update))
            case [_, _, _, _, _, _, _, _, _, *_]:
                return self._replace(kline_from_array(self.symbol, self.interval, update))
        if self.forming is not None:
            self.forming = _apply_delta(self.forming, update)
        return None

    def _replace(self, kline: Kline) -> Kline | None:
        if not kline.closed:
            self.forming = kline
            return None
        self.last, self.forming = kline, None
        return kline


@dataclass(slots=True)
class TickerView:
    """The newest ticker of one symbol; there is none before its last price is known."""

    symbol: str
    _fields: dict[str, Any] = field(default_factory=dict)

    @property
    def newest(self) -> Ticker | None:
        """The ticker; None: no price has arrived."""
        return Ticker(self.symbol, **self._fields) if "last" in self._fields else None

    def snapshot(self, message: Mapping[str, Any]) -> None:
        """Replace the ticker by a snapshot message's."""
        self._fields.clear()
        self.fold(message["ticker"] or {})

    def fold(self, update: Any) -> None:
        """Apply a full value or a delta."""
        match update:
            case Decimal():
                update = {"c": update}
            case [last, at]:
                update = {"c": last, "E": at}
            case [*elements]:
                update = dict(zip(_TICKER_FIELDS, elements, strict=False))
        known = {_TICKER_FIELDS[letter]: value for letter, value in update.items() if letter in _TICKER_FIELDS}
        self._fields |= {name: value for name, value in known.items() if value is not None}
        if "trades" in self._fields:
            self._fields["trades"] = int(self._fields["trades"])
        self._fields["event_time_ms"] = event_time(update.get("E"))


View = KlineView | TickerView


def view_of(channel: str) -> View:
    """An empty view for a channel's name, such as `kline:BTCUSDT:1m`."""
    kind, symbol, interval = f"{channel}:".split(":")[:3]
    return KlineView(symbol, interval) if kind == "kline" else TickerView(symbol)


def _apply_delta(forming: Kline, delta: Any) -> Kline:
    match delta:
        case Decimal():
            return _with_close(forming, delta, None)
        case [close, at]:
            return _with_close(forming, close, at)
        case [*elements]:
            *prices, trades = elements[:7]
            at = event_time(elements[7]) if len(elements) > 7 else None
            figures = dict(zip(_FIELDS.values(), prices, strict=True))
            return forming._replace(**figures, trades=int(trades), event_time_ms=at)
    changes = {_FIELDS[name]: value for name, value in delta.items() if name in _FIELDS}
    changes["event_time_ms"] = event_time(delta.get("E"))
    if "trades" in delta:
        changes["trades"] = int(delta["trades"])
    if "provisional" in delta:
        changes["provisional"] = delta["provisional"]
    return forming._replace(**changes)


def _with_close(forming: Kline, close: Decimal, at: Decimal | None) -> Kline:
    high, low = max(forming.high, close), min(forming.low, close)
    return forming._replace(close=close, high=high, low=low, event_time_ms=event_time(at))


def _previous_ms(kline: Kline) -> int:
    return previous_open_ms(kline.interval, kline.open_time_ms)
