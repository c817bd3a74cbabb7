"""What a cached answer of the history costs over HTTP, beside a server that only says hello.

One gateway with 500 closed klines of a symbol and a forming one that changes ten times a second, and one bare Starlette
application (`hello_server.py`). Each case is a burst of requests on keep-alive connections, one request on each at a
time. The cases take turns round by round, and the figures are medians: CPU time of the server's process per request,
from the kernel's run times, and requests per second, which depend on whoever else uses the machine.
"""

from __future__ import annotations

import select
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.gateway_process import Gateway, free_port
from loadtest.one_series import KLINES, SYMBOL, one_series
from loadtest.processes import cores, family, pinned
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_START_S = 10.0
_ATTEMPTS = 4
_GZIP = "accept-encoding: gzip\r\n"
_UNLIMITED = {"http_per_min": 60_000_000.0, "http_burst": 1_000_000, "exempt": []}
"""Requests are counted and their answers say so, as for any client, and none is refused."""

_HISTORY = f"/v1/klines?symbol={SYMBOL}&interval=1m&limit={KLINES}"
_BINANCE = f"/api/v3/klines?symbol={SYMBOL}&interval=1m&limit={KLINES}"
_UDF = f"/udf/history?symbol={SYMBOL}&resolution=1&countback={KLINES}&to=9999999999"


@dataclass(frozen=True, slots=True)
class Case:
    """A request to one of the two servers; `headers`: its lines besides `host`."""

    name: str
    gateway: bool
    target: str
    headers: str = ""


CASES = (
    Case("hello world", False, "/hello"),
    Case("90 KB of bytes", False, "/90000"),
    Case("20 KB of bytes", False, "/20000"),
    Case("healthz", True, "/healthz"),
    Case("klines", True, _HISTORY),
    Case("klines, gzip", True, _HISTORY, _GZIP),
    Case("klines, gzip, a page", True, _HISTORY, _GZIP + "origin: https://app.example\r\n"),
    Case("klines, 304", True, _HISTORY, "if-none-match: *\r\n"),
    Case("Binance klines", True, _BINANCE),
    Case("Binance klines, gzip", True, _BINANCE, _GZIP),
    Case("UDF history", True, _UDF),
    Case("UDF history, gzip", True, _UDF, _GZIP),
)
"""The first one is what the others are compared with."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians over the rounds."""

    name: str
    cpu_us: float
    """CPU time of the server per request, in microseconds."""
    per_s: float
    """Requests per second."""
    answer_bytes: int
    """Of one answer with its head."""


def measure(
    names: tuple[str, ...], rounds: int, requests: int, connections: int, checkout: Path | None = None
) -> list[Cost]:
    """Each case `rounds` times with as many requests. `names`: beginnings of those of the cases, all without one; the
    first case is always measured. `checkout`: folder of another version of the gateway."""
    cases = [case for case in CASES if case is CASES[0] or case.name.startswith(names or ("",))]
    with ExitStack() as stack:
        with pinned(cores()[1]):
            server = stack.enter_context(EmbeddedServer())
        stack.enter_context(one_series(server.url))
        hello = stack.enter_context(_hello_server())
        gateway = Gateway.start(server.url, {"limits": dict(_UNLIMITED)}, checkout=checkout)
        stack.callback(gateway.stop)
        assert gateway.pid is not None
        servers = {True: (gateway.port, gateway.pid), False: hello}
        taken: dict[str, list[Cost]] = {case.name: [] for case in cases}
        with pinned(cores()[1]):
            for number in range(rounds + 1):
                for case in cases:
                    cost = _undisturbed(case, *servers[case.gateway], requests if number else connections, connections)
                    if number:
                        # The first round fills the caches.
                        taken[case.name].append(cost)
    return [
        Cost(
            name,
            statistics.median(cost.cpu_us for cost in costs),
            statistics.median(cost.per_s for cost in costs),
            costs[-1].answer_bytes,
        )
        for name, costs in taken.items()
    ]


def table(costs: Sequence[Cost]) -> str:
    """The costs as text, each with its ratio to the first."""
    first = costs[0].cpu_us
    lines = [f"{'':<22} {'CPU us':>8} {'x hello':>8} {'requests/s':>11} {'bytes':>8}"]
    lines += [
        f"{cost.name:<22} {cost.cpu_us:8.1f} {cost.cpu_us / first:8.2f} {cost.per_s:11,.0f} {cost.answer_bytes:8,}"
        for cost in costs
    ]
    return "\n".join(lines)


def _undisturbed(case: Case, port: int, pid: int, requests: int, connections: int) -> Cost:
    """A burst; again where the machine has stood still for so long that the server closed an idle connection."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(ConnectionError):
            return _burst(case, port, pid, requests, connections)
    return _burst(case, port, pid, requests, connections)


def _burst(case: Case, port: int, pid: int, requests: int, connections: int) -> Cost:
    """`requests` in all, over as many connections, which are opened before the time counts."""
    text = f"GET {case.target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{case.headers}\r\n"
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_START_S))
            for _ in range(connections)
        ]
        for one in sockets:
            one.sendall(text.encode())
            _Answer(one).read_all()
        before_s, began_s = _run_s(pid), time.perf_counter()
        size = _exchange(sockets, text.encode(), requests)
        seconds = time.perf_counter() - began_s
        cpu_s = _run_s(pid) - before_s
    return Cost(case.name, cpu_s / requests * 1e6, requests / seconds, size)


def _exchange(sockets: Sequence[socket.socket], request: bytes, requests: int) -> int:
    """Send so many requests, one at a time on each connection, and read the answers; returns the size of the last."""
    poll = select.epoll()
    answers = {one.fileno(): _Answer(one) for one in sockets}
    for descriptor, answer in answers.items():
        poll.register(descriptor, select.EPOLLIN)
        answer.socket.sendall(request)
    sent, size = len(answers), 0
    finished = 0
    while finished < requests:
        for descriptor, _ in poll.poll():
            answer = answers[descriptor]
            if not answer.read():
                continue
            finished += 1
            size = answer.size
            if sent < requests:
                sent += 1
                answer.restart()
                answer.socket.sendall(request)
    poll.close()
    return size


class _Answer:
    """One answer on a connection, as far as it has been read."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.size = 0
        self._left: int | None = None

    def restart(self) -> None:
        """The next answer."""
        self.size, self._left = 0, None

    def read_all(self) -> None:
        """Read to its end."""
        while not self.read():
            pass

    def read(self) -> bool:
        """Read what has arrived; whether the answer is complete. Raises `ConnectionError` if it is no success."""
        data = self.socket.recv(1 << 18)
        self.size += len(data)
        if self._left is None:
            # Heads are short and written at once.
            head, end, _ = data.partition(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            if not end or lines[0].split()[1] not in (b"200", b"304"):
                raise ConnectionError(f"unexpected answer: {data[:200]!r}")
            length = next((line for line in lines if line.startswith(b"content-length:")), b":0")
            self._left = len(head) + 4 + int(length.partition(b":")[2])
        return self.size >= self._left


def _run_s(pid: int) -> float:
    """CPU time of a process, its children and all of their threads, to the nanosecond."""
    files = [path for member in family(pid) for path in Path(f"/proc/{member}/task").glob("*/schedstat")]
    return sum(int(path.read_text().split()[0]) for path in files) / 1e9


@contextmanager
def _hello_server() -> Iterator[tuple[int, int]]:
    """The bare application on the gateway's core; yields its port and process id."""
    port = free_port()
    with pinned(cores()[0]):
        process = subprocess.Popen([sys.executable, "-m", "loadtest.hello_server", str(port)])
    try:
        deadline_s = time.monotonic() + _START_S
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > deadline_s:
                raise TimeoutError("the server that says hello does not listen")
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()
