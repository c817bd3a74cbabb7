"""A client that decodes everything: order, age and completeness of what it gets. Pure; the time is an argument.

Owns the client's view of its channels, folded as the protocol says. Klines go on as events, for the checker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadtest.protocol.stamps import is_stamp, skipped
from loadtest.report.recording import Closed, Forming, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from loadtest.protocol.ages import Ages
    from loadtest.protocol.dialects import ChannelUpdate
    from loadtest.report.recording import Event, Mode

SUMS = ("offered", "delivered", "conflated", "repeated", "out_of_order", "unknown", "current", "lost")


class _Ticker:
    __slots__ = ("last", "live", "shown", "symbol")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.last = 0.0
        self.live = False
        self.shown = False
        """Whether there is a price on this connection's screen."""


class _Klines:
    __slots__ = ("channel", "close", "cursor", "forming")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.close = 0.0
        self.cursor: int | None = None
        self.forming: int | None = None


class Follower:
    """One client's view. `lanes` are where ages are counted: a callable, since they change with the second."""

    def __init__(self, client: int, on_event: Callable[[Event], None], suffix: str = "") -> None:
        self.client = client
        self.sums = dict.fromkeys(SUMS, 0)
        self._on_event = on_event
        self._lanes = tuple(f"{lane}{suffix}" for lane in ("ticker", "forming", "closed"))
        self._by_name: dict[str, _Ticker | _Klines] = {}
        self._by_number: dict[int | str, _Ticker | _Klines] = {}

    @property
    def cursors(self) -> dict[str, int]:
        """For `resume`: the open time of the last closed kline of each channel."""
        views = self._by_name.values()
        return {view.channel: view.cursor for view in views if isinstance(view, _Klines) and view.cursor is not None}

    def disconnect(self) -> None:
        """The connection is gone: numbers mean nothing any more."""
        self._by_number.clear()

    def add_without_snapshot(self, channels: Iterable[str]) -> None:
        """Tickers that come without a snapshot, in a dialect that knows them by name."""
        for channel in channels:
            self._by_number[channel] = self._by_name.setdefault(channel, _Ticker(channel.partition(":")[2]))

    def snapshot(self, message: dict[str, Any]) -> None:
        channel: str = message["channel"]
        view = self._by_name.get(channel)
        if view is None:
            view = self._by_name[channel] = (
                _Ticker(channel.partition(":")[2]) if channel.startswith("ticker:") else _Klines(channel)
            )
        self._by_number[message["n"]] = view
        if isinstance(view, _Klines):
            self._kline_snapshot(view, message)
            return
        # A snapshot takes the place of all that was held.
        view.shown = message["ticker"] is not None
        view.live = message["state"] == "live"
        if ticker := message["ticker"]:
            self._apply_price(view, float(ticker["c"]), counted=False)

    def status(self, message: dict[str, Any]) -> None:
        """What the gateway says of its source."""
        for number, state in message["channels"].items():
            view = self._by_number.get(int(number))
            if isinstance(view, _Ticker):
                view.live = state == "live"

    def oldest_live(self, now_stamp: int) -> tuple[str, int] | None:
        """Of the prices shown as live, the channel of the oldest one and its age in stamps."""
        ages = [
            (now_stamp - int(view.last), view.symbol)
            for view in self._by_number.values()
            if isinstance(view, _Ticker) and view.live and view.shown and is_stamp(view.last)
        ]
        if not ages:
            return None
        age, symbol = max(ages)
        return f"ticker:{symbol}", age

    def apply(self, updates: Iterable[ChannelUpdate], now_stamp: int, ages: dict[str, Ages]) -> tuple[int, int]:
        """One update message, read at `now_stamp`; how many ticker updates and closed klines it had."""
        ticker_count = closed_count = 0
        tickers, forming, closed = (ages[lane] for lane in self._lanes)
        views = self._by_number
        for number, fields in updates:
            view = views.get(number)
            if isinstance(view, _Ticker):
                if "c" in fields:
                    ticker_count += 1
                    view.shown = True
                    price = fields["c"]
                    if self._apply_price(view, price, counted=True):
                        tickers.add(now_stamp - int(price))
            elif view is None:
                self.sums["unknown"] += 1
            else:
                close, before = fields.get("close", 0.0), view.close
                ended = self._apply_kline(view, fields)
                closed_count += ended
                if close > before and is_stamp(close):
                    view.close = close
                    (closed if ended else forming).add(now_stamp - int(close))
        return ticker_count, closed_count

    def compare_final(self, final_prices: dict[str, float]) -> list[str]:
        """Compare with what was published last; the channels that are not current."""
        not_current = []
        for name, view in self._by_name.items():
            if isinstance(view, _Ticker) and (final := final_prices.get(view.symbol)):
                if view.last == final:
                    self.sums["current"] += 1
                else:
                    self.sums["lost"] += 1
                    not_current.append(f"client {self.client} {name}: has {view.last:.4f}, published {final:.4f}")
        return not_current

    def _apply_price(self, view: _Ticker, price: float, *, counted: bool) -> bool:
        """Whether the price is newer than the one held. Only updates count: a snapshot may skip or repeat."""
        before = view.last
        if price > before:
            view.last = price
            if counted:
                between = skipped(before, price) if before else 0
                self.sums["delivered"] += 1
                self.sums["conflated"] += between
                self.sums["offered"] += between + 1
            return True
        # A gateway that has just started knows no more than the store, and says so.
        if counted and (view.live or price == before):
            self.sums["repeated" if price == before else "out_of_order"] += 1
        return False

    def _apply_kline(self, view: _Klines, fields: dict[str, Any]) -> bool:
        """Hand kline updates on as events; whether the bar was closed."""
        open_time_ms = fields.get("openTime")
        if open_time_ms is None:
            return False
        if fields.get("isClosed"):
            view.cursor = open_time_ms
            self._on_event(Closed(self.client, view.channel, open_time_ms, float(fields["volume"])))
            return True
        if open_time_ms != view.forming:
            view.forming = open_time_ms
            self._on_event(Forming(self.client, view.channel, open_time_ms))
        return False

    def _kline_snapshot(self, view: _Klines, message: dict[str, Any]) -> None:
        closed = tuple((kline["openTime"], float(kline["volume"])) for kline in message["klines"])
        forming = message["forming"]
        mode: Mode = "replace"
        if message.get("resync"):
            mode = "resync"
        elif "recovered" in message:
            mode = "recovered" if message["recovered"] else "unrecovered"
        view.forming = forming["openTime"] if forming else None
        if closed:
            view.cursor = closed[-1][0]
        self._on_event(Snapshot(self.client, view.channel, mode, closed, view.forming))
