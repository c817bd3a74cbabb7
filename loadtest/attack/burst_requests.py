"""The bursts of `burst.py`, and the process that sends one: connects, sends all at once, reads the answers."""

from __future__ import annotations

import os
import resource
import selectors
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadtest.protocol.websocket import handshake

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

INTERVALS = ("1m", "5m", "1h")
MEASURED_PRIORITY = 2
"""Of the gateway and of the measuring client, where the system permits real-time scheduling; the sender has one less.
Other work on the machine would be measured otherwise."""

ANSWERS_S = 30.0
"""Longest wait for the answers of a burst."""

_IP_BIND_ADDRESS_NO_PORT = 24
"""Linux's number; Python does not name it. The source port is chosen by `connect`, so that there are enough."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Requests that are sent in one moment."""

    name: str
    targets: tuple[str, ...]
    """Taken in turn; {symbol}, {interval} and {symbols} (all of them, comma-separated) are filled in, each combination
    once before one is repeated."""
    connections: int = 1000
    pipelined: int = 1
    """Requests on each connection, sent in one write."""
    addresses: int = 1
    """Source addresses that the connections are spread over."""
    websocket: bool = False
    """Handshakes in place of requests."""

    @property
    def requests(self) -> int:
        return self.connections * self.pipelined


BURSTS = (
    Burst("metrics", ("/metrics",)),
    Burst("metrics, pipelined", ("/metrics",), connections=20, pipelined=15),
    Burst("status", ("/status.json",)),
    Burst("status by symbol", ("/v1/status?limit=1000",)),
    Burst("health", ("/healthz", "/readyz")),
    Burst("documents", ("/v1/openapi.json", "/v1/asyncapi.json")),
    Burst("page", ("/", "/status/")),
    Burst("unknown path", ("/nothing/here",)),
    Burst("unknown path of data", ("/v1/nothing",)),
    Burst("symbols", ("/v1/symbols",), addresses=10),
    Burst("gaps", ("/v1/gaps",), addresses=10),
    Burst("ticker", ("/v1/ticker?symbol={symbol}",), addresses=10),
    Burst("klines, cached", ("/v1/klines?symbol=BTCUSDT&interval=1m&limit=500",), addresses=10),
    Burst("klines, each series", ("/v1/klines?symbol={symbol}&interval={interval}&limit=500",), addresses=10),
    Burst("UDF quotes of 200", ("/udf/quotes?symbols={symbols}",), addresses=10),
    Burst(
        "UDF history of 500", ("/udf/history?symbol={symbol}&resolution=1&countback=500&to=4000000000",), addresses=10
    ),
    Burst("UDF search", ("/udf/search?query=T&limit=200",), addresses=10),
    Burst("Binance ticker/24hr of all", ("/api/v3/ticker/24hr",), addresses=10),
    Burst("Binance ticker/24hr of 200", ("/api/v3/ticker/24hr?symbols=[{quoted}]",), addresses=10),
    Burst("Binance ticker/price of all", ("/api/v3/ticker/price",), addresses=10),
    Burst("Binance exchangeInfo of all", ("/api/v3/exchangeInfo",), addresses=10),
    Burst("Binance exchangeInfo of 200", ("/api/v3/exchangeInfo?symbols=[{quoted}]",), addresses=10),
    Burst("Binance klines, each series", ("/api/v3/klines?symbol={symbol}&interval={interval}",), addresses=10),
    Burst("handshakes", ("/v1/stream",), websocket=True),
    Burst(
        "everything",
        (
            *("/metrics", "/status.json", "/healthz", "/v1/openapi.json", "/nothing", "/udf/quotes?symbols={symbols}"),
            *("/api/v3/ticker/24hr", "/api/v3/exchangeInfo", "/v1/klines?symbol={symbol}&interval={interval}"),
        ),
        connections=2000,
        addresses=100,
    ),
)
"""By what is asked for. Bursts on data come from ten addresses, whose allowances hold a hundred requests each."""


def raise_descriptors() -> None:
    """Allow this process as many sockets as the system permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def send(pipe: Connection, burst: Burst, host: str, port: int, sources: Sequence[str], symbols: Sequence[str]) -> None:
    """Entry of the attacker's process: connects, waits for the word, sends everything, reads all answers."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(MEASURED_PRIORITY - 1))
    raise_descriptors()
    made = requests(burst, f"{host}:{port}", symbols)
    pipe.send("ready")
    pipe.recv()
    selector = selectors.DefaultSelector()
    statuses: Counter[str] = Counter()
    waiting: dict[int, Answers] = {}
    started_s = time.monotonic()
    for index in range(burst.connections):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((sources[index % len(sources)], 0))
        sock.connect_ex((host, port))
        waiting[sock.fileno()] = Answers(sock, b"".join(next(made) for _ in range(burst.pipelined)), burst)
        selector.register(sock, selectors.EVENT_WRITE)
    sent_bytes = sum(len(answers.request) for answers in waiting.values())
    last_s, received_bytes = started_s, 0
    while waiting and time.monotonic() < started_s + ANSWERS_S:
        for key, events in selector.select(1.0):
            answers = waiting[key.fd]
            if events & selectors.EVENT_WRITE:
                answers.sock.send(answers.request)
                selector.modify(answers.sock, selectors.EVENT_READ)
            elif answers.read(statuses):
                last_s = time.monotonic()
                selector.unregister(answers.sock)
                received_bytes += answers.size
                del waiting[key.fd]
                answers.sock.close()
    statuses["no answer"] += sum(answers.missing for answers in waiting.values())
    pipe.send((dict(+statuses), last_s - started_s, sent_bytes, received_bytes))


@dataclass(slots=True)
class Answers:
    """One connection and what it still waits for."""

    sock: socket.socket
    request: bytes
    burst: Burst
    size: int = 0
    missing: int = 0
    _left: int = 0
    _data: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.missing = self.burst.pipelined

    def read(self, statuses: Counter[str]) -> bool:
        """Read what is there; True when the last answer is complete or the connection has ended."""
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""
        self.size += len(data)
        if not data:
            statuses["cut"] += self.missing
            return True
        self._data += data
        while self._data:
            if self._left:
                taken = min(self._left, len(self._data))
                del self._data[:taken]
                self._left -= taken
            else:
                head, end, _ = self._data.partition(b"\r\n\r\n")
                if not end:
                    break
                statuses[head[9:12].decode()] += 1
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                self._left = int(lengths[0].partition(b":")[2]) if lengths else 0
                del self._data[: len(head) + 4]
                if self.burst.websocket:
                    self.missing -= 1
                    return True
            if not self._left:
                self.missing -= 1
        return self.missing == 0


def requests(burst: Burst, host: str, symbols: Sequence[str]) -> Iterator[bytes]:
    """The requests of a burst, without end."""
    number = 0
    while True:
        target = burst.targets[number % len(burst.targets)]
        turn = number // len(burst.targets)
        path = (
            target.replace("{symbols}", ",".join(symbols))
            .replace("{quoted}", ",".join(f"%22{symbol}%22" for symbol in symbols))
            .replace("{symbol}", symbols[turn % len(symbols)])
            .replace("{interval}", INTERVALS[turn // len(symbols) % len(INTERVALS)])
        )
        number += 1
        if burst.websocket:
            yield handshake(host, path)
        else:
            yield f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
