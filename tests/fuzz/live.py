"""Hostile input for a whole gateway, in a process of its own with a simulated market: commands of both dialects,
frames, and requests. It must never answer 5xx, close with 1011, end, or grow."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING

from gateway.config import ConfigError, load_config
from loadtest.processes import usage
from loadtest.protocol.websocket import HandshakeError, client_frame, handshake, handshake_end
from tests.fuzz.mutate import mutants
from tests.fuzz.run import Finding, Outcome, corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 10.0
_PER_CONNECTION = 50
_PATHS = {
    "native_commands": "/v1/stream",
    "binance_commands": "/ws",
    "phoenix_messages": "/realtime/v1/websocket",
    "frames": "/v1/stream",
}
_FAULT = re.compile(rb"HTTP/1\.1 5(?!03)")
_TARGETS = (
    b"/v1/klines?symbol=BTCUSDT&interval=1m&limit=50",
    b"/v1/ticker?symbol=BTCUSDT",
    b"/v1/symbols",
    b"/api/v3/klines?symbol=BTCUSDT&interval=1h&startTime=1732310040000&limit=5",
    b"/api/v3/ticker/24hr?symbols=%5B%22BTCUSDT%22%5D",
    b"/udf/history?symbol=BTCUSDT&resolution=60&from=1732310040&to=1732320040&countback=10",
    b"/udf/search?query=btc&limit=10",
)
_BODY = b'{"symbol":"BTCUSDT","timeframe":"1m","limit":  100}'
_REQUESTS = [
    *(b"GET %s HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n" % target for target in _TARGETS),
    b"POST /functions/v1/get-klines HTTP/1.1\r\nHost: x\r\nContent-Length: 51\r\n\r\n" + _BODY,
    handshake("x", "/v1/stream", None),
]


@contextmanager
def demo() -> Iterator[tuple[int, int]]:
    """Process and port of `gateway demo`, without limits by address: one host may send all of it."""
    limits = {"GATEWAY_LIMITS__EXEMPT": "127.0.0.0/8"}
    with suppress(ConfigError):
        load_config(None, limits)
        os.environ.update(limits)
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", "--port", "0", "--symbols", "5"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found is not None, "the gateway did not start"
        yield process.pid, int(found[1])
        if process.poll() is not None:
            raise Finding(f"the gateway ended with status {process.returncode}")
    finally:
        process.terminate()
        process.wait(WAIT_S)


def fuzz_live(count: int, seed: int) -> Outcome:
    """`count` inputs in all, by turns. Raises `Finding`."""
    inputs = {name: mutants(corpus(name), seed) for name in _PATHS}
    requests = mutants(_REQUESTS, seed)
    began_s, done, first_kb = time.monotonic(), 0, 0
    with demo() as (pid, port):
        while done < count:
            for name, path in _PATHS.items():
                batch = list(islice(inputs[name], _PER_CONNECTION))
                _talk(port, path, [data if name == "frames" else client_frame(data[:8000]) for data in batch])
            for data in islice(requests, _PER_CONNECTION):
                _request(port, data)
            done += _PER_CONNECTION * (len(_PATHS) + 1)
            first_kb = first_kb or (usage(pid).rss_kb if done >= count / 10 else 0)
        grown_mb = (usage(pid).rss_kb - first_kb) / 1024
    return Outcome(done, time.monotonic() - began_s, grown_mb)


def _talk(port: int, path: str, frames: list[bytes]) -> None:
    """As many connections as it takes: each ends with the first frame that is refused."""
    while frames:
        with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:
            connection.sendall(handshake("x", path, None))
            answer = b""
            while not (start := _frames_at(answer)):
                answer += _receive(connection) or b"HTTP/1.1 0 hung up\r\n\r\n"
            # What is said so far is read before more is sent: a refusal is told from the frame that brought it about.
            received = answer[start:]
            sent = 0
            for frame in frames:
                sent += 1
                with suppress(ConnectionError):
                    connection.sendall(frame)
                connection.setblocking(False)
                with suppress(BlockingIOError):
                    while data := _receive(connection):
                        received = (received + data)[-4096:]
                connection.settimeout(WAIT_S)
                if b"\x88" in received and _closed(received):
                    break
            connection.settimeout(WAIT_S)
            with suppress(ConnectionError):
                connection.shutdown(socket.SHUT_WR)
            while data := _receive(connection):
                received = (received + data)[-4096:]
            if b"\x03\xf3internal error" in received:
                raise Finding(f"closed with 1011 after {frames[:sent]!r}")
            frames = frames[sent:]


def _closed(received: bytes) -> bool:
    """Whether the last bytes are a close frame."""
    at = received.rfind(b"\x88")
    return len(received) - at >= 2 and received[at + 1] == len(received) - at - 2


def _frames_at(answer: bytes) -> int:
    try:
        return handshake_end(answer, None)
    except HandshakeError as error:
        raise Finding(f"a good handshake was refused: {error}") from error


def _request(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:
        with suppress(ConnectionError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := _receive(connection):
            answer += part
    if _FAULT.match(answer):
        raise Finding(f"{data!r} was answered {answer[:200]!r}")


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""
    except TimeoutError as error:
        raise Finding("no end of the connection") from error
