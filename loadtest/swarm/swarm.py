"""The swarm's sockets: one epoll loop for thousands of clients. Owns connecting, reading and reconnecting.

`client.py` interprets the bytes, `websocket.scan` counts updates. The loop also measures itself: the time it was busy,
and its longest pass.
"""

from __future__ import annotations

import errno
import heapq
import random
import select
import socket
import time
from typing import TYPE_CHECKING

from loadtest.protocol.stamps import stamp_at
from loadtest.protocol.websocket import scan
from loadtest.swarm.client import Client, ConnectionEnded, State
from loadtest.swarm.slow_readers import SlowReaders
from loadtest.swarm.tls_socket import TlsSocket, client_context
from loadtest.swarm.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.protocol.dialects import Dialect

_BUFFER = 1 << 21
_READ = 1 << 18
# Small, so that a swarm that reads too slowly shows at the gateway and in the ages, not as megabytes in the kernel.
_RECEIVE_BUFFER = 1 << 17
_SLOW_RECEIVE_BUFFER = 4096
# One address has 28,000 source ports by default.
_CLIENTS_PER_ADDRESS = 20_000
_ATTEMPTS = 12
_PAUSE_MAX_S = 30.0
_RETRY_NS = 1_000_000_000
_LOST = select.EPOLLHUP | select.EPOLLERR


class Swarm:
    """Invariant: a client has an entry in `_clients` (by descriptor) exactly while it is not DISCONNECTED."""

    def __init__(
        self,
        clients: list[Client],
        dialect: Dialect,
        address: tuple[str, int],
        epoch_ns: int,
        *,
        at_once: int,
        klines: bool,
        tls: bool = False,
    ) -> None:
        self.clients = clients
        self.reconnect = False
        self.attempts_max = _ATTEMPTS
        self.pause_max_s = _PAUSE_MAX_S
        self.on_connected: Callable[[Client], None] = lambda _: None
        self.on_disconnected: Callable[[Client], None] = lambda _: None
        self.totals = Totals()
        # Sockets.
        self._dialect, self._address, self._epoch_ns, self._at_once = dialect, address, epoch_ns, at_once
        self._count = dialect.count_all if klines else dialect.count_tickers
        self._by_index = {client.index: client for client in clients}
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket | TlsSocket] = {}
        self._tls = client_context() if tls else None
        self._clients: dict[int, Client] = {}
        # When, and whose index: connections to open, subscriptions to ask for again.
        self._waiting: list[tuple[int, int]] = []
        self._retries: list[tuple[int, int]] = []
        self._opening = 0
        self._slow = SlowReaders()
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._wake: int | None = None

    @property
    def ready(self) -> int:
        return sum(client.state is State.READY for client in self.clients)

    @property
    def connected(self) -> int:
        return len(self._clients)

    def watch(self, descriptor: int) -> None:
        """`step` returns at once when something can be read here."""
        self._wake = descriptor
        self._poll.register(descriptor, select.EPOLLIN)

    def limit_slow(self, bytes_per_s: float) -> None:
        """Set the rate of slow readers; 0: no limit for the rest of the run."""
        for descriptor in self._slow.limit(bytes_per_s):
            self._poll.modify(descriptor, select.EPOLLIN)

    def connect(self, count: int, now_ns: int) -> None:
        """Connect the first `count` clients, at most `at_once` at a time."""
        for client in self.clients[:count]:
            if client.state is State.DISCONNECTED:
                heapq.heappush(self._waiting, (now_ns, client.index))

    def drop(self, now_ns: int) -> None:
        """Abort the connections of all clients; they reconnect at once."""
        self._at_once = len(self.clients)
        for descriptor in list(self._clients):
            self._disconnect(descriptor, "dropped", now_ns)
        self.connect(len(self.clients), now_ns)

    def step(self, most_s: float) -> None:
        """One pass: wait for events, at most so long, and handle them."""
        began_ns = time.monotonic_ns()
        if self._waiting or self._retries:
            most_s = min(most_s, 0.005)
        events = self._poll.poll(min(most_s, self._slow.wait_s(began_ns)))
        now_ns = time.monotonic_ns()
        self.totals.idle_ns += now_ns - began_ns
        for descriptor, event in events:
            if descriptor == self._wake:
                continue
            client = self._clients.get(descriptor)
            if client is None:
                continue
            try:
                if event & _LOST and descriptor in self._slow:
                    raise ConnectionEnded("reset")
                if client.state is State.CONNECTING:
                    self._connected(descriptor, client)
                else:
                    self._read(descriptor, client, _READ)
            except ConnectionEnded as end:
                self._disconnect(descriptor, str(end), now_ns)
            except BlockingIOError:
                # Half a record of TLS has come.
                continue
            except OSError as error:
                self._disconnect(descriptor, errno.errorcode.get(error.errno or 0, "error"), now_ns)
        self._read_slow_clients(now_ns)
        while self._waiting and self._opening < self._at_once and self._waiting[0][0] <= now_ns:
            client = self._by_index[heapq.heappop(self._waiting)[1]]
            # A client that waited for its reconnect when `connect` was called is queued twice.
            if client.state is State.DISCONNECTED:
                self._open(client, now_ns)
        while self._retries and self._retries[0][0] <= now_ns:
            self._retry(heapq.heappop(self._retries)[1], now_ns)
        self.totals.worst_pass_ns = max(self.totals.worst_pass_ns, time.monotonic_ns() - now_ns)

    def close(self) -> None:
        for connection in self._sockets.values():
            connection.close()
        self._poll.close()

    def _open(self, client: Client, now_ns: int) -> None:
        connection = socket.socket()
        connection.setblocking(False)
        size = _RECEIVE_BUFFER if client.kind == "normal" else _SLOW_RECEIVE_BUFFER
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        host, port = self._address
        if host.startswith("127.") and (address := client.index // _CLIENTS_PER_ADDRESS):
            connection.bind((f"127.0.1.{address}", 0))
        descriptor = connection.fileno()
        client.state = State.CONNECTING
        client.connect_ns = now_ns
        client.attempts += 1
        self._opening += 1
        self._sockets[descriptor] = connection
        self._clients[descriptor] = client
        self._poll.register(descriptor, select.EPOLLOUT)
        if (status := connection.connect_ex((host, port))) not in (0, errno.EINPROGRESS):
            self._disconnect(descriptor, errno.errorcode.get(status, "error"), now_ns)

    def _connected(self, descriptor: int, client: Client) -> None:
        if status := self._sockets[descriptor].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(status, "connect")
        if self._tls is not None:
            self._sockets[descriptor] = TlsSocket(self._sockets[descriptor], self._tls)
        self._send(descriptor, client.open_handshake())
        self._poll.modify(descriptor, select.EPOLLIN)

    def _read(self, descriptor: int, client: Client, most: int) -> int:
        """Read once and handle all complete frames; returns the number of bytes read."""
        buffer, rest = self._buffer, client.unparsed
        offset = len(rest)
        if offset:
            buffer[:offset] = rest
            if offset + most > _BUFFER:
                raise ConnectionEnded("frame too large")
            size = self._sockets[descriptor].recv_into(self._view[offset : offset + most])
        else:
            size = self._sockets[descriptor].recv_into(buffer, most)
        if not size:
            raise ConnectionEnded("end of stream")
        self.totals.reads += 1
        client.last_read_ns = time.monotonic_ns()
        self.totals.bytes += size
        end = offset + size
        if client.state is State.HANDSHAKE:
            answer = client.finish_handshake(bytes(buffer[:end]))
            if answer is None:
                client.unparsed = bytes(buffer[:end])
                return size
            commands, start = answer
            self.on_connected(client)
            if commands:
                self._send(descriptor, commands)
            else:
                self._became_ready(descriptor, client)
            buffer[: end - start] = buffer[start:end]
            end -= start
        count = None if client.follower else self._count
        used, frames, tickers, closed, others = scan(
            buffer, end, self._dialect.update_prefix, count, self._dialect.run_pattern, self._dialect.opcode
        )
        client.unparsed = bytes(buffer[used:end]) if used < end else b""
        self.totals.frames += frames
        self.totals.add(client, tickers, closed)
        if others:
            self._receive(descriptor, client, others)
        return size

    def _receive(self, descriptor: int, client: Client, others: list[tuple[int, bytes]]) -> None:
        """Handle updates of followers, and other frames of all clients."""
        prefix, update_opcode, follower = self._dialect.update_prefix, self._dialect.opcode, client.follower
        stamp = stamp_at(time.monotonic_ns(), self._epoch_ns)
        for opcode, payload in others:
            if opcode == update_opcode and payload.startswith(prefix):
                # A stalled client has no follower, so in a dialect that must be decoded it counts nothing.
                if follower is not None:
                    updates = self._dialect.updates(payload)
                    self.totals.add(client, *follower.apply(updates, stamp, self.totals.ages))
                continue
            joining = client.state is State.SUBSCRIBING
            notice, answer = client.receive(opcode, payload)
            self.totals.notices[notice] += 1
            if answer:
                self._send(descriptor, answer)
            if client.has_refused_channels:
                heapq.heappush(self._retries, (time.monotonic_ns() + _RETRY_NS, client.index))
            if joining and client.state is State.READY:
                self._became_ready(descriptor, client)

    def _retry(self, index: int, now_ns: int) -> None:
        client = self._by_index[index]
        if client.has_refused_channels:
            descriptor = next(number for number, other in self._clients.items() if other is client)
            try:
                self._send(descriptor, client.subscribe_refused())
            except (ConnectionEnded, OSError) as end:
                self._disconnect(descriptor, str(end), now_ns)

    def _became_ready(self, descriptor: int, client: Client) -> None:
        self._opening -= 1
        client.attempts = 0
        self.totals.ready_ages.add((time.monotonic_ns() - client.connect_ns) // 100_000)
        if self._slow.take(descriptor, client):
            # No event for data any more, only for a broken connection.
            self._poll.modify(descriptor, 0)

    def _read_slow_clients(self, now_ns: int) -> None:
        for descriptor, client, allowed in self._slow.due(now_ns):
            try:
                client.allowance -= self._read(descriptor, client, allowed)
            except BlockingIOError:
                self._slow.found_nothing(client)
            except ConnectionEnded as end:
                self._disconnect(descriptor, str(end), now_ns)
            except OSError as error:
                self._disconnect(descriptor, errno.errorcode.get(error.errno or 0, "error"), now_ns)

    def _disconnect(self, descriptor: int, how: str, now_ns: int) -> None:
        client = self._clients.pop(descriptor)
        opening = client.state is not State.READY
        self._opening -= opening
        self._slow.discard(descriptor)
        self._sockets.pop(descriptor).close()
        client.disconnect()
        self.on_disconnected(client)
        self.totals.closes[f"{client.kind}: {how}"] += 1
        if how != "dropped" and (opening or self.reconnect) and client.attempts < self.attempts_max:
            # Full jitter, as the protocol requires of clients.
            pause_s = random.uniform(0, min(self.pause_max_s, 0.5 * 2 ** max(0, client.attempts - 1)))
            heapq.heappush(self._waiting, (now_ns + int(pause_s * 1e9), client.index))

    def _send(self, descriptor: int, data: bytes) -> None:
        """Send at once: commands are far smaller than an empty socket buffer."""
        if data and self._sockets[descriptor].send(data) != len(data):
            raise ConnectionEnded("commands not accepted")
