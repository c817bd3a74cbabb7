"""Requests and handshakes as uvicorn reads them, up to where a WebSocket's transport becomes a `ClientSocket`'s.

The only file that touches the server's inside (a contract test guards it). It adds the limits that uvicorn leaves to a
proxy: how long a request may take, how large its head may be, how many may wait on one connection. Knows no routes.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any, cast

from httptools import HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.server.client_socket import ClientSocket, reset

if TYPE_CHECKING:
    import asyncio

HANDOVER = "kline_gateway.handover"
"""Name of the ASGI extension in a WebSocket's scope: a function that returns the socket, to be called once accepted."""

# Linux's number; Python does not name it.
TCP_NOTSENT_LOWAT = 25

# SO_RCVBUF, which Linux doubles: requests and commands are small, and what is not read must wait at the client.
RECEIVE_BUFFER_BYTES = 16 * 1024

HEADERS_MAX = 100

_REFUSAL = b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
BAD_REQUEST = _REFUSAL % b"400 Bad Request"
TOO_SLOW = _REFUSAL % b"408 Request Timeout"
TOO_LARGE = _REFUSAL % b"431 Request Header Fields Too Large"

PIPELINE_MAX = 16
"""Requests that may wait behind one on its connection. Browsers and libraries wait for each answer."""


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with an end to everything a client can draw out.

    Settings are class attributes of a subclass made by `http_protocol`: uvicorn takes a class, not an object.
    """

    head_max_bytes = 8192
    head_s = 10.0
    exchange_s = 60.0

    _data = b""
    _head_bytes = 0
    _in_head = True
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._allow(self.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_limit()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._data = data
        super().data_received(data)
        self._data = b""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.head_max_bytes:
                self._refuse(TOO_LARGE)

    def handle_websocket_upgrade(self) -> None:
        """The connection becomes a WebSocket. What came behind the handshake in the same read goes with it: RFC 6455
        (section 4.1) asks clients to wait for the answer, but a first command must not be lost on one that does not."""
        upgrade = sys.exception()
        assert isinstance(upgrade, HttpParserUpgrade)
        if self.scope["http_version"] != "1.1" or all(name != b"host" for name, _ in self.headers):
            # Section 4.2.1; the library does not see the one and does not ask for the other.
            self.send_400_response("A WebSocket needs HTTP/1.1 and a Host.")
            return
        self._stop_limit()
        self._in_head = False
        super().handle_websocket_upgrade()
        early = self._data[upgrade.args[0] :]
        successor = self.transport.get_protocol()
        if early and isinstance(successor, HandshakeProtocol):
            successor.data_received(early)

    # What the parser calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.cycle is not None:
            # A further request on the connection.
            self._allow(self.head_s)
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.head_max_bytes or len(self.headers) > HEADERS_MAX:
            self._refuse(TOO_LARGE)
        if self.transport.is_closing() or len(self.pipeline) >= PIPELINE_MAX:
            # Stops the parser; uvicorn refuses what it has read, unless that is done already.
            raise ValueError("not taken")
        super().on_headers_complete()
        self._in_head = False
        self._allow(self.exchange_s)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # uvicorn closes an idle connection in order, which waits for who never reads the answer.
        if not self.pipeline:
            self._allow(self.exchange_s)

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _allow(self, seconds: float) -> None:
        self._stop_limit()
        self._limit = self.loop.call_later(seconds, self._too_late)

    def _stop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _too_late(self) -> None:
        cycle: Any = self.cycle  # None before the first request
        answered = cycle is None or cycle.response_complete
        if self._in_head and answered and not self.transport.is_closing():
            self._refuse(TOO_SLOW if self._head_bytes else b"")
            self._allow(self.exchange_s)
        else:
            reset(self.transport)

    def _refuse(self, answer: bytes) -> None:
        """Close the connection; who has said nothing is told nothing: browsers open connections for later use."""
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def http_protocol(*, head_max_bytes: int, head_s: float, exchange_s: float) -> type[HttpProtocol]:
    """The protocol class to give uvicorn (`Config(http=…)`). `head_s`: seconds a request's head may take to come;
    `exchange_s`: seconds from there until the answer has been read."""
    settings = {"head_max_bytes": head_max_bytes, "head_s": head_s, "exchange_s": exchange_s}
    return type("ConfiguredHttpProtocol", (HttpProtocol,), settings)


class HandshakeProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol for as long as the handshake takes.

    Settings are class attributes of a subclass made by `handshake_protocol`: uvicorn takes a class, not an object.
    """

    max_message_bytes = 8192
    send_buffer_bytes = 0
    unsent_bytes = 0
    _early = b""

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated:
            # Frames are not for the parser of a protocol that ends here.
            self._early += data
            self._pause_reading()
        else:
            super().data_received(data)
            if not self.handshake_initiated:
                # HTTP, but no handshake to the library: another method, a body, a line too long.
                self.transport.write(BAD_REQUEST)
                self.transport.close()

    def _pause_reading(self) -> None:
        """Nobody takes anything until the handshake is answered."""
        if not self.read_paused and not self.transport.is_closing():
            self.read_paused = True
            self.transport.pause_reading()

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            # The application's task has been made but has not run yet.
            extensions = cast("dict[str, Any]", self.scope["extensions"])
            extensions[HANDOVER] = self._hand_over

    def _hand_over(self, *, deflate: bool = False) -> ClientSocket:
        """After `websocket.accept`: the transport becomes a `ClientSocket`'s, this object is done with.

        `deflate`: the answer to the handshake has accepted permessage-deflate.
        """
        transport, loop = self.transport, self.loop
        self.stop_keepalive()
        self._shrink_buffers(transport)
        registry = cast("set[Any]", self.connections)
        client = ClientSocket(transport, registry, self.max_message_bytes, loop.time(), deflate=deflate)
        self.connections.discard(self)
        transport.set_protocol(client)
        # uvicorn closes the transport when the application returns: let it close nothing.
        self.transport = cast("asyncio.Transport", _HandedOver())
        if self._early:
            loop.call_soon(client.data_received, self._early)
        if self.read_paused:
            transport.resume_reading()
        return client

    def _shrink_buffers(self, transport: asyncio.Transport) -> None:
        sock = transport.get_extra_info("socket")
        if sock.family == socket.AF_UNIX:
            return
        if self.send_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer_bytes)
        if self.unsent_bytes and hasattr(socket, "TCP_NODELAY") and os.uname().sysname == "Linux":
            sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, self.unsent_bytes)


class _HandedOver:
    """Stands in for a transport that somebody else has now."""

    def close(self) -> None: ...

    def is_closing(self) -> bool:
        return True


def handshake_protocol(**settings: int) -> type[WebSocketsSansIOProtocol]:
    """The protocol class to give uvicorn (`Config(ws=…)`): `max_message_bytes`, `send_buffer_bytes`, `unsent_bytes`."""
    return type("ConfiguredHandshakeProtocol", (HandshakeProtocol,), settings)
