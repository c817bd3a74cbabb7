"""An exchange, a collector and a gateway without sockets and without a clock of their own, in one event loop.

All that a delivery passes through is real: ingest, market, repair, history, hub, session, pump, clients' commands and
both dialects. Made up are the store (a dictionary), the sockets (see `tests/fakes.py`) and the time, which a test
moves. A flush is cut after every client it serves, so that whatever a test does next happens in the middle of it.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from collector.encode import kline_event
from gateway.access.connection import ConnectionAccess as ClosingClient
from gateway.access.connection import ConnectionLimits
from gateway.config import Config, MarketConfig, StreamConfig
from gateway.delivery.channel import KlineChannel, TickerChannel
from gateway.delivery.load_meter import Cause
from gateway.delivery.load_remedies import Level
from gateway.history.turns import Turns
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline
from gateway.model.symbol import SymbolRule
from gateway.protocol.native_commands import NativeCommands
from gateway.redis.contract import Topic
from gateway.runtime import backfill as backfill
from gateway.runtime import fanout
from gateway.runtime import flush as flusher
from gateway.stream import snapshot_sender, snapshots
from gateway.stream.native import StreamService
from gateway.stream.native_client import NativeClient
from gateway.stream.profile import DIALECTS
from tests.builders import T0
from tests.fakes import FakeSocket, Folder, bar_of
from tests.property.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from gateway.delivery.channel import Channel
    from gateway.delivery.commands import SnapshotRequest
    from gateway.delivery.group import Group
    from gateway.delivery.session import Session
    from gateway.history.store import SeriesRead
    from gateway.model.ticker import Ticker
    from gateway.protocol.native import NativeDialect

SYMBOLS = ("AAAUSDT", "BBBUSDT")
SPANS = ("1s", "1m")
CHANNELS = (
    *(f"kline:{symbol}:{span}" for symbol in SYMBOLS for span in SPANS),
    *(f"ticker:{symbol}" for symbol in SYMBOLS),
)
TICK_MS = 50
GRACE_MS = 400
LOG = 6
HUB_LOG = 16

CONFIG = Config(
    market=MarketConfig(intervals=SPANS, close_grace_ms=GRACE_MS, stale_after_s=1e9),
    stream=StreamConfig(
        flush_max_ms=TICK_MS,
        budget_bytes=700,
        closed_log=LOG,
        history_max=50,
        max_subscriptions=len(CHANNELS),
        slow_abort_s=1e9,
    ),
)

Series = tuple[str, str]


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now_ms = T0 + 300

    def monotonic(self) -> float:
        return (self.now_ms - T0) / 1000 + 1000

    def time_ns(self) -> int:
        return self.now_ms * 1_000_000

    def thread_time(self) -> float:
        return 0.0


@contextmanager
def virtual_time(clock: Clock) -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (backfill,):
            patch.setattr(module, "time", clock)
        # Every slice of a flush ends at once.
        patch.setattr(flusher, "SLICE_S", -1.0)
        patch.setattr(flusher, "CLOCK_SESSIONS", 1)
        patch.setattr(fanout, "SLICE_SESSIONS", 1)
        # The next try is at once, and reads anew.
        for module, name in ((snapshot_sender, "RETRY_S"), (snapshot_sender, "FRESH_S"), (snapshots, "REREAD_S")):
            patch.setattr(module, name, 0)
        yield


class MemoryStore:
    """What the collector has written. A read takes a few turns of the loop."""

    malformed = 0
    available = True

    def __init__(self) -> None:
        self.klines: dict[Series, dict[int, Kline]] = {(symbol, span): {} for symbol in SYMBOLS for span in SPANS}

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        await asyncio.sleep(0)
        stored = [kline for _, kline in sorted(self.klines[symbol, interval].items())]
        await asyncio.sleep(0)
        if start_ms is None:
            return stored[-limit:]
        return [kline for kline in stored if kline.open_time_ms >= start_ms][:limit]

    async def closed_klines_of(self, reads: Sequence[SeriesRead]) -> list[list[Kline]]:
        return [await self.closed_klines(*read) for read in reads]

    async def has_klines(self, symbol: str, interval: str) -> bool:
        return bool(self.klines[symbol, interval])

    async def has_klines_of(self, series: Sequence[Series]) -> list[bool]:
        await asyncio.sleep(0)
        return [bool(self.klines[one]) for one in series]

    async def ticker(self, symbol: str) -> Ticker | None:
        return None

    async def tickers(self, symbols: Sequence[str]) -> list[Ticker | None]:
        return [None] * len(symbols)

    async def has_data(self, symbol: str) -> bool:
        return True

    async def symbols(self) -> set[str]:
        return set(SYMBOLS)

    async def last_closed(self, series: Sequence[Series]) -> list[int | None]:
        await asyncio.sleep(0)
        return [max(klines) + INTERVALS[one[1]].length_ms if (klines := self.klines[one]) else None for one in series]

    async def aclose(self) -> None:
        pass


@dataclass
class Forming:
    """A bar on the exchange."""

    open_time_ms: int
    prices: list[int] = field(default_factory=list)

    def kline(self, span: str, at_ms: int, *, closed: bool = False) -> Kline:
        prices = self.prices
        return Kline(
            self.open_time_ms,
            INTERVALS[span].close_time(self.open_time_ms),
            open=str(prices[0]),
            high=str(max(prices)),
            low=str(min(prices)),
            close=str(prices[-1]),
            volume=str(len(prices)),
            quote_volume=str(10 * len(prices)),
            trades=len(prices),
            closed=closed,
            event_time_ms=at_ms,
        )


@dataclass(eq=False)
class ConnectionAccess:
    """A client, across its connections."""

    dialect: NativeDialect
    folder: Folder = field(default_factory=Folder)
    socket: FakeSocket = field(default_factory=FakeSocket)
    client: NativeClient | None = None
    asked: set[str] = field(default_factory=set)
    """Channels it has subscribed to on this connection: there is nothing to resume any more."""

    @property
    def session(self) -> Session:
        assert self.client is not None
        return self.client.session

    def read(self) -> None:
        self.folder.read(self.socket.read())


class World:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.store = MemoryStore()
        parts = Parts(CONFIG, clock, self.store, HUB_LOG)
        self.market = parts.market
        self.hub = parts.hub
        self.backfill = parts.backfill
        self.ingest = parts.ingest
        commands = NativeCommands(SymbolRule(), SPANS, CONFIG.stream.history_max)
        self.service = StreamService(parts.endpoint, parts.market, parts.history, commands, Turns(lambda: 0.0))
        self.flusher = parts.flusher(self.service.sender.start)
        self.bars: dict[Series, Forming] = {}
        self.prices = dict.fromkeys(SYMBOLS, 5)
        self.connected = False
        self.reported_late: list[tuple[Series, Kline]] = []
        """Closed klines that are stored and not published yet."""
        # Each asks for event times, or no longer, whenever the script says so.
        self.participants = [ConnectionAccess(dialect) for dialect in DIALECTS.values() if not dialect.event_times]
        self.sockets: list[weakref.ref[FakeSocket]] = []
        """Of every connection there was: a session that is kept anywhere keeps its socket."""
        self.flushing: asyncio.Task[None] | None = None
        self._note_bases()

    def _note_bases(self) -> None:
        """Where a kline channel stands at the moment a snapshot of it is made: what comes after has to be delivered."""
        hub = self.hub
        subscribe, want_snapshot, note_snapshot = hub.subscribe, hub.want_snapshot, hub.note_snapshot

        def bases(session: Session, channel: KlineChannel) -> list[deque[int | None]]:
            return [
                participant.folder.bases.setdefault(channel.name, deque())
                for participant in self.participants
                if participant.client and participant.session is session
            ]

        def note(session: Session, channel: KlineChannel) -> None:
            last = channel.series.closed.last
            for noted in bases(session, channel):
                noted.append(last and last.open_time_ms)

        def subscribed(session: Session, channels: Iterable[Channel], now_ms: int = 0) -> None:
            channels = list(channels)
            subscribe(session, channels, now_ms)
            for channel in channels:
                if isinstance(channel, KlineChannel):
                    note(session, channel)

        def wanted(session: Session, channel: KlineChannel, request: SnapshotRequest) -> None:
            want_snapshot(session, channel, request)
            # Its snapshot is not made in the step that subscribes.
            for noted in bases(session, channel):
                noted.pop()

        def sent(session: Session, channel: KlineChannel) -> None:
            note_snapshot(session, channel)
            note(session, channel)

        hub.subscribe, hub.want_snapshot, hub.note_snapshot = subscribed, wanted, sent  # type: ignore[method-assign]

    # The exchange and the collector.

    def advance(self, ms: int) -> None:
        """Let time pass; bars whose time is over close, are stored, and wait to be published."""
        self.clock.now_ms += ms
        for (symbol, span), forming in list(self.bars.items()):
            end_ms = INTERVALS[span].close_time(forming.open_time_ms)
            if self.clock.now_ms > end_ms:
                del self.bars[symbol, span]
                self._close((symbol, span), forming.kline(span, end_ms + 1, closed=True))

    def _close(self, series: Series, kline: Kline) -> None:
        self._store(series, kline)
        # A collector is late by a bar or two, never by more.
        while sum(waiting == series for waiting, _ in self.reported_late) >= 2:
            self.tell(next(place for place, (waiting, _) in enumerate(self.reported_late) if waiting == series))
        self.reported_late.append((series, kline))

    def _store(self, series: Series, kline: Kline) -> None:
        # A stored kline does not say when it was seen.
        self.store.klines[series][kline.open_time_ms] = kline._replace(event_time_ms=0)

    async def pass_bars(self, symbol: str, count: int) -> None:
        """Seconds go by, each with a trade. A gap is repaired within a bar: the log holds more than that."""
        for price in range(count):
            self.trade(symbol, price % 4 + 1)
            self.advance(1000)
            await self.tick()
            for _ in range(5):
                await asyncio.sleep(0)

    def trade(self, symbol: str, price: int) -> None:
        self.prices[symbol] = price
        for span in SPANS:
            forming = self.bars.setdefault((symbol, span), Forming(INTERVALS[span].open_time(self.clock.now_ms)))
            forming.prices.append(price)

    def publish_ticker(self, symbol: str, *, diff: bool) -> None:
        fields = {"E": self.clock.now_ms, "s": symbol, "c": str(self.prices[symbol])}
        if not diff:
            fields |= {"h": str(self.clock.now_ms % 7), "n": self.clock.now_ms % 5}
        self._publish((symbol, ""), json.dumps(fields).encode())

    def publish_forming(self, series: Series) -> None:
        if forming := self.bars.get(series):
            self._publish_kline(series, forming.kline(series[1], self.clock.now_ms))

    def tell(self, place: int) -> None:
        """Publish a closed kline that waits."""
        if self.reported_late:
            self._publish_kline(*self.reported_late.pop(place % len(self.reported_late)))

    def lose(self, place: int) -> None:
        if self.reported_late:
            self.reported_late.pop(place % len(self.reported_late))

    def correct(self, series: Series, back: int) -> None:
        """The exchange has something else to say about one of its last bars."""
        stored = sorted(self.store.klines[series].items())[-3:]
        if stored and self.connected:
            _, kline = stored[back % len(stored)]
            newer = kline._replace(event_time_ms=self.clock.now_ms, volume=f"{kline.volume}1", close=kline.high)
            self._store(series, newer)
            self._publish_kline(series, newer)

    def _publish_kline(self, series: Series, kline: Kline) -> None:
        self._publish(series, kline_event(*series, kline).encode())

    def _publish(self, series: Series, payload: bytes) -> None:
        if self.connected:
            self.ingest.ingest([(Topic(*series), payload)])

    def link(self, connected: bool) -> None:
        if connected != self.connected:
            self.connected = connected
            self.ingest.connected() if connected else self.ingest.disconnected("gone")

    # Clients.

    def connect(self, participant: ConnectionAccess) -> None:
        if participant.client is None:
            participant.folder.connected()
            participant.asked.clear()
            participant.socket = FakeSocket()
            # Time is the world's own here: what limits go by is not.
            guest = ClosingClient("local", ConnectionLimits(CONFIG.limits, 10), 0.0, exempt=True)
            assert self.service.endpoint.admission.control.admit(guest) is None
            participant.client = NativeClient(self.service.parts, participant.socket, guest, participant.dialect)  # type: ignore[arg-type]
            self.sockets.append(weakref.ref(participant.socket))

    def disconnect(self, participant: ConnectionAccess) -> None:
        if participant.client is not None:
            participant.read()
            participant.socket.closing = True
            participant.client.lost()
            participant.client = None

    def command(self, participant: ConnectionAccess, op: str, **fields: Any) -> None:
        if participant.client is not None and not participant.socket.paused:
            participant.client.received(json.dumps({"op": op, **fields}).encode())

    def subscribe(self, participant: ConnectionAccess, channels: list[str], history: int, *, resume: bool) -> None:
        lost = [
            view for name in channels if (view := participant.folder.views.get(name)) and name not in participant.asked
        ]
        cursors = {view.name: view.cursor for view in lost if resume and view.cursor is not None}
        if participant.client is not None and not participant.socket.paused:
            participant.asked.update(channels)
        self.command(participant, "subscribe", channels=channels, history=history, resume=cursors)

    # The beat.

    async def begin(self) -> None:
        """Start a beat; it goes on by a slice with every step that follows."""
        await self.finish()
        self.clock.now_ms += TICK_MS
        self.flushing = asyncio.create_task(self.flusher.flush())
        await asyncio.sleep(0)

    async def finish(self) -> None:
        if self.flushing is not None:
            await self.flushing
            self.flushing = None
            self.check()
            self.check_in_step()

    async def tick(self, count: int = 1) -> None:
        for _ in range(count):
            await self.begin()
            await self.finish()

    async def in_sync(self) -> None:
        """Go on until everybody is, at a beat of all tiers: a session that changes its tier is behind for a moment."""
        for _ in range(200):
            await self.tick()
            if not any(group.catching_up or group.changed for group in self.hub.groups()):
                return
        behind = [session for session in self.hub.sessions if session.cohort is None]
        raise AssertionError(
            f"still behind: {[(s.pace.tier, s.pending, s.snapshots_due, s.control, s.pace.allowance) for s in behind]}"
        )

    def groups_in_use(self) -> list[Group]:
        return [group for group in self.hub.groups() if group.in_use]

    async def settle(self) -> None:
        """End every disturbance and let the gateway catch up."""
        for participant in self.participants:
            participant.socket.stall(False)
            participant.socket.unsent = 0
        await self.tick(20)
        for participant in self.participants:
            self.command(participant, "set", max_bytes_per_min=None)
        while self.reported_late:
            self.tell(0)
        # A link that is new makes the gateway read what it has missed.
        self.link(False)
        self.link(True)
        self.flusher.load.levels[Cause.FLUSH] = Level.NORMAL
        for _ in range(40):
            await asyncio.sleep(0)
        self.clock.now_ms += 2 * GRACE_MS
        await self.tick(20)
        await self.in_sync()

    # What must hold.

    def check(self) -> None:
        """After every step."""
        for participant in self.participants:
            participant.read()
        self.check_registered()
        self.check_bounded()

    def check_registered(self) -> None:
        """Subscribed in the channel exactly when in the watchlist, and both are what the client believes."""
        counts = dict.fromkeys(range(len(self.hub.channels)), 0)
        for session in self.hub.sessions:
            for n in session.subscription_set.ns:
                counts[n] += 1
        assert counts == {channel.n: channel.subscribers for channel in self.hub.channels}
        in_tiers = [session for tier in self.hub.tiers for session in tier.sessions()]
        assert len(in_tiers) == len(self.hub.sessions)
        assert set(in_tiers) == self.hub.sessions
        for participant in self.participants:
            if participant.client is not None:
                names = {self.hub.channels[n].name for n in participant.session.subscription_set.ns}
                # Replies may still wait for a client that takes nothing.
                assert participant.session.control or names == participant.folder.subscriptions()

    def check_bounded(self) -> None:
        """What a session holds depends on its subscriptions, not on how far behind it is."""
        for session in self.hub.sessions:
            ns = set(session.subscription_set.ns)
            assert session.log_offsets.keys() <= ns
            assert session.pending.keys() <= ns
            assert session.snapshots_due.keys() <= ns
            assert session.cohort is None or not (session.log_offsets or session.pending or session.snapshots_due)

    def check_in_step(self) -> None:
        """Whoever is in step with a tier that had its beat just now holds exactly what the channels hold."""
        for participant in self.participants:
            if participant.client is None:
                continue
            session = participant.session
            if session.cohort is not None and self.hub.group_of(session).last_flush == self.hub.flush_number:
                for n in session.subscription_set.ns:
                    channel = self.hub.channels[n]
                    if channel.lane not in self.hub.group_of(session).held_lanes:
                        self._check_view(participant, channel, closed_only=session.style[1])
                    if session.cohort.feed_state is self.hub.feed_state:
                        reported = participant.folder.views[channel.name].state
                        state = channel.staleness(self.hub.feed_state, closed_only=session.style[1])
                        assert reported == ("live" if state.live else "stale"), channel.name

    def _check_view(self, participant: ConnectionAccess, channel: Channel, *, closed_only: bool) -> None:
        view = participant.folder.views[channel.name]
        if isinstance(channel, KlineChannel | TickerChannel) and not closed_only:
            newest = channel.series.forming if isinstance(channel, KlineChannel) else channel.live
            # The market's is later if nothing but the event time has changed since.
            assert not (view.event_time and newest) or int(view.event_time) <= newest.event_time_ms, channel.name
        if isinstance(channel, KlineChannel):
            assert view.base is None or not view.since or view.since[0] > view.base
            if channel.value is not None and not closed_only:
                assert view.forming == bar_of(channel.value), channel.name
        elif isinstance(channel, TickerChannel) and channel.value is not None and not closed_only:
            assert view.ticker is not None
            if participant.dialect.name == "native":
                held = {letter: text for letter, text in view.ticker.items() if letter != "E"}
                ticker = channel.value
                figures = {"c": ticker.last, "h": ticker.high, "n": str(ticker.trades) if ticker.trades >= 0 else ""}
                assert held == {letter: text for letter, text in figures.items() if text}
            else:
                assert view.ticker["c"] == channel.value.last

    def check_caught_up(self) -> None:
        """Nothing is owed to anybody, and every client holds what the gateway holds and the exchange said."""
        self.check()
        for participant in self.participants:
            if participant.client is None:
                continue
            session = participant.session
            for n in session.subscription_set.ns:
                channel = self.hub.channels[n]
                self._check_view(participant, channel, closed_only=session.style[1])
                view = participant.folder.views[channel.name]
                assert view.state in ("", "live")
                if isinstance(channel, KlineChannel):
                    self._check_closed(participant, channel)

    def check_event_times(self) -> None:
        """Who has asked for event times has those of the values that the gateway holds, which have just changed."""
        for participant in self.participants:
            if participant.client is None or not participant.folder.event_times or participant.session.style[1]:
                continue
            for n in participant.session.subscription_set.ns:
                channel = self.hub.channels[n]
                if isinstance(channel, KlineChannel | TickerChannel) and channel.value is not None:
                    held = participant.folder.views[channel.name].event_time
                    assert held == str(channel.value.event_time_ms), channel.name

    def _check_closed(self, participant: ConnectionAccess, channel: KlineChannel) -> None:
        view, series = participant.folder.views[channel.name], channel.series
        stored = sorted(self.store.klines[series.symbol, series.interval.name])
        if view.base is not None:
            assert view.since == [at for at in stored if at > view.base], f"{view.name}: not each closed kline once"
        opens = [kline.open_time for kline in view.closed]
        assert not opens or opens == [at for at in stored if at >= opens[0]], f"{view.name}: a hole"
        held = {kline.open_time: kline for kline in view.closed}
        for kline in series.closed:
            if kline.open_time_ms in held:
                assert held[kline.open_time_ms] == bar_of(kline), f"{view.name}: not corrected"

    async def end(self) -> None:
        """Everybody leaves; nothing of them may be left."""
        for participant in self.participants:
            self.disconnect(participant)
            participant.socket = FakeSocket()
        await self.service.aclose()
        await self.backfill.aclose()
        assert [socket() for socket in self.sockets if socket() is not None] == []
        assert not self.hub.sessions
        assert not any(channel.subscribers for channel in self.hub.channels)
        assert not any(self.groups_in_use())
