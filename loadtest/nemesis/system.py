"""The system that a nemesis run breaks: server, proxy, gateway, collector and clients, all real, and a recording of
what the clients saw. Owns the processes and the passing of time; the caller decides what breaks when.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from loadtest.gateway_process import Gateway, free_port
from loadtest.nemesis import stepped_clock
from loadtest.nemesis.bots import Bots
from loadtest.nemesis.collector import Collector
from loadtest.nemesis.live_values import live_values, newest_prices, oldest_live, reading
from loadtest.nemesis.proxy import Proxy
from loadtest.nemesis.setup import CLOSE_WAIT_S, SETTINGS, make_scenario
from loadtest.nemesis.verdict import Verdict, judge
from loadtest.protocol.dialects import NATIVE
from loadtest.protocol.resp import encode, execute
from loadtest.protocol.stamps import UNITS_PER_MS
from loadtest.report.checker import Checker
from loadtest.report.recording import FaultBegan, FaultEnded, Joined, Ledger, Left, Newest, Recorder
from loadtest.swarm.client import State, make_clients
from loadtest.swarm.follower import CHECK_MS
from loadtest.swarm.swarm import Swarm
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadtest.nemesis.setup import FeedMode
    from loadtest.report.recording import BotEvent, Event, MovementEvent
    from loadtest.scenario import Scenario

LIVE_CHECK_S = CHECK_MS / 1000
STEP_S = 0.02
STALL_S = 0.5
"""After a step that comes so late, what clients were sent meanwhile has yet to be read."""
TIMEOUT_S = 30.0
QUIET_S = 2.0
"""Two flushes of the slowest tier."""

LIMIT_MS = 3500.0
"""Above the limits of the feed and of the heartbeats, with some room for a busy machine."""


@dataclass
class SystemUnderTest:
    """A system with its files in `folder`. `settings` override `SETTINGS`; `timed`: tickers have event times."""

    folder: Path
    clients: int = 24
    slow: float = 0.0
    stalled: float = 0.0
    symbols: int = 6
    timed: bool = False
    ordered: bool = True
    """Whether an older price after a newer one is a fault."""
    limit_ms: float = LIMIT_MS
    """Oldest price that may be shown as live."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    bots: int = 0
    """Clients of Binance's kline streams."""
    feed_mode: FeedMode = "auto"
    """How the gateway reads. By keys only, the collector publishes nothing."""
    log: Path | None = None
    """File for the gateway's log; None: one in `folder`."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._build(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _build(self, stack: ExitStack) -> None:
        self.epoch_ns = time.monotonic_ns()
        scenario = make_scenario(self.clients, self.symbols, self.slow, self.stalled)
        self._servers = stack.enter_context(ExitStack())
        self.server = self._servers.enter_context(EmbeddedServer())
        self.proxy = Proxy(self.server.port)
        stack.callback(self.proxy.close)
        publishes = self.feed_mode in ("auto", "pubsub")
        self.collector = Collector(
            self.server.url, scenario.symbols, ("1s",), self.epoch_ns, timed=self.timed, publishes=publishes
        )
        self.collector.start()
        stack.callback(self.collector.stop)
        self._clock = self.folder / "clock"
        stepped_clock.create(self._clock)
        self._log = self.log or self.folder / "gateway.log"
        self.port = free_port()
        self.gateways: list[Gateway] = []
        self._signalled_at_start: set[int | None] = set()
        stack.callback(self._stop_gateways)
        self.start_gateway()
        self.gateways[-1].wait()
        # Events of all clients; `finish` reads them again.
        self._recording = self.folder / "seen.jsonl"
        self._recorder = Recorder(stack.enter_context(self._recording.open("wb")), "nemesis")
        self._checker = Checker()
        self._recording_lock = Lock()
        self._swarm = self._make_swarm(scenario)
        stack.callback(self._swarm.close)
        self._live_checked_s = self._stepped_s = 0.0
        self.oldest_live_ms = 0.0
        """Age of the oldest price shown as live at the last check."""
        self._bots = Bots(self.bots, self.port, scenario.symbols, self._record)
        stack.callback(self._bots.close)
        self._swarm.connect(self.clients, time.monotonic_ns())
        self.wait(self.all_ready, "all clients")

    def _make_swarm(self, scenario: Scenario) -> Swarm:
        clients = make_clients(scenario, NATIVE, f"127.0.0.1:{self.port}", self._record, range(self.clients))
        swarm = Swarm(clients, NATIVE, ("127.0.0.1", self.port), self.epoch_ns, at_once=self.clients, klines=True)
        swarm.on_connected = lambda client: self._record(Joined(client.index)) if client.follower else None
        swarm.on_disconnected = lambda client: self._record(Left(client.index)) if client.follower else None
        swarm.reconnect = True
        swarm.attempts_max, swarm.pause_max_s = 1000, 1.0
        swarm.limit_slow(scenario.clients.slow_bytes_per_s)
        return swarm

    def _record(self, event: Event | BotEvent | MovementEvent) -> None:
        with self._recording_lock:
            self._checker.check(event)
            self._recorder.write(event)

    # Parts that faults act on.

    def began(self, name: str, *, stops: bool) -> None:
        """Record that a fault begins. `stops`: whether prices may stand still while it lasts."""
        self._record(FaultBegan(self._now_s(), name, stops))

    def ended(self, name: str) -> None:
        """Record that a fault is over."""
        self._record(FaultEnded(self._now_s(), name))

    def _now_s(self) -> float:
        return round((time.monotonic_ns() - self.epoch_ns) / 1e9, 3)

    def move_server(self) -> None:
        """Let new connections, and the collector, go to a new server; the old one stays up with its connections."""
        self._old_server, self.server = self.server, self._servers.enter_context(EmbeddedServer())
        self.proxy.target_port = self.server.port
        self.collector.move(self.server.url)

    def stop_old_server(self) -> None:
        """End the server from which `move_server` moved."""
        self._old_server.stop()

    def set_notifications(self, flags: str) -> None:
        """Set the server's `notify-keyspace-events`, as its operator may for another application."""
        execute(self.server.url, [encode("CONFIG", "SET", "notify-keyspace-events", flags)])

    def start_gateway(self, **sections: dict[str, Any]) -> Gateway:
        """Start one more gateway on the port, and do not wait until it is ready."""
        names = SETTINGS.keys() | self.settings.keys() | sections.keys()
        settings = {"feed": {"mode": self.feed_mode, "enable_notifications": self.feed_mode == "keyspace"}} | {
            name: {**SETTINGS.get(name, {}), **self.settings.get(name, {}), **sections.get(name, {})} for name in names
        }
        program = ("-m", "loadtest.nemesis.stepped_clock", str(self._clock))
        gateway = Gateway.launch(self.proxy.url, settings, port=self.port, program=program, log=self._log)
        self.gateways.append(gateway)
        return gateway

    def end_gateway(self) -> None:
        """Send SIGTERM and wait for the end; the clients keep running meanwhile."""
        gateway = self.gateway
        if not gateway.listens():
            # The gateway is still starting: it has no clients, and may not have installed its signal handlers.
            self._signalled_at_start.add(gateway.pid)
        gateway.signal(signal.SIGTERM)
        self.wait(lambda: gateway.ended, "the end of the gateway")

    @property
    def gateway(self) -> Gateway:
        return self.gateways[-1]

    def step_clock(self, seconds: float) -> None:
        """Move the gateway's wall clock by so much from the correct time."""
        stepped_clock.step(self._clock, seconds)

    def limit_output(self, limit: str) -> None:
        """Set the server's limit for a subscriber's unsent output, for example "1mb 256kb 60"."""
        execute(self.server.url, [encode("CONFIG", "SET", "client-output-buffer-limit", f"pubsub {limit}")])

    def drop_clients(self) -> None:
        """All lose their connections at once, and counts back."""
        self._swarm.drop(time.monotonic_ns())
        self._bots.drop()

    # Time.

    @property
    def ready(self) -> int:
        return self._swarm.ready

    @property
    def checked(self) -> int:
        """Closed klines checked so far."""
        return self._checker.checked

    @property
    def kline_faults(self) -> dict[str, int]:
        """Fault -> number found so far."""
        return dict(self._checker.faults)

    def notices(self, name: str) -> int:
        """How many messages of a kind came, for example `status redis`."""
        return self._swarm.totals.notices[name]

    def closes(self, how: str) -> int:
        """How many connections ended so, for example `closed 1012`."""
        return sum(count for name, count in self._swarm.totals.closes.items() if name.endswith(how))

    def all_ready(self) -> bool:
        return self._swarm.ready == self.clients

    def all_live(self) -> bool:
        """Whether every client is connected, and every normal one has live prices that are less than a second old."""
        return self.all_ready() and all(
            seen is not None and seen[1] < 1000 * UNITS_PER_MS
            for seen in (oldest_live(client, self.epoch_ns) for client in reading(self._swarm.clients))
        )

    def run(self, seconds: float) -> None:
        """Let so much time pass, during which the clients run."""
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            self._step(min(STEP_S, left_s))

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise TimeoutError(
                    f"{what}: not within {timeout_s:g} s; {self.ready} of {self.clients} clients are ready"
                )
            self._step(STEP_S)

    def finish(self) -> Verdict:
        """Stop the feed, let clients receive what is on its way, and judge the recording."""
        self.wait(self.all_live, "all clients connected and live")
        # A kline or two more on healthy connections: what is missing after them would never have come.
        self.run(1.5)
        self.began("end of the feed", stops=True)
        self.collector.stop()
        self._swarm.limit_slow(0)
        self._wait_until_idle()
        ledger = Ledger(self.collector.ledger())
        if self.bots:
            self.run(CLOSE_WAIT_S)
            self._bots.compare(ledger.published["1s"][1])
        self._recorder.write(ledger)
        sums: dict[str, int] = {}
        not_current: list[str] = []
        away = 0
        for client in self._swarm.clients:
            if client.follower is None:
                continue
            if client.state is not State.READY:
                away += 1
                continue
            not_current += client.follower.compare_final(self.collector.last_prices)
            for name, value in client.follower.sums.items():
                sums[name] = sums.get(name, 0) + value
        statuses = [
            status
            for gateway in self.gateways
            if (status := gateway.stop()) != -signal.SIGTERM or gateway.pid not in self._signalled_at_start
        ]
        self._recorder.flush()
        checker = judge(self._recording)
        text = self._log.read_text(errors="replace") if self._log.is_file() else ""
        return Verdict(
            faults=dict(checker.faults),
            examples=checker.examples + not_current[:5],
            klines_checked=checker.checked,
            prices_checked=checker.prices_checked,
            movements_checked=checker.movement.checked,
            sums=sums,
            away=away,
            tracebacks=text.count("Traceback"),
            ordered=self.ordered,
            bot_klines=checker.bots.compared if self.bots else None,
            bot_ends=dict(checker.bots.ends),
            statuses=statuses,
        )

    def _wait_until_idle(self) -> None:
        """Run until nothing arrives any more: slow readers have much unread, and a slow tier flushes rarely."""
        totals = self._swarm.totals
        deadline_s, before = time.monotonic() + TIMEOUT_S, None
        while time.monotonic() < deadline_s:
            snapshots = totals.notices["snapshot"]
            counts = totals.updates, totals.updates_slow, totals.closed, totals.closed_slow, snapshots
            if counts == before:
                return
            before = counts
            self.run(QUIET_S)

    def _step(self, timeout_s: float) -> None:
        before_s = self._stepped_s
        self._swarm.step(timeout_s)
        self._stepped_s = now_s = time.monotonic()
        if now_s - before_s > STALL_S:
            self._live_checked_s = now_s
        elif now_s - self._live_checked_s >= LIVE_CHECK_S:
            self._live_checked_s = now_s
            self._record_live()

    def _record_live(self) -> None:
        self.oldest_live_ms = 0.0
        for shown in live_values(self._swarm.clients, self.epoch_ns, self.limit_ms):
            self.oldest_live_ms = max(self.oldest_live_ms, shown.age_ms)
            self._record(shown)
        self._record(Newest(self._now_s(), newest_prices(self._swarm.clients)))

    def _stop_gateways(self) -> None:
        for gateway in self.gateways:
            gateway.stop()
