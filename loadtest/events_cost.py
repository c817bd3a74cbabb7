"""What clients of Server-Sent Events cost the gateway beside those of WebSockets: one kind, the other, and both."""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import ExitStack
from typing import NamedTuple

import click
import orjson
from redis import Redis

from loadtest.gateway_process import Gateway
from loadtest.processes import cores, pinned, usage
from loadtest.protocol.websocket import TEXT, client_frame, handshake
from loadtest.simulated_collector import simulated_collector
from simulator.pairs import choose_pairs
from simulator.server import EmbeddedServer

KINDS = {"websocket": (1.0, 0.0), "events": (0.0, 1.0), "both": (0.5, 0.5)}
"""The parts of the clients that speak WebSocket, and that get events."""

_SETTLE_S = 5.0
_CHANNELS_MAX = 100


class Cost(NamedTuple):
    """Over the time measured."""

    kind: str
    clients: int
    percent: float
    """Of a core."""
    updates: float
    """Delivered a second."""
    bytes: float
    """Received by all clients a second."""

    def __str__(self) -> str:
        us = self.percent * 1e4 / self.updates if self.updates else 0.0
        return (
            f"{self.kind:<10} {self.clients:,} clients: {self.percent:5.1f} % of a core, {us:.3f} us an update; "
            f"{self.updates:,.0f} updates and {self.bytes / 1e6:.1f} MB a second"
        )


def measure(kind: str, clients: int, symbols: int, rate: float, seconds: float) -> Cost:
    """Start a collector and a gateway, connect the clients, which share a list of channels, and look for `seconds`."""
    with ExitStack() as stack:
        with pinned(cores()[1]):
            server = stack.enter_context(EmbeddedServer())
            stack.enter_context(simulated_collector(server.url, symbols, rate, ("1m",)))
        pairs = choose_pairs(symbols)
        redis = stack.enter_context(Redis.from_url(server.url))
        while not redis.exists(f"ticker:{pairs[-1].symbol}"):
            time.sleep(0.1)
        gateway = Gateway.start(server.url, {"market": {"intervals": ["1m"]}})
        stack.callback(gateway.stop)
        assert gateway.pid is not None
        channels = [f"ticker:{pair.symbol}" for pair in pairs][:_CHANNELS_MAX]
        readers = stack.enter_context(_Readers())
        for part, hello in zip(KINDS[kind], (_websocket(gateway, channels), _events(gateway, channels)), strict=True):
            for _ in range(round(clients * part)):
                readers.connect(gateway.host, gateway.port, hello)
        readers.read(_SETTLE_S)
        before = usage(gateway.pid).cpu_s, _updates(gateway)
        started_s = time.monotonic()
        received = readers.read(seconds)
        took_s = time.monotonic() - started_s
        after = usage(gateway.pid).cpu_s, _updates(gateway)
        percent = 100 * (after[0] - before[0]) / took_s
        return Cost(kind, len(readers), percent, (after[1] - before[1]) / took_s, received / took_s)


class _Readers:
    """Clients that read and throw away."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._stack = ExitStack()

    def __enter__(self) -> _Readers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._selector.close()

    def __len__(self) -> int:
        return len(self._selector.get_map())

    def connect(self, host: str, port: int, hello: bytes) -> None:
        """One more, which says `hello`; the answer must be one of success."""
        found = self._stack.enter_context(socket.create_connection((host, port), timeout=10))
        found.sendall(hello)
        answer = found.recv(65_536)
        assert answer[9:12] in (b"101", b"200"), answer[:200]
        found.setblocking(False)
        self._selector.register(found, selectors.EVENT_READ)

    def read(self, seconds: float) -> int:
        """Read for so long; returns how many bytes came."""
        end_s, received = time.monotonic() + seconds, 0
        while (left_s := end_s - time.monotonic()) > 0:
            for key, _ in self._selector.select(left_s):
                found = key.fileobj
                assert isinstance(found, socket.socket)
                received += len(found.recv(65_536))
        return received


def _websocket(gateway: Gateway, channels: list[str]) -> bytes:
    command = orjson.dumps({"op": "subscribe", "channels": channels})
    return handshake(f"{gateway.host}:{gateway.port}", "/v1/stream") + client_frame(command, TEXT)


def _events(gateway: Gateway, channels: list[str]) -> bytes:
    query = ",".join(channels)
    return f"GET /v1/stream.sse?channels={query} HTTP/1.1\r\nHost: {gateway.host}:{gateway.port}\r\n\r\n".encode()


def _updates(gateway: Gateway) -> float:
    metrics = gateway.metrics()
    return sum(value for name, value in metrics.items() if name.startswith("gateway_updates_sent_total"))


@click.command()
@click.option("--clients", type=click.IntRange(2), default=1000, show_default=True)
@click.option("--symbols", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True, help="Per symbol.")
@click.option("--seconds", type=click.FloatRange(1), default=15.0, show_default=True)
def events(clients: int, symbols: int, rate: float, seconds: float) -> None:
    """What clients of Server-Sent Events cost, beside those of WebSockets."""
    for kind in KINDS:
        click.echo(measure(kind, clients, symbols, rate, seconds))
