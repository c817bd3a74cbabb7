"""A socket that a test scripts, and a client that folds what it gets as PROTOCOL.md says: written from that page alone,
and told by it what a gateway must never do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.protocol.frame import KEEPALIVE
from loadtest.protocol.websocket import TEXT, server_frames

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

    from gateway.delivery.close_codes import Close
    from gateway.delivery.sink import Sink
    from gateway.model.kline import Kline


def messages(data: bytes) -> list[Any]:
    """The JSON messages of frames, or of events; numbers stay text, so that no digit is lost."""
    if data.startswith((b"data:", b"id:", b"retry:")):
        return [parsed(line[5:]) for line in data.split(b"\n") if line.startswith(b"data:")]
    return [parsed(payload) for opcode, payload in server_frames(data) if opcode == TEXT]


def parsed(text: str | bytes) -> Any:
    return json.loads(text, parse_float=str, parse_int=str)


class FakeSocket:
    """A client's socket. While `stalled` it takes one write and is busy after it, as a full kernel buffer makes it."""

    order = 0
    peer = "192.0.2.1"

    def __init__(self) -> None:
        self.id = 0
        self.closing = False
        self.received_bytes = 0
        self.last_message_s = 0.0
        self.stalled = False
        self.paused = False
        self.unsent = 0
        self.aborted = False
        self.closed_for: Close | None = None
        self.offence: Close | None = None
        self.client_close_code = self.gateway_close_code = 0
        self.written: list[bytes] = []
        self._stuck = False

    def offer(self, frames: bytes) -> bool:
        assert frames, "an empty write"
        if self._stuck or self.closing:
            return False
        self._stuck = self.stalled
        self.written.append(frames)
        return True

    def ping(self) -> None:
        self.offer(KEEPALIVE)

    def busy(self) -> bool:
        return self._stuck

    def unsent_bytes(self) -> int:
        return self.unsent

    def stall(self, stalled: bool = True) -> None:
        self.stalled = stalled
        self._stuck = self._stuck and stalled

    def abort(self) -> None:
        self.aborted = self.closing = True

    def abort_if_broken(self) -> None: ...

    def close(self, reason: Close, text: str = "") -> None:
        self.closed_for, self.closing = reason, True

    def warn(self, retry_ms: int) -> None: ...

    def shutdown(self) -> None:
        self.closing = True

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self.unsent = 0

    def attach(self, receiver: object) -> None:
        """Commands are given to the client directly."""

    def read(self) -> bytes:
        """What was written since the last call."""
        frames, self.written = self.written, []
        return b"".join(frames)


class FakeSocketBatch:
    """Scripted sockets, written to one after the other."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def offer(self, places: Sequence[int], frames: Sequence[bytes]) -> list[int]:
        offers = enumerate(zip(places, frames, strict=True))
        return [index for index, (place, frame) in offers if not self._sinks[place].offer(frame)]

    def backed_up(self, start: int, stop: int, most_bytes: int) -> list[int]:
        return [place for place in range(start, stop) if self._sinks[place].unsent_bytes() > most_bytes]


class Bar(NamedTuple):
    """A kline as a client knows it."""

    open_time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    trades: str
    closed: bool
    provisional: bool = False


FIELDS = {
    "openTime": "open_time",
    "quoteVolume": "quote_volume",
    "isClosed": "closed",
    **{name: name for name in ("open", "high", "low", "close", "volume", "trades", "provisional")},
}


def bar(data: dict[str, Any]) -> Bar:
    fields = {FIELDS[name]: value for name, value in data.items() if name not in ("closeTime", "E")}
    return Bar(**fields | {"open_time": int(fields["open_time"])})


def bar_of(kline: Kline) -> Bar:
    """What a client should hold of a gateway's kline."""
    prices = (kline.open, kline.high, kline.low, kline.close, kline.volume, kline.quote_volume)
    return Bar(kline.open_time_ms, *prices, str(kline.trades), kline.closed, kline.provisional)


@dataclass
class View:
    """What a client holds of one channel."""

    name: str
    live: bool = False
    """A snapshot has come on this connection."""
    closed: list[Bar] = field(default_factory=list)
    forming: Bar | None = None
    ticker: dict[str, str] | None = None
    state: str = ""
    event_time: str | None = None
    """Of the newest value that came with event times; `None`: it came without, or the gateway does not know it."""
    base: int | None = None
    """Where the newest snapshot left off: what closes after it has to come."""
    since: list[int] = field(default_factory=list)
    """Open times of the closed klines that came after that snapshot."""
    snapshots: int = 0
    resyncs: int = 0

    @property
    def cursor(self) -> int | None:
        return self.closed[-1].open_time if self.closed else None


class Folder:
    """One client across its connections. `AssertionError` says which promise was broken."""

    def __init__(self) -> None:
        self.views: dict[str, View] = {}
        self.bases: dict[str, deque[int | None]] = {}
        """By channel, what its next snapshots have to end with, if the test knows."""
        self.replies: list[dict[str, Any]] = []
        self.throttled_ms: int | None = None
        self.event_times = False
        self._by_n: dict[int, View] = {}

    def connected(self) -> None:
        """A new connection: numbers mean nothing any more, what was held stays."""
        self._by_n.clear()
        self.event_times = False
        self.bases.clear()
        for view in self.views.values():
            view.live = False

    def read(self, frames: bytes) -> None:
        for message in messages(frames):
            self.hear(message)

    def hear(self, message: Any) -> None:
        """One message, as `parsed` gives it."""
        if isinstance(message, list):
            self._compact(message)
        else:
            self._take(message)

    def view_of(self, n: str) -> View:
        """Which channel a number stands for on this connection."""
        return self._by_n[int(n)]

    def subscriptions(self) -> set[str]:
        return {view.name for view in self._by_n.values()}

    def _take(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "update":
                for n, news in message["u"]:
                    self._fold(self._by_n[int(n)], news)
                assert message["u"], "an update without news"
            case "snapshot":
                self._snapshot(message)
            case "subscribed":
                self.replies.append(message)
                for name, result in message["channels"].items():
                    if "n" in result:
                        self._by_n[int(result["n"])] = self.views.setdefault(name, View(name))
            case "unsubscribed":
                self.replies.append(message)
                for n in [n for n, view in self._by_n.items() if view.name in message["channels"]]:
                    del self._by_n[n]
            case "status":
                for n, state in message["channels"].items():
                    self._by_n[int(n)].state = state
            case "set":
                self.replies.append(message)
                self.event_times = message["event_times"]
            case "throttle":
                self.throttled_ms = int(message["interval_ms"])
            case "hello" | "heartbeat" | "shutdown":
                pass
            case _:
                self.replies.append(message)

    def _snapshot(self, message: dict[str, Any]) -> None:
        view = self._by_n[int(message["n"])]
        assert view.name == message["channel"]
        first = not view.live
        view.live, view.state = not message.get("more"), message["state"]
        view.snapshots += 1
        view.resyncs += message.get("resync", False)
        if "ticker" in message:
            view.ticker = message["ticker"]
            if view.ticker is not None:
                self._note_time(view, view.ticker)
            return
        if message["forming"] is not None:
            self._note_time(view, message["forming"])
        assert not any("E" in kline for kline in message["klines"]), "a snapshot has event times of closed klines"
        klines = [bar(data) for data in message["klines"]]
        assert all(kline.closed for kline in klines), "a forming bar among the closed ones"
        if message.get("recovered"):
            assert first, "recovered what was not lost"
            view.closed += klines
        else:
            view.closed = klines
        opens = [kline.open_time for kline in view.closed]
        assert opens == sorted(set(opens)), f"closed klines of {view.name} out of order"
        view.forming = None if message["forming"] is None else bar(message["forming"])
        if view.forming is not None:
            assert not view.forming.closed, "a forming bar that is closed"
            assert not opens or view.forming.open_time > opens[-1], "a forming bar before a closed one"
        view.base, view.since = opens[-1] if opens else None, []
        if bases := self.bases.get(view.name):
            expected = bases.popleft()
            if expected is not None and (klines or message.get("recovered")):
                assert view.base == expected, f"a snapshot of {view.name} that does not end where it was taken"
            view.base = expected if expected is not None else view.base

    def _fold(self, view: View, news: dict[str, Any]) -> None:
        assert view.live, f"an update of {view.name} before its snapshot"
        assert news.keys() - {"E"}, "empty news"
        self._note_time(view, news)
        if view.name.startswith("ticker:"):
            view.ticker = {**(view.ticker or {}), **news}
        elif "openTime" not in news:
            assert view.forming is not None, "a difference against nothing"
            fields = {FIELDS[name]: value for name, value in news.items() if name != "E"}
            view.forming = view.forming._replace(**fields)
        else:
            self._fold_bar(view, bar(news))

    def _note_time(self, view: View, value: dict[str, Any]) -> None:
        """Complete tickers have their event time anyhow, all other values only for a client that asks."""
        assert not self.event_times or "E" in value, f"an update of {view.name} without its event time"
        assert self.event_times or "E" not in value or view.name.startswith("ticker:"), "event times for who asks not"
        view.event_time = value.get("E") if self.event_times else None

    def _fold_bar(self, view: View, news: Bar) -> None:
        last = view.closed[-1].open_time if view.closed else view.base
        assert last is None or news.open_time > last, f"{view.name}: open time {news.open_time} comes after {last}"
        if view.forming is not None:
            assert news.open_time >= view.forming.open_time, f"{view.name}: an older bar than the forming one"
        if news.closed:
            view.closed.append(news)
            view.since.append(news.open_time)
            view.forming = None
        else:
            view.forming = news

    def _compact(self, message: list[Any]) -> None:
        _, *rest = message
        for n, news in zip(rest[::2], rest[1::2], strict=True):
            self._fold_compact(self._by_n[int(n)], news)

    def _fold_compact(self, view: View, news: Any) -> None:
        assert view.live, f"an update of {view.name} before its snapshot"
        view.event_time = None
        if self.event_times:
            assert isinstance(news, list), f"an update of {view.name} without its event time"
            view.event_time = news.pop()
            news = news if len(news) > 1 else news[0]
        if view.name.startswith("ticker:"):
            figures = dict(zip("cohlvqn", news, strict=True)) if isinstance(news, list) else {"c": news}
            known = {letter: text for letter, text in figures.items() if text is not None}
            view.ticker = {**(view.ticker or {}), **known}
        elif isinstance(news, list) and len(news) == 9:
            open_time, *fields, state = news
            self._fold_bar(view, Bar._make([int(open_time), *fields, state == "1", state == "2"]))
        else:
            assert view.forming is not None, "a difference against nothing"
            if isinstance(news, list):
                names = ("open", "high", "low", "close", "volume", "quote_volume", "trades")
                view.forming = view.forming._replace(**dict(zip(names, news, strict=True)))
            else:
                high = max(view.forming.high, news, key=Decimal)
                low = min(view.forming.low, news, key=Decimal)
                view.forming = view.forming._replace(close=news, high=high, low=low)
