"""Bots on Binance's kline streams, in a world without sockets and without a clock of its own.

Ingest, market, backfill, hub, sessions, flush, commands and dialect are real, and can be started anew on one store.
Made up are the exchange, the collector's misbehaviour, the store (a dictionary), the sockets and the time.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from collector.encode import kline_event, kline_member
from gateway.access.connection import ConnectionAccess, ConnectionLimits
from gateway.config import Config, MarketConfig, StreamConfig
from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import INTERVALS
from gateway.model.symbol import SymbolRule
from gateway.protocol.binance_commands import StreamNames
from gateway.redis.contract import Topic
from gateway.stream.binance import BinanceClient, BinanceService
from tests.fakes import FakeSocket, messages
from tests.property.parts import Parts
from tests.property.world import GRACE_MS, TICK_MS, Forming, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.delivery.close_codes import Close
    from gateway.model.kline import Kline
    from tests.property.world import Clock, Series

SYMBOLS = ("AAAUSDT", "BBBUSDT")
STORED = ("1s", "1m")
DERIVED = "3m"
SPANS = (*STORED, DERIVED)
LOG = 12
WAIT_MS = 5_000
"""More than the source is late, and less than it takes for more klines to close than the log holds."""
LATE_MAX_MS = 40_000
TAIL = 4
"""Klines that the first poll of a series finds."""

CONFIG = Config(
    market=MarketConfig(intervals=SPANS, close_grace_ms=GRACE_MS, stale_after_s=1e9, unknown_after_s=0),
    stream=StreamConfig(
        flush_max_ms=TICK_MS,
        budget_bytes=1200,
        closed_log=LOG,
        close_wait_s=WAIT_MS / 1000,
        history_max=50,
        slow_abort_s=1e9,
    ),
)


class SeenStream:
    """What a bot has received of one stream of a connection; asserts what holds at any time."""

    def __init__(self, interval: str, joined_ms: int, past: Iterable[int] = ()) -> None:
        """`joined_ms`: what had closed then is the past, and so are the klines that open at `past`."""
        self.interval = INTERVALS[interval]
        self.joined_ms = joined_ms
        self.past = frozenset(past)
        self.newest_ms = 0
        """The open time of the newest event."""
        self.first_ms = 0
        self.told: dict[int, str] = {}
        """Open time -> volume of the closed klines, in order."""

    def take(self, k: dict[str, str], now_ms: int) -> None:
        open_time_ms, close_time_ms, closed = int(k["t"]), int(k["T"]), bool(k["x"])
        assert self.interval.open_time(open_time_ms) == open_time_ms
        assert close_time_ms >= self.joined_ms, "a kline of the past"
        assert not closed or open_time_ms not in self.past, "a kline that was stored already"
        assert open_time_ms >= self.newest_ms, "back to an older kline"
        assert not self.told or open_time_ms > next(reversed(self.told)), "after its close"
        if closed:
            assert close_time_ms < now_ms, "a kline that has not closed"
            self.told[open_time_ms] = k["v"]
        self.first_ms = self.first_ms or open_time_ms
        self.newest_ms = open_time_ms


@dataclass(eq=False)
class Bot:
    """A client, across its connections."""

    socket: FakeSocket = field(default_factory=FakeSocket)
    client: BinanceClient | None = None
    streams: dict[str, SeenStream] = field(default_factory=dict)
    ends: list[Close] = field(default_factory=list)
    """Why the gateway has ended its connections."""

    def read(self, now_ms: int) -> None:
        for message in messages(self.socket.read()):
            if message.get("e") == "kline":
                self.streams[f"{message['s'].lower()}@kline_{message['k']['i']}"].take(message["k"], now_ms)


class Gateway:
    """One process: it begins knowing nothing."""

    def __init__(self, clock: Clock, store: Store, ahead_ms: int) -> None:
        """`ahead_ms`: how far its clock is ahead of that of the exchange."""
        parts = Parts(CONFIG, clock, store, LOG, ahead_ms)
        self.hub = parts.hub
        self.history = parts.history
        self.backfill = parts.backfill
        self.admission = parts.admission
        self.ingest = parts.ingest
        self.service = BinanceService(parts.endpoint, parts.market, StreamNames(SymbolRule(), SPANS))
        self.flusher = parts.flusher(lambda: None)
        self.tails: dict[Series, set[int]] = {}
        """Open times that polls have found already."""

    async def aclose(self) -> None:
        await self.backfill.aclose()
        await self.history.aclose()


class Store(MemoryStore):
    """A symbol is there once something of it is stored."""

    async def symbols(self) -> set[str]:
        return {symbol for (symbol, _), klines in self.klines.items() if klines}


class BotWorld:
    def __init__(self, clock: Clock, bots: int, *, replay_ms: int = 0) -> None:
        """`replay_ms`: the source replays the past, and is so far behind the gateway's clock; 0: it does not."""
        self.clock = clock
        self.replay_ms = replay_ms
        self.store = Store()
        self.store.klines = {(symbol, span): {} for symbol in SYMBOLS for span in SPANS}
        self.gateway = Gateway(clock, self.store, replay_ms)
        self.bots = [Bot() for _ in range(bots)]
        self.bars: dict[Series, Forming] = {}
        self.reported_late: list[tuple[Series, Kline]] = []
        """Closed klines that are not published yet."""
        self.unstored: list[tuple[Series, Kline]] = []
        """Closed klines that are not stored yet."""
        self.corrected: set[tuple[Series, int]] = set()
        self.connected = False
        self.read_from: dict[Series, list[int]] = {}
        """Open times of what was stored when the last read of everything began."""
        self.polls = False
        """Whether the gateway polls keys, instead of being sent what is published."""
        self.flushing: asyncio.Task[None] | None = None

    # The exchange and the collector.

    def trade(self, symbol: str, price: int) -> None:
        for span in STORED:
            open_time_ms = INTERVALS[span].open_time(self.clock.now_ms)
            self.bars.setdefault((symbol, span), Forming(open_time_ms)).prices.append(price)

    def advance(self, ms: int, *, stores: bool = True) -> None:
        """Let time pass. Bars whose time is over close, and are stored unless the collector is late with that too.

        It is never later than `LATE_MAX_MS`: what is more than a minute late counts as a replay.
        """
        while ms:
            step_ms = min(ms, LATE_MAX_MS // 2)
            self.clock.now_ms += step_ms
            ms -= step_ms
            self._close(stores=stores)
            self.unstored = [late for late in self.unstored if not self._is_overdue(*late)]
            self.reported_late = [late for late in self.reported_late if not self._is_overdue(*late)]

    def _is_overdue(self, series: Series, kline: Kline) -> bool:
        """Whether the collector can be no later with it: then it is at least stored."""
        if kline.close_time_ms + LATE_MAX_MS > self.clock.now_ms:
            return False
        if kline.open_time_ms not in self.store.klines[series]:
            self.put(series, kline)
        return True

    def _close(self, *, stores: bool) -> None:
        for (symbol, span), forming in list(self.bars.items()):
            end_ms = INTERVALS[span].close_time(forming.open_time_ms)
            if self.clock.now_ms > end_ms:
                del self.bars[symbol, span]
                kline = forming.kline(span, end_ms + 1, closed=True)
                if stores:
                    self.put((symbol, span), kline)
                else:
                    self.unstored.append(((symbol, span), kline))
                self.reported_late.append(((symbol, span), kline))

    def put(self, series: Series, kline: Kline) -> None:
        self.store.klines[series][kline.open_time_ms] = kline._replace(event_time_ms=0)

    def put_late(self, place: int) -> None:
        """Store a closed kline that was not stored yet."""
        if self.unstored:
            self.put(*self.unstored.pop(place % len(self.unstored)))

    def forming(self, series: Series) -> None:
        if bar := self.bars.get(series):
            self._publish(series, kline_event(*series, bar.kline(series[1], self.clock.now_ms)))

    def ticker(self, symbol: str) -> None:
        if bar := self.bars.get((symbol, "1s")):
            self._ingest((symbol, ""), f'{{"E":{self.clock.now_ms},"s":"{symbol}","c":"{bar.prices[-1]}"}}')

    def tell(self, place: int, times: int = 1) -> None:
        """Publish a closed kline, `times` times."""
        if self.reported_late:
            series, kline = self.reported_late.pop(place % len(self.reported_late))
            # A collector stores before it publishes.
            self.unstored = [late for late in self.unstored if late != (series, kline)]
            if kline.open_time_ms not in self.store.klines[series]:
                self.put(series, kline)
            for _ in range(times):
                self._publish(series, kline_event(*series, kline))

    def lose(self, place: int) -> None:
        """A closed kline is never published."""
        if self.reported_late:
            self.reported_late.pop(place % len(self.reported_late))

    def correct(self, series: Series, back: int) -> None:
        stored = sorted(self.store.klines[series].items())[-3:]
        if stored:
            open_time_ms, kline = stored[back % len(stored)]
            newer = kline._replace(event_time_ms=self.clock.now_ms, volume=f"{kline.volume}1")
            self.put(series, newer)
            for span in SPANS:
                self.corrected.add(((series[0], span), INTERVALS[span].open_time(open_time_ms)))
            self._publish(series, kline_event(*series, newer))

    def poll(self) -> None:
        """The gateway reads the newest members of the keys, where it polls."""
        if not (self.polls and self.connected):
            return
        for series, klines in self.store.klines.items():
            known = self.gateway.tails.get(series)
            newest = sorted(klines)[-TAIL:] if known is None else [at for at in sorted(klines) if at not in known]
            self.gateway.tails[series] = {*(known or ()), *klines}
            if newest:
                batch = [(Topic(*series), kline_member(*series, klines[at]).encode()) for at in newest]
                self.gateway.ingest.ingest(batch)

    def _publish(self, series: Series, payload: str) -> None:
        if not self.polls:
            self._ingest(series, payload)

    def _ingest(self, series: Series, payload: str) -> None:
        if self.connected:
            self.gateway.ingest.ingest([(Topic(*series), payload.encode())])

    # The link to the source.

    def link(self, connected: bool) -> None:
        if connected != self.connected:
            self.connected = connected
            self._begin_read() if connected else self.gateway.ingest.disconnected("gone")

    def switch(self, polls: bool) -> None:
        """Another source, or another way of reading: both begin with a read of everything."""
        if self.connected:
            self.polls = polls
            self.gateway.tails.clear()
            self._begin_read()

    def _begin_read(self) -> None:
        self.read_from = {(symbol, span): [*self.truth(symbol, span)] for symbol in SYMBOLS for span in SPANS}
        self.gateway.ingest.connected()

    async def restart(self, *, linked: bool) -> None:
        """Another process; nobody is connected to it."""
        await self.finish()
        for bot in self.bots:
            self.disconnect(bot)
        await self.gateway.aclose()
        self.gateway = Gateway(self.clock, self.store, self.replay_ms)
        self.connected = False
        self.link(linked)

    # Bots.

    def connect(self, bot: Bot, streams: list[str]) -> None:
        if bot.client is None:
            bot.socket = FakeSocket()
            access = ConnectionAccess("local", ConnectionLimits(CONFIG.limits, 10), 0.0, exempt=True)
            assert self.gateway.admission.control.admit(access) is None
            dialect = self.gateway.service.dialect(combined=False, micro=False)
            bot.client = BinanceClient(self.gateway.service, bot.socket, access, dialect)  # type: ignore[arg-type]
            bot.client.begin(streams)
            bot.streams = {}
            self._note_streams(bot)

    def subscribe(self, bot: Bot, method: str, streams: list[str]) -> None:
        if bot.client is not None and not bot.socket.closing:
            # What was written before belongs to the subscription before.
            bot.read(self.clock.now_ms)
            bot.client.received(json.dumps({"method": method, "params": streams, "id": 1}).encode())
            self._note_streams(bot)

    def _note_streams(self, bot: Bot) -> None:
        assert bot.client is not None
        names = {self.gateway.hub.channels[n].name for n in bot.client.session.subscription_set.ns}
        bot.streams = {name: bot.streams.get(name) or self._joined(name) for name in names}

    def _joined(self, name: str) -> SeenStream:
        interval = name.rpartition("_")[2]
        if not self.replay_ms:
            return SeenStream(interval, self.clock.now_ms)
        # The time says nothing. What is certain is that a read of the store which is still to begin finds the past. Of
        # one that is under way it is not: it may have passed by a kline that is stored, and published, after it.
        series = name.partition("@")[0].upper(), interval
        if not self.gateway.hub.feed_state.is_unread(series[0]):
            return SeenStream(interval, 0)
        return SeenStream(interval, 0, self.read_from[series] if self.connected else self.truth(*series))

    def disconnect(self, bot: Bot) -> None:
        if bot.client is not None:
            bot.read(self.clock.now_ms)
            if bot.socket.closed_for is not None:
                bot.ends.append(bot.socket.closed_for)
            bot.socket.closing = True
            bot.client.lost()
            bot.client, bot.streams = None, {}

    # Flushes.

    async def begin(self) -> None:
        """Begin a flush; a slice of it goes on with every step that follows."""
        await self.finish()
        self.advance(TICK_MS)
        self.flushing = asyncio.create_task(self.gateway.flusher.flush())
        await asyncio.sleep(0)

    async def finish(self) -> None:
        if self.flushing is not None:
            await self.flushing
            self.flushing = None
            self.check()

    async def tick(self, count: int = 1) -> None:
        for _ in range(count):
            await self.begin()
            await self.finish()
            for _ in range(4):
                await asyncio.sleep(0)

    def check(self) -> None:
        """What must hold at any time; connections that were ended are gone."""
        for bot in self.bots:
            bot.read(self.clock.now_ms)
            if bot.socket.closing:
                self.disconnect(bot)

    async def settle(self) -> None:
        """End every disturbance; let all that has closed be stored and read, and all that is pending be sent."""
        await self.finish()
        for bot in self.bots:
            bot.socket.stall(False)
            bot.socket.unsent = 0
        self.link(True)
        await self.tick(20)
        self.polls = False
        while self.unstored:
            self.put_late(0)
        while self.reported_late:
            self.tell(0)
        await self.tick(20)
        # What is open now closes too, and is read.
        self.advance(3 * 60_000)
        self.link(False)
        self.link(True)
        for _ in range(40):
            await asyncio.sleep(0)
        await self.tick(2 * WAIT_MS // TICK_MS)

    async def check_told(self) -> None:
        """Every connection that is still open was told all that is stored since its first event, and REST says so."""
        for bot in self.bots:
            for name, seen in bot.streams.items():
                symbol, interval = name.partition("@")[0].upper(), seen.interval.name
                truth = self.truth(symbol, interval)
                rows = (await self.gateway.history.klines(symbol, interval, 500, 0, forming=False)).klines
                assert [row.open_time_ms for row in rows] == sorted(truth), "REST"
                if seen.first_ms:
                    assert list(seen.told) == [at for at in sorted(truth) if at >= seen.first_ms], "told"
                for at, volume in seen.told.items():
                    if ((symbol, interval), at) not in self.corrected:
                        assert volume == truth[at].volume

    def truth(self, symbol: str, interval: str) -> dict[int, Kline]:
        """The closed klines of a series that exist."""
        if interval in STORED:
            return self.store.klines[symbol, interval]
        parts = [kline for _, kline in sorted(self.store.klines[symbol, "1m"].items())]
        return {k.open_time_ms: k for k in aggregate_closed(parts, INTERVALS["1m"], INTERVALS[interval])}

    async def end(self) -> None:
        for bot in self.bots:
            self.disconnect(bot)
        await self.gateway.aclose()
        hub = self.gateway.hub
        assert not hub.sessions
        assert not any(channel.subscribers for channel in hub.channels)
        assert not hub.strict._joined
        assert not hub.strict._to_end
