"""The line between the gateway and its Redis, to be made slow or dead. Knows no protocol."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

_CHUNK = 1 << 16
# What the line itself holds back is small, so that a backlog grows where it does in life: in the server.
_BUFFER_BYTES = 1 << 15
_STEP_S = 0.02


class Proxy:
    """Listens on 127.0.0.1 and passes bytes on. `bytes_per_s`: how fast answers come (0: as they do); `dark`: nothing
    passes either way, and nobody is told."""

    def __init__(self, target_port: int) -> None:
        self.bytes_per_s = 0.0
        self.dark = False
        self._target_port = target_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ends: set[socket.socket] = set()
        self._closed = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"

    def close(self) -> None:
        self._closed = True
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.socket()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            try:
                far.connect(("127.0.0.1", self._target_port))
            except OSError:
                near.close()
                far.close()
                continue
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._ends.add(end)
            for source, sink, slowed in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._pass_on, args=(source, sink, slowed), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, slowed: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                while self.dark and not self._closed:
                    time.sleep(_STEP_S)
                view = memoryview(data)
                while slowed and view and self.bytes_per_s:
                    share = max(1, int(self.bytes_per_s * _STEP_S))
                    sink.sendall(view[:share])
                    view = view[share:]
                    time.sleep(_STEP_S)
                sink.sendall(view)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._ends.discard(end)
