"""Bursts of HTTP requests against a running gateway: how long each silences a client that follows tickers.

The gateway has its default limits. A burst comes in one moment, from one address or from several.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from redis import Redis

from loadtest.attack.burst_requests import BURSTS, INTERVALS, MEASURED_PRIORITY, raise_descriptors, send
from loadtest.attack.viewer import Viewer
from loadtest.gateway_process import Gateway
from loadtest.processes import cores, family, pinned, usage
from loadtest.simulated_collector import simulated_collector
from simulator.pairs import choose_pairs
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadtest.attack.burst_requests import Burst

SYMBOLS = 200
RATE = 5.0
"""Ticker updates a second of each symbol."""
FOLLOWED = 100
"""Tickers that the measuring client is subscribed to: an update is due at every flush."""

CALM_S = 2.0
"""Measured before each burst: the longest silence without it, and the gateway's CPU time without it."""
AFTER_S = 0.5
"""Measured after the last answer."""
PAUSE_S = 1.0


class Outcome(NamedTuple):
    """What a burst did."""

    burst: Burst
    statuses: dict[str, int]
    took_s: float
    """From the first request to the last answer."""
    sent_bytes: int
    received_bytes: int
    cpu_ms: float
    """Of the gateway, for each request, beyond what it uses without the burst."""
    calm_s: float
    """Longest time without an update before the burst ..."""
    silence_s: float
    """... and during it."""
    busy_s: float
    """Longest CPU time of the gateway between two updates: what its silence is where nobody else uses its core, or the
    flush interval if that is longer."""
    rss_mb: float
    """Growth of the gateway's memory over the burst."""
    waited_s: float
    """Time of the burst in which others used the gateway's core: its silence is not all the gateway's."""
    lost: int
    """How often the client was disconnected."""

    def __str__(self) -> str:
        answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(self.statuses.items()))
        silence = f"{self.silence_s * 1000:6.0f} ms ({self.calm_s * 1000:.0f})  {self.busy_s * 1000:4.0f} ms"
        volume = f"{self.sent_bytes / 1e6:6.2f} MB  {self.received_bytes / 1e6:6.1f} MB  {self.rss_mb:+6.1f} MB"
        lost = f"; client disconnected {self.lost} times" if self.lost else ""
        return (
            f"{self.burst.name:<28} {silence}  {self.cpu_ms:6.2f} ms a request  {self.took_s:5.2f} s  {volume}  "
            f"waited {self.waited_s:4.2f} s  {answers}{lost}"
        )


HEADER = (
    f"{'burst':<28} silence (calm)   busy     CPU               answered  sent       received    memory     "
    "others' share  answers"
)


def measure(names: Sequence[str] = ()) -> Iterator[Outcome]:
    """Start everything, then send each burst whose name begins with one of `names`; all of them without names."""
    bursts = [burst for burst in BURSTS if not names or burst.name.startswith(tuple(names))]
    raise_descriptors()
    with ExitStack() as stack:
        with pinned(cores()[1]):
            server = stack.enter_context(EmbeddedServer())
            stack.enter_context(simulated_collector(server.url, SYMBOLS, RATE, INTERVALS))
        redis = stack.enter_context(Redis.from_url(server.url))
        pairs = choose_pairs(SYMBOLS)
        while not redis.exists(f"ticker:{pairs[-1].symbol}"):
            time.sleep(0.1)
        # An empty list: 127.0.0.1 is no exception here.
        gateway = Gateway.start(server.url, {"market": {"intervals": list(INTERVALS)}, "limits": {"exempt": []}})
        stack.callback(gateway.stop)
        os.sched_setaffinity(0, cores()[1])
        symbols = [pair.symbol for pair in pairs]
        assert gateway.pid is not None
        _take_precedence(gateway.pid)
        viewer = stack.enter_context(Viewer(gateway.port, symbols[:FOLLOWED], gateway.pid))
        viewer.follow(time.monotonic() + 3.0)
        for number, burst in enumerate(bursts):
            yield _run(burst, gateway, viewer, symbols, number)
            viewer.follow(time.monotonic() + PAUSE_S)


def _run(burst: Burst, gateway: Gateway, viewer: Viewer, symbols: Sequence[str], number: int) -> Outcome:
    assert gateway.pid is not None
    # Addresses that no other burst has used: their allowances are full.
    sources = [f"127.{10 + number}.{index // 250}.{index % 250 + 1}" for index in range(burst.addresses)]
    pipe, theirs = multiprocessing.Pipe()
    arguments = (theirs, burst, gateway.host, gateway.port, sources, list(symbols))
    process = multiprocessing.get_context("spawn").Process(target=send, args=arguments, daemon=True)
    process.start()
    assert pipe.recv() == "ready"
    before_s, cpu_s = time.monotonic(), _cpu_s(gateway.pid)
    viewer.reset()
    viewer.follow(before_s + CALM_S)
    calm_s = viewer.longest_s
    calm_share = (_cpu_s(gateway.pid) - cpu_s) / (time.monotonic() - before_s)
    viewer.reset()
    before, cpu_s, started_s = usage(gateway.pid), _cpu_s(gateway.pid), time.monotonic()
    pipe.send("go")
    while not pipe.poll():
        viewer.follow(time.monotonic() + 0.05)
    statuses, took_s, sent_bytes, received_bytes = pipe.recv()
    viewer.follow(time.monotonic() + AFTER_S)
    used_s = _cpu_s(gateway.pid) - cpu_s - calm_share * (time.monotonic() - started_s)
    after = usage(gateway.pid)
    process.join()
    return Outcome(
        burst,
        statuses,
        took_s,
        sent_bytes,
        received_bytes,
        used_s * 1000 / burst.requests,
        calm_s,
        viewer.longest_s,
        viewer.longest_cpu_s,
        (after.rss_kb - before.rss_kb) / 1024,
        after.waited_s - before.waited_s,
        viewer.lost,
    )


def _take_precedence(pid: int) -> None:
    """Run the gateway and this process before others, where the system permits: what is measured is not their work."""
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(MEASURED_PRIORITY))
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(MEASURED_PRIORITY))


def _cpu_s(pid: int) -> float:
    """CPU time of all threads of a process and its descendants, in nanoseconds' resolution."""
    total_ns = 0
    for member in family(pid):
        for task in Path(f"/proc/{member}/task").iterdir():
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9
