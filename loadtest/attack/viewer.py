"""A client that follows tickers and measures how long it hears nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import orjson
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from websockets.sync.connection import Connection


class Viewer:
    """One native connection, opened again when the gateway closes it."""

    def __init__(self, port: int, symbols: Sequence[str], pid: int) -> None:
        """`pid`: the gateway's process, whose main thread is its event loop."""
        self._port = port
        self._symbols = symbols
        self._schedule = Path(f"/proc/{pid}/task/{pid}/schedstat")
        self._stream = self._connect()
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def reset(self) -> None:
        """Measure from now on."""
        self._last_s, self._last_cpu_s = time.monotonic(), self._loop_cpu_s()
        self.longest_s = self.longest_cpu_s = 0.0
        self.lost = 0

    def follow(self, until_s: float) -> None:
        """Receive until then, on the monotonic clock."""
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                message = self._stream.recv(timeout=left_s)
            except TimeoutError:
                break
            except ConnectionClosed:
                self.lost += 1
                self._stream = self._connect()
                continue
            if '"u":' in str(message)[:40]:
                self._note()
        # A silence that has not ended counts as far as it has lasted.
        self.longest_s = max(self.longest_s, time.monotonic() - self._last_s)

    def _connect(self) -> Connection:
        url = f"ws://127.0.0.1:{self._port}/v1/stream"
        while True:
            try:
                stream = connect(url, compression=None, proxy=None, ping_interval=None, close_timeout=0.1)
            except (OSError, TimeoutError, InvalidHandshake):
                time.sleep(0.1)
                continue
            channels = [f"ticker:{symbol}" for symbol in self._symbols]
            stream.send(orjson.dumps({"op": "subscribe", "channels": channels}).decode())
            return stream

    def _note(self) -> None:
        now_s, cpu_s = time.monotonic(), self._loop_cpu_s()
        self.longest_s = max(self.longest_s, now_s - self._last_s)
        self.longest_cpu_s = max(self.longest_cpu_s, cpu_s - self._last_cpu_s)
        self._last_s, self._last_cpu_s = now_s, cpu_s

    def _loop_cpu_s(self) -> float:
        return int(self._schedule.read_text().split()[0]) / 1e9
