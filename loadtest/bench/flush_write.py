"""What does it save to write a beat to a slice of sockets in one pass, and in the order of the kernel's memory?

2,000 clients over TCP (loopback, so the kernel's receiving side is in every figure), a frame of 2,000 bytes each.
Compared: `ClientSocket.offer` for one after the other, a fleet that writes slices of 64, the same in the order in
which watchlists would have them, and the bare system call. Per operation: one client's write.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, cast

import uvloop

from gateway.runtime.fanout import SLICE_SESSIONS
from gateway.server.client_socket import ClientSocket
from gateway.server.socket_batch import SocketBatch
from loadtest.bench.runner import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CLIENTS = 2000
_WATCHLISTS = 100
_FRAME = b"\x81\x7e\x07\xcc" + b"x" * 1996


class _Crowd:
    """Clients' sockets as the gateway has them after a handshake, and the other ends. The loop only sets them up."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self.sockets: list[ClientSocket] = []
        self._readers: list[socket.socket] = []
        self._buffer = bytearray(1 << 16)
        self._loop.run_until_complete(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        accepted = asyncio.Semaphore(0)

        def accept() -> asyncio.Protocol:
            return _Handshake(self.sockets, accepted)

        server = await loop.create_server(accept, "127.0.0.1", 0, backlog=_CLIENTS)
        for _ in range(_CLIENTS):
            self._readers.append(socket.create_connection(server.sockets[0].getsockname()))
            self._readers[-1].setblocking(False)
            await accepted.acquire()
        server.close()

    def drain(self) -> None:
        for reader in self._readers:
            reader.recv_into(self._buffer)

    def close(self) -> None:
        for client in self.sockets:
            client.abort()
        for reader in self._readers:
            reader.close()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()


class _Handshake(asyncio.Protocol):
    def __init__(self, sockets: list[ClientSocket], accepted: asyncio.Semaphore) -> None:
        self._sockets, self._accepted = sockets, accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        taken = cast("asyncio.Transport", transport)
        client = ClientSocket(taken, set(), 8192, 0.0)
        taken.set_protocol(client)
        self._sockets.append(client)
        self._accepted.release()


def _by_watchlist(sockets: Sequence[ClientSocket]) -> list[ClientSocket]:
    """As they would come watchlist by watchlist."""
    return [client for first in range(_WATCHLISTS) for client in sockets[first::_WATCHLISTS]]


def _case(make_work: Callable[[list[ClientSocket]], Callable[[], None]]) -> Case:
    crowd = _Crowd()
    return Case(make_work(crowd.sockets), _CLIENTS, crowd.drain, crowd.close)


def _singly(sockets: list[ClientSocket]) -> Callable[[], None]:
    scattered = _by_watchlist(sockets)

    def work() -> None:
        for client in scattered:
            client.offer(_FRAME)

    return work


def _socket_batch(sockets: list[ClientSocket]) -> Callable[[], None]:
    socket_batch, frames, places = SocketBatch(sockets), [_FRAME] * SLICE_SESSIONS, range(_CLIENTS)

    def work() -> None:
        for start in range(0, _CLIENTS, SLICE_SESSIONS):
            assert not socket_batch.offer(places[start : start + SLICE_SESSIONS], frames[: _CLIENTS - start])

    return work


def _bare(sockets: list[ClientSocket]) -> Callable[[], None]:
    descriptors = [client.descriptor for client in sockets]

    def work() -> None:
        for descriptor in descriptors:
            os.write(descriptor, _FRAME)

    return work


CASES = {
    "one by one, by watchlist": lambda: _case(_singly),
    "a fleet, by watchlist": lambda: _case(lambda sockets: _socket_batch(_by_watchlist(sockets))),
    "a fleet, in the kernel's order": lambda: _case(_socket_batch),
    "bare os.write in that order": lambda: _case(_bare),
}
