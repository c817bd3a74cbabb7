"""A TCP proxy between the gateway and its Redis that can be slowed down or blocked. Knows no protocol."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

_CHUNK = 1 << 16
# Small, so that a backlog grows in the server, as it does on a real slow network.
_BUFFER_BYTES = 1 << 15
_INTERVAL_S = 0.02


class Proxy:
    """Listens on 127.0.0.1 and forwards bytes, in a thread per direction.

    `bytes_per_s`: rate of the server's answers, 0 without a limit. `blocked`: nothing passes in either direction, and
    all connections stay open. `replaced`: bytes of the server's answers, and what to send instead.
    `target_port`: where new connections go; may change, open ones stay where they are.
    """

    def __init__(self, target_port: int) -> None:
        self.bytes_per_s = 0.0
        self.blocked = False
        self.replaced: tuple[bytes, bytes] | None = None
        self.replacements = 0
        self.target_port = target_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: set[socket.socket] = set()
        self._closed = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"

    def close(self) -> None:
        self._closed = True
        for end in (self._listening, *self._sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            try:
                server.connect(("127.0.0.1", self.target_port))
            except OSError:
                client.close()
                server.close()
                continue
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.add(end)
            for source, sink, limited in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._forward, args=(source, sink, limited), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, limited: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                while self.blocked and not self._closed:
                    time.sleep(_INTERVAL_S)
                if limited and self.replaced is not None:
                    self.replacements += data.count(self.replaced[0])
                    data = data.replace(*self.replaced)
                view = memoryview(data)
                while limited and view and self.bytes_per_s:
                    part = max(1, int(self.bytes_per_s * _INTERVAL_S))
                    sink.sendall(view[:part])
                    view = view[part:]
                    time.sleep(_INTERVAL_S)
                sink.sendall(view)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._sockets.discard(end)
