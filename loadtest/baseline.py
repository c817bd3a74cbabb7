"""The floor for every gateway: the cost of writing the same bytes to the same number of sockets, and nothing else.

One process writes (on the gateway's core), another reads (on the others): TCP over loopback, one `os.write` per socket
and interval. A gateway that seems to cost less than this was measured wrongly.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.processes import cores, pinned

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


@dataclass(frozen=True, slots=True)
class Floor:
    """The cost of bare writes on this machine."""

    sockets: int
    frame_bytes: int
    beat_s: float
    seconds: float
    writes: int
    skipped: int
    """Writes that the kernel did not accept because the reader was too slow."""
    late_beats: int
    """Intervals in which the writes took longer than the interval."""
    user_s: float
    system_s: float

    @property
    def us_per_write(self) -> float:
        return (self.user_s + self.system_s) / self.writes * 1e6 if self.writes else 0.0

    @property
    def cpu_percent(self) -> float:
        return (self.user_s + self.system_s) / self.seconds * 100


def measure(sockets: int, frame_bytes: int, beat_s: float, seconds: float) -> Floor:
    """Write `frame_bytes` to each socket every `beat_s`, for `seconds`. Runs both processes to their end."""
    context = multiprocessing.get_context("spawn")
    gateway_core, other_cores = cores()
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        ours, theirs = context.Pipe()
        with pinned(other_cores):
            reader = context.Process(target=_read, args=(listener, sockets), daemon=True)
            reader.start()
        port = listener.getsockname()[1]
        with pinned(gateway_core):
            writer = context.Process(target=_write, args=(theirs, port, sockets, frame_bytes, beat_s, seconds))
            writer.start()
        floor: Floor = ours.recv()
        writer.join()
        reader.join(5)
        reader.terminate()
    return floor


def _write(pipe: Connection, port: int, sockets: int, frame_bytes: int, beat_s: float, seconds: float) -> None:
    frame = b"x" * frame_bytes
    connections = []
    for _ in range(sockets):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        connections.append(connection)
    descriptors = [connection.fileno() for connection in connections]
    gc.disable()
    writes = skipped = late = 0
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    intervals = max(1, int(seconds / beat_s))
    write = os.write
    for interval in range(1, intervals + 1):
        for descriptor in descriptors:
            try:
                write(descriptor, frame)
                writes += 1
            except BlockingIOError:
                skipped += 1
        pause_s = began + interval * beat_s - time.monotonic()
        if pause_s > 0:
            time.sleep(pause_s)
        else:
            late += 1
    after, elapsed = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    user_s, system_s = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    pipe.send(Floor(sockets, frame_bytes, beat_s, elapsed, writes, skipped, late, user_s, system_s))


def _read(listener: socket.socket, sockets: int) -> None:
    """Read and discard until all connections are closed."""
    poll = select.epoll()
    listener.setblocking(True)
    connections = {}
    for _ in range(sockets):
        connection, _ = listener.accept()
        connection.setblocking(False)
        connections[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
    buffer = bytearray(1 << 18)
    while connections:
        for descriptor, _ in poll.poll():
            try:
                count = connections[descriptor].recv_into(buffer)
            except ConnectionError:
                count = 0
            if not count:
                poll.unregister(descriptor)
                connections.pop(descriptor).close()
