"""A small world to break: server, line, gateway, collector and clients, all real; and what its clients saw, as proof.

Owns the processes and the time that passes; what is broken when is the caller's.
"""

from __future__ import annotations

import signal
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from loadtest.checker import Checker
from loadtest.client import Client, State
from loadtest.dialects import NATIVE
from loadtest.follower import Follower
from loadtest.gateway_process import Gateway, free_port
from loadtest.nemesis import stepped
from loadtest.nemesis.collector import Collector
from loadtest.nemesis.proxy import Proxy
from loadtest.nemesis.verdict import Verdict, judge
from loadtest.recording import Joined, Ledger, Left, Recorder, Shown
from loadtest.resp import ask, encode
from loadtest.scenario import Clients, Feed, Phase, Scenario
from loadtest.stamps import UNITS_PER_MS, stamp_at
from loadtest.swarm import Swarm
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadtest.recording import Event

LOOK_S = 0.25
SLOW_BYTES_PER_S = 8192
STEP_S = 0.02
WAIT_S = 30.0
HEARTBEAT_S = 1.0
QUIET_S = 2.0
"""Two beats of the slowest tier."""
SILENT_BEATS = 3
"""After so many missed heartbeats the protocol tells a client to give up: it shows nothing as live any more."""

SETTINGS: dict[str, dict[str, Any]] = {
    "redis": {"retry_s": [0.1, 0.2, 0.4], "watchdog_s": 0.8, "connect_timeout_s": 1.0, "command_timeout_s": 1.0},
    "market": {"intervals": ["1s"], "stale_after_s": 1.2},
    "stream": {"heartbeat_s": HEARTBEAT_S, "slow_abort_s": 10.0},
    "server": {"shutdown_s": 4.0},
}

LIMIT_MS = 3500.0
"""The feed's own limits and the heartbeats' are below it, and a busy machine has some room."""


@dataclass
class Rig:
    """A world in `folder`. `settings` go over `SETTINGS`; with `timed` tickers carry their event time."""

    folder: Path
    clients: int = 24
    slow: float = 0.0
    stalled: float = 0.0
    symbols: int = 6
    timed: bool = False
    ordered: bool = True
    """Whether prices must never be followed by older ones."""
    limit_ms: float = LIMIT_MS
    """What may be shown as live."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: Path | None = None
    """Where the gateway's log goes; else a file of its own."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._build(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _build(self, stack: ExitStack) -> None:
        self.epoch_ns = time.monotonic_ns()
        scenario = Scenario(
            title="nemesis",
            feed=Feed(symbols=self.symbols, kline_symbols=self.symbols, intervals=("1s",)),
            clients=Clients(
                count=self.clients,
                tickers=self.symbols // 2,
                klines=self.symbols // 2,
                history=3,
                decoded=1.0,
                slow=self.slow,
                slow_bytes_per_s=SLOW_BYTES_PER_S,
                stalled=self.stalled,
            ),
            phases=(Phase(name="all", seconds=1),),
        )
        self.server = stack.enter_context(EmbeddedServer())
        self.line = Proxy(self.server.port)
        stack.callback(self.line.close)
        self.collector = Collector(self.server.url, scenario.symbols, ("1s",), self.epoch_ns, timed=self.timed)
        self.collector.start()
        stack.callback(self.collector.stop)
        self._clock = self.folder / "clock"
        stepped.create(self._clock)
        self._log = self.log or self.folder / "gateway.log"
        self.port = free_port()
        self.gateways: list[Gateway] = []
        self._unborn: set[int | None] = set()
        stack.callback(self._stop_gateways)
        self.start_gateway()
        self.gateways[-1].wait()
        # What the clients saw, to be read again when all is over.
        self._recording = self.folder / "seen.jsonl"
        self._recorder = Recorder(stack.enter_context(self._recording.open("wb")), "nemesis")
        self._live = Checker()
        self._swarm = self._make_swarm(scenario)
        stack.callback(self._swarm.close)
        self._looked_s = 0.0
        self.oldest_live_ms = 0.0
        """The oldest price shown as live at the last look."""
        self._swarm.connect(self.clients, time.monotonic_ns())
        self.wait(self.all_ready, "all clients")

    def _make_swarm(self, scenario: Scenario) -> Swarm:
        host = f"127.0.0.1:{self.port}"
        clients = []
        for index in range(self.clients):
            suffix = "" if scenario.kind(index) == "normal" else " (slow)"
            follower = Follower(index, self._see, suffix) if scenario.decodes(index) else None
            clients.append(Client(index, scenario, NATIVE, host, follower))
        swarm = Swarm(clients, NATIVE, ("127.0.0.1", self.port), self.epoch_ns, at_once=self.clients, klines=True)
        swarm.joined = lambda client: self._see(Joined(client.index)) if client.follower else None
        swarm.left = lambda client: self._see(Left(client.index)) if client.follower else None
        swarm.reconnect = True
        swarm.attempts_max, swarm.pause_max_s = 1000, 1.0
        swarm.limit_slow(scenario.clients.slow_bytes_per_s)
        return swarm

    def _see(self, event: Event) -> None:
        self._live.see(event)
        self._recorder.write(event)

    # The world's parts, to be broken.

    def start_gateway(self, **sections: dict[str, Any]) -> Gateway:
        """One more on the port; nobody waits for it."""
        names = SETTINGS.keys() | self.settings.keys() | sections.keys()
        settings = {
            name: {**SETTINGS.get(name, {}), **self.settings.get(name, {}), **sections.get(name, {})} for name in names
        }
        program = ("-m", "loadtest.nemesis.stepped", str(self._clock))
        gateway = Gateway.launch(self.line.url, settings, port=self.port, program=program, log=self._log)
        self.gateways.append(gateway)
        return gateway

    def end_gateway(self) -> None:
        """SIGTERM; the swarm goes on meanwhile."""
        gateway = self.gateway
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)):
                # It is starting still: it has nobody to say goodbye to, and may not have heard of signals yet.
                self._unborn.add(gateway.pid)
        gateway.signal(signal.SIGTERM)
        self.wait(lambda: gateway.ended, "the end of the gateway")

    @property
    def gateway(self) -> Gateway:
        return self.gateways[-1]

    def step_clock(self, seconds: float) -> None:
        """Move the gateway's wall clock; 0 puts it right."""
        stepped.step(self._clock, seconds)

    def limit_output(self, limit: str) -> None:
        """Of a subscriber's waiting output, for example "1mb 256kb 60"; more, and the server cuts it off."""
        ask(self.server.url, [encode("CONFIG", "SET", "client-output-buffer-limit", f"pubsub {limit}")])

    def drop_clients(self) -> None:
        """All lose their connections at once, and come back."""
        self._swarm.drop(time.monotonic_ns())

    # Time.

    @property
    def ready(self) -> int:
        return self._swarm.ready

    @property
    def checked(self) -> int:
        """Closed klines seen so far."""
        return self._live.checked

    @property
    def broken(self) -> dict[str, int]:
        """What has been found so far."""
        return dict(self._live.faults)

    def notices(self, name: str) -> int:
        """How often a message of that kind came, for example `status redis`."""
        return self._swarm.totals.notices[name]

    def closes(self, how: str) -> int:
        """How many connections ended so, for example `closed 1012`."""
        return sum(count for name, count in self._swarm.totals.closes.items() if name.endswith(how))

    def all_ready(self) -> bool:
        return self._swarm.ready == self.clients

    def all_live(self) -> bool:
        """Whether every client that reads is back, and is shown prices that are live and of this moment."""
        return self.all_ready() and all(
            seen is not None and seen[1] < 1000 * UNITS_PER_MS for seen in map(self._oldest, self._watching())
        )

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            self._step(min(STEP_S, left_s))

    def wait(self, met: Callable[[], object], what: str, most_s: float = WAIT_S) -> None:
        deadline_s = time.monotonic() + most_s
        while not met():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{what}: not within {most_s:g} s; {self.ready} of {self.clients} clients are ready")
            self._step(STEP_S)

    def finish(self) -> Verdict:
        """Stop the feed, let everybody take what is on its way, and judge by the recording."""
        self.wait(self.all_live, "everybody back and live")
        # A bar or two more on healthy connections: what is missing by now would never have come.
        self.run(1.5)
        self.collector.stop()
        self._swarm.limit_slow(0)
        self._drain()
        ledger = Ledger(self.collector.ledger())
        self._recorder.write(ledger)
        sums: dict[str, int] = {}
        behind: list[str] = []
        away = 0
        for client in self._swarm.clients:
            if client.follower is None:
                continue
            if client.state is not State.READY:
                away += 1
                continue
            behind += client.follower.finish(self.collector.last_prices)
            for name, value in client.follower.sums.items():
                sums[name] = sums.get(name, 0) + value
        statuses = [
            status
            for gateway in self.gateways
            if (status := gateway.stop()) != -signal.SIGTERM or gateway.pid not in self._unborn
        ]
        self._recorder.flush()
        checker = judge(self._recording)
        text = self._log.read_text(errors="replace") if self._log.is_file() else ""
        return Verdict(
            faults=dict(checker.faults),
            examples=checker.examples + behind[:5],
            klines_checked=checker.checked,
            looks=checker.looks,
            sums=sums,
            away=away,
            tracebacks=text.count("Traceback"),
            ordered=self.ordered,
            statuses=statuses,
        )

    def _drain(self) -> None:
        """Until nothing comes any more: who has read slowly may have much in front of it, and a slow tier's beats."""
        totals = self._swarm.totals
        deadline_s, before = time.monotonic() + WAIT_S, None
        while time.monotonic() < deadline_s:
            come = (totals.updates, totals.updates_slow, totals.closed, totals.closed_slow, totals.notices["snapshot"])
            if come == before:
                return
            before = come
            self.run(QUIET_S)

    def _step(self, most_s: float) -> None:
        self._swarm.step(most_s)
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look()

    def _watching(self) -> list[Client]:
        return [client for client in self._swarm.clients if client.kind == "normal" and client.state is State.READY]

    def _oldest(self, client: Client) -> tuple[str, int] | None:
        silent_ns = time.monotonic_ns() - client.heard_ns
        if silent_ns > SILENT_BEATS * HEARTBEAT_S * 1e9 or client.follower is None:
            return None
        return client.follower.oldest_live(stamp_at(time.monotonic_ns(), self.epoch_ns))

    def _look(self) -> None:
        """What is on everybody's screen."""
        self.oldest_live_ms = 0.0
        for client in self._watching():
            if seen := self._oldest(client):
                channel, age = seen
                age_ms = age / UNITS_PER_MS
                self.oldest_live_ms = max(self.oldest_live_ms, age_ms)
                self._see(Shown(client.index, channel, age_ms, self.limit_ms))

    def _stop_gateways(self) -> None:
        for gateway in self.gateways:
            gateway.stop()
