"""What is saved by writing less often: ten frames in one write against ten writes?

500 socket pairs, ten frames of 500 bytes for each client. Compared: a write per frame, the frames joined into one
write, and `sendmsg` with the ten as a vector. Per operation: one client's ten frames.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from loadtest.bench.runner import Case

if TYPE_CHECKING:
    from collections.abc import Callable

_CLIENTS = 500
_FRAMES = [b"\x81\x7e\x01\xf0" + b"x" * 496] * 10


def _case(write: Callable[[socket.socket], object]) -> Case:
    pairs = [socket.socketpair() for _ in range(_CLIENTS)]
    buffer = bytearray(1 << 16)
    for ours, _ in pairs:
        ours.setblocking(False)

    def work() -> None:
        for ours, _ in pairs:
            write(ours)

    def drain() -> None:
        for _, theirs in pairs:
            theirs.recv_into(buffer)

    def close() -> None:
        for pair in pairs:
            for end in pair:
                end.close()

    return Case(work, _CLIENTS, drain, close)


def _each(connection: socket.socket) -> None:
    descriptor = connection.fileno()
    for frame in _FRAMES:
        os.write(descriptor, frame)


def _joined(connection: socket.socket) -> None:
    os.write(connection.fileno(), b"".join(_FRAMES))


def _vector(connection: socket.socket) -> None:
    connection.sendmsg(_FRAMES)


CASES = {
    "a write per frame": lambda: _case(_each),
    "joined, one write": lambda: _case(_joined),
    "one vectored write": lambda: _case(_vector),
}
