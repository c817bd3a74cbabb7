"""How many bytes a proxy holds for a client that reads nothing: what it takes from a server that writes all it can."""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loadtest.behind_proxies.proxy import proxied
from loadtest.protocol.websocket import ACCEPT, handshake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECEIVE_BUFFER_BYTES = 4096
SEND_BUFFER_BYTES = 32768
"""The client's and the server's; the gateway's default is the same."""

IDLE_S = 1.0
"""A proxy that has taken nothing for so long takes no more."""

START_S = 20.0
_BLOCK = b"\x82\x7e\x0f\xfc" + bytes(4092)
_UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: %s\r\n\r\n"
) % ACCEPT


class Flood:
    """A server that writes frames to each WebSocket for as long as they are taken, and reports good health."""

    def __init__(self, listening: socket.socket) -> None:
        self.sent = 0
        """Bytes that the kernel has taken, for all connections."""
        self._listening = listening

    def run(self) -> None:
        """Serve until the socket is closed."""
        while True:
            try:
                taken, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(taken,), daemon=True).start()

    def _serve(self, taken: socket.socket) -> None:
        with taken:
            request = b""
            while b"\r\n\r\n" not in request:
                if not (part := taken.recv(4096)):
                    return
                request += part
            if b"upgrade: websocket" not in request.lower():
                taken.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            taken.sendall(_UPGRADED)
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            try:
                while True:
                    self.sent += taken.send(_BLOCK)
            except OSError:
                return


@contextmanager
def flooding() -> Iterator[tuple[Flood, int]]:
    """A server and its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        flood = Flood(listening)
        thread = threading.Thread(target=flood.run, daemon=True)
        thread.start()
        try:
            yield flood, listening.getsockname()[1]
        finally:
            # Wakes up `accept`.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def held_bytes(name: str, folder: Path) -> int:
    """Bytes that are on their way to a client behind this proxy that reads nothing, the server's own buffer included;
    `name` "": without a proxy. Raises `ProxyError`, and `TimeoutError` if the proxy does not start."""
    with flooding() as (flood, port):
        if not name:
            return _taken(flood, port)
        with proxied(name, folder, port) as proxy:
            deadline_s = time.monotonic() + START_S
            while not proxy.listens():
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"{name} does not listen")
                time.sleep(0.02)
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
                sock.connect(("127.0.0.1", proxy.port))
                with proxy.trust.wrap_socket(sock, server_hostname="localhost") as client:
                    client.sendall(handshake("localhost"))
                    return _until_idle(flood)


def _taken(flood: Flood, port: int) -> int:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.connect(("127.0.0.1", port))
        sock.sendall(handshake("localhost"))
        select.select([sock], [], [], START_S)
        return _until_idle(flood)


def _until_idle(flood: Flood) -> int:
    """Wait until something is taken, and then nothing any more."""
    began_s = changed_s = time.monotonic()
    sent = 0
    while True:
        time.sleep(0.02)
        now_s = time.monotonic()
        if flood.sent != sent:
            sent, changed_s = flood.sent, now_s
        elif sent and now_s - changed_s > IDLE_S:
            return sent
        elif now_s - began_s > START_S:
            raise TimeoutError("no connection reaches the server")
