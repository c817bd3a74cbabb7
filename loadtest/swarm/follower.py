"""A client that decodes everything: checks order, age and completeness of what it receives. Pure: takes the time.

Owns the client's view of its channels, built as the protocol describes. Klines become events for the checker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.model.interval import INTERVALS
from loadtest.protocol.stamps import is_stamp, skipped
from loadtest.report.recording import Closed, Forming, Impossible, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from loadtest.protocol.ages import Ages
    from loadtest.protocol.dialects import ChannelUpdate
    from loadtest.report.recording import Event, Mode

SUMS = ("offered", "delivered", "conflated", "repeated", "out_of_order", "unknown", "current", "lost")

CHECK_MS = 250
"""Time between two checks of what is live."""

SETTLING_CHECKS = 12
"""Kline channels that have become live may still wait for a close, and get their resync, for so many checks: for the
gateway's `market.close_grace_ms` and a second."""

_PRICES = ("open", "high", "low", "close")


class _Ticker:
    __slots__ = ("last", "live", "shown", "symbol")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.last = 0.0
        self.live = False
        self.shown = False
        """Whether this connection has received a price."""


class _Klines:
    __slots__ = ("channel", "close", "cursor", "forming", "interval", "live", "live_checks", "price")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.close = 0.0
        self.cursor: int | None = None
        self.forming: int | None = None
        self.interval = INTERVALS.get(channel.rpartition(":")[2])
        self.live = False
        self.live_checks = 0
        """How often `count_check` has found the channel live without a break."""
        self.price = 0.0
        """The last close of a forming kline; 0 before any."""


class Follower:
    """One client's view. `on_event` takes what it sees of klines; `suffix` ends the names of its lanes."""

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
        """Forget the channel numbers, which are valid for one connection only. Nothing is live without a break."""
        for view in self._by_number.values():
            if isinstance(view, _Klines):
                view.live_checks = 0
        self._by_number.clear()

    def add_without_snapshot(self, channels: Iterable[str]) -> None:
        """Add tickers of a dialect that has no snapshots and names channels in each update."""
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
        # A snapshot replaces the whole state.
        view.shown = message["ticker"] is not None
        view.live = message["state"] == "live"
        if ticker := message["ticker"]:
            self._apply_price(view, float(ticker["c"]), counted=False)

    def status(self, message: dict[str, Any]) -> None:
        """Take a message about the state of the feed."""
        for number, state in message["channels"].items():
            view = self._by_number.get(int(number))
            if view is not None:
                view.live = state == "live"

    def count_check(self) -> None:
        """Call it before each check of what is live."""
        for view in self._by_number.values():
            if isinstance(view, _Klines):
                view.live_checks = view.live_checks + 1 if view.live else 0

    def oldest_live(self, now_stamp: int) -> tuple[str, int] | None:
        """Channel and age (in stamp units) of the oldest price shown as live; None without one.

        Prices are those of tickers and of forming klines.
        """
        ages = []
        for view in self._by_number.values():
            if isinstance(view, _Ticker):
                if view.live and view.shown and is_stamp(view.last):
                    ages.append((now_stamp - int(view.last), f"ticker:{view.symbol}"))
            elif view.live_checks > SETTLING_CHECKS and is_stamp(view.price):
                ages.append((now_stamp - int(view.price), view.channel))
        if not ages:
            return None
        age, channel = max(ages)
        return channel, age

    def most_overdue(self, now_ms: int) -> tuple[str, int] | None:
        """Of the kline channels shown as live, the one whose next close is due longest, and for how many ms.

        Below 0: it is not due yet. At most as long as the channel has been live: after an interruption the next close
        has its time again. None without such a channel.
        """
        overdue = []
        for view in self._by_number.values():
            if not isinstance(view, _Klines) or view.live_checks <= SETTLING_CHECKS:
                continue
            if view.interval and view.cursor is not None:
                due_ms = view.interval.close_time(view.interval.next_open(view.cursor)) + 1
                live_ms = view.live_checks * CHECK_MS
                overdue.append((min(now_ms - due_ms, live_ms), view.channel))
        if not overdue:
            return None
        overdue_ms, channel = max(overdue)
        return channel, overdue_ms

    def prices(self) -> list[tuple[str, float]]:
        """Symbol and last price of each ticker, live or not."""
        return [(view.symbol, view.last) for view in self._by_name.values() if isinstance(view, _Ticker)]

    def apply(self, updates: Iterable[ChannelUpdate], now_stamp: int, ages: dict[str, Ages]) -> tuple[int, int]:
        """Apply one update message read at `now_stamp`; returns its numbers of ticker updates and closed klines.

        `ages`: lane -> histogram to add the ages to.
        """
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
        """Compare with the last published prices; returns a text for each channel that is not current."""
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
        """Take a price; returns whether it is newer. Snapshots are not `counted`: they may skip or repeat values."""
        if not is_stamp(price):
            self._on_event(Impossible(self.client, f"ticker:{view.symbol}", price))
            return False
        before = view.last
        if price > before:
            view.last = price
            if counted:
                between = skipped(before, price) if before else 0
                self.sums["delivered"] += 1
                self.sums["conflated"] += between
                self.sums["offered"] += between + 1
            return True
        # Older prices that are not live do not count: a gateway that has just started has only what is stored.
        if counted and (view.live or price == before):
            self.sums["repeated" if price == before else "out_of_order"] += 1
        return False

    def _apply_kline(self, view: _Klines, fields: dict[str, Any]) -> bool:
        """Emit events for a kline update; returns whether the kline is closed."""
        self._check_prices(view, fields)
        if is_stamp(close := fields.get("close", 0.0)) and not fields.get("isClosed"):
            view.price = close
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

    def _check_prices(self, view: _Klines, kline: dict[str, Any]) -> None:
        for name in _PRICES:
            price = kline.get(name)
            if price is not None and not is_stamp(float(price)):
                self._on_event(Impossible(self.client, view.channel, float(price)))

    def _kline_snapshot(self, view: _Klines, message: dict[str, Any]) -> None:
        closed = tuple((kline["openTime"], float(kline["volume"])) for kline in message["klines"])
        forming = message["forming"]
        mode: Mode = "replace"
        if message.get("resync"):
            mode = "resync"
        elif "recovered" in message:
            mode = "recovered" if message["recovered"] else "unrecovered"
        for kline in (*message["klines"], forming or {}):
            self._check_prices(view, kline)
        view.live = message.get("state") == "live"
        view.forming = forming["openTime"] if forming else None
        view.price = float(forming.get("close", 0.0)) if forming else 0.0
        if closed:
            view.cursor = closed[-1][0]
        self._on_event(Snapshot(self.client, view.channel, mode, closed, view.forming))
