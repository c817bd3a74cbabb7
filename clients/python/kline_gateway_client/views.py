"""What a client holds of one channel, folded as PROTOCOL.md says, in both variants of the protocol. Pure.

A view keeps the newest state only; whoever wants every closed kline takes them as they come out of the folding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from kline_gateway_client.decode import kline_of, kline_of_compact
from kline_gateway_client.intervals import previous_open_ms
from kline_gateway_client.values import Kline, Ticker

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS = {name: name for name in ("open", "high", "low", "close", "volume")} | {"quoteVolume": "quote_volume"}
_TICKER_FIELDS = {
    "c": "last", "o": "open", "h": "high", "l": "low", "v": "volume", "q": "quote_volume", "n": "trades"
}  # fmt: skip


class Past(NamedTuple):
    """What a snapshot says of a channel's closed klines."""

    klines: tuple[Kline, ...]
    """Ascending."""
    forming: Kline | None
    after_ms: int | None = None
    """Where it continues what was held: open time of the last closed kline before `klines`."""

    @property
    def end_ms(self) -> int | None:
        """Open time of the kline after which news will come."""
        if self.klines:
            return self.klines[-1].open_time_ms
        return self.after_ms if self.forming is None else _before(self.forming)

    def continues(self, cursor_ms: int) -> bool:
        """Whether nothing is missing between the kline at the cursor and these."""
        if self.after_ms is not None and cursor_ms >= self.after_ms:
            return True
        bars = self.klines if self.forming is None else (*self.klines, self.forming)
        return any(cursor_ms in (bar.open_time_ms, _before(bar)) for bar in bars)


@dataclass(slots=True)
class KlineView:
    """`forming` is always the bar after `last`."""

    symbol: str
    interval: str
    forming: Kline | None = None
    last: Kline | None = None
    """The newest closed kline, if one came."""

    @property
    def newest(self) -> Kline | None:
        return self.forming or self.last

    @property
    def past(self) -> Past:
        """What is held, as a snapshot would say it."""
        return Past(() if self.last is None else (self.last,), self.forming)

    def snapshot(self, message: Mapping[str, Any], resumed_ms: int | None) -> Past:
        """Take a snapshot; `resumed_ms` is the cursor that was sent with the subscription."""
        klines = tuple(kline_of(self.symbol, self.interval, fields) for fields in message["klines"])
        forming = message["forming"]
        self.forming = None if forming is None else kline_of(self.symbol, self.interval, forming)
        recovered = message.get("recovered", False)
        if klines or not recovered:
            self.last = klines[-1] if klines else None
        return Past(klines, self.forming, resumed_ms if recovered else None)

    def fold(self, news: Any) -> Kline | None:
        """Fold one piece of news; returns the bar if it has closed by it."""
        match news:
            case {"openTime": _}:
                return self._whole(kline_of(self.symbol, self.interval, news))
            case [_, _, _, _, _, _, _, _, _]:
                return self._whole(kline_of_compact(self.symbol, self.interval, news))
        if self.forming is not None:
            self.forming = _changed(self.forming, news)
        return None

    def _whole(self, kline: Kline) -> Kline | None:
        if not kline.closed:
            self.forming = kline
            return None
        self.last, self.forming = kline, None
        return kline


@dataclass(slots=True)
class TickerView:
    """A ticker is known once its price is."""

    symbol: str
    _fields: dict[str, Any] = field(default_factory=dict)

    @property
    def newest(self) -> Ticker | None:
        return Ticker(self.symbol, **self._fields) if "last" in self._fields else None

    def snapshot(self, message: Mapping[str, Any]) -> None:
        self._fields.clear()
        self.fold(message["ticker"] or {})

    def fold(self, news: Any) -> None:
        match news:
            case Decimal():
                self._fields["last"] = news
                return
            case [*elements]:
                news = dict(zip(_TICKER_FIELDS, elements, strict=False))
        known = {_TICKER_FIELDS[letter]: value for letter, value in news.items() if letter in _TICKER_FIELDS}
        self._fields |= {name: value for name, value in known.items() if value is not None}
        if "trades" in self._fields:
            self._fields["trades"] = int(self._fields["trades"])


View = KlineView | TickerView


def view_of(channel: str) -> View:
    """An empty view for a channel's name."""
    kind, symbol, interval = f"{channel}:".split(":")[:3]
    return KlineView(symbol, interval) if kind == "kline" else TickerView(symbol)


def _changed(forming: Kline, news: Any) -> Kline:
    """The forming bar after a difference."""
    match news:
        case Decimal():
            return forming._replace(close=news, high=max(forming.high, news), low=min(forming.low, news))
        case [*prices, trades]:
            return forming._replace(**dict(zip(_FIELDS.values(), prices, strict=True)), trades=int(trades))
    changes = {_FIELDS[name]: value for name, value in news.items() if name in _FIELDS}
    if "trades" in news:
        changes["trades"] = int(news["trades"])
    if "provisional" in news:
        changes["provisional"] = news["provisional"]
    return forming._replace(**changes)


def _before(kline: Kline) -> int:
    return previous_open_ms(kline.interval, kline.open_time_ms)
