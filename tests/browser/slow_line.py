"""A slow line between a browser and the gateway: bytes pass at a rate, and the sender feels it.

Or one that no WebSocket passes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Self
from urllib.parse import urlsplit

_CHUNK_BYTES = 512
_RECEIVE_BYTES = 4096


class SlowLine:
    """Listens on a port of its own; `bytes_per_s` is for what comes down, and may be changed at any time."""

    def __init__(self, url: str, *, upgrades: bool = True) -> None:
        """`upgrades`: whether WebSockets get through; some proxies drop them."""
        self._upgrades = upgrades
        self._to = (urlsplit(url).hostname, urlsplit(url).port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self.bytes_per_s: float | None = None
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # A close alone wakes nobody who waits in `accept` or `recv`.
        for end in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.socket()
            # Small, before the connection: what waits here is hidden from the gateway.
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            far.connect(self._to)
            self._open += (near, far)
            for source, sink, slow in ((near, far, False), (far, near, True)):
                thread = threading.Thread(target=self._carry, args=(source, sink, slow), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pause(self, sent_bytes: int) -> None:
        """As long as so much takes, or until the line is as fast as any again: what went out may have been large."""
        began_s = time.monotonic()
        while (rate := self.bytes_per_s) and time.monotonic() - began_s < sent_bytes / rate:
            time.sleep(0.02)

    def _carry(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:
        try:
            while data := source.recv(_CHUNK_BYTES if slow and self.bytes_per_s else 65536):
                if not self._upgrades and b"upgrade: websocket" in data.lower():
                    return
                sink.sendall(data)
                if slow:
                    self._pause(len(data))
        except OSError:
            pass
        finally:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
