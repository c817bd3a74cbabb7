"""HTTP requests and WebSocket handshakes, until the transport of a WebSocket is handed over to a `ClientSocket`.

The only file that uses uvicorn's internals (a contract test guards it). It adds limits that uvicorn leaves to a proxy:
how long a request may take, how large its head may be, how many may wait on one connection. Must not know routes.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Protocol, cast

from httptools import HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.server.client_socket import ClientSocket, reset

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

HANDOVER = "kline_gateway.handover"
"""Name of the ASGI extension in a WebSocket's scope: a function that returns the socket, to be called once accepted."""

# Linux's number; Python does not name it.
TCP_NOTSENT_LOWAT = 25

# SO_RCVBUF, which Linux doubles: requests and commands are small, and unread bytes must wait at the client.
RECEIVE_BUFFER_BYTES = 16 * 1024

HEADERS_MAX = 100

_REFUSAL = b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
BAD_REQUEST = _REFUSAL % b"400 Bad Request"
TOO_SLOW = _REFUSAL % b"408 Request Timeout"
TOO_LARGE = _REFUSAL % b"431 Request Header Fields Too Large"

VERSION = b"13"
WRONG_VERSION = (
    b"HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 43\r\nconnection: upgrade, close\r\n\r\n"
    b"A WebSocket needs Sec-WebSocket-Version 13."
)
"""RFC 6455, section 4.4: names the version that is spoken here, so that a client can try again with it."""

PIPELINE_MAX = 16
"""Requests that may wait on one connection. Browsers and libraries wait for each answer."""


class Turns(Protocol):
    """Bounds what requests take of the event loop at a time."""

    def is_free(self) -> bool:
        """Whether a request may be decoded now."""
        ...

    def defer(self, group: str, work: Callable[[], object]) -> None:
        """Call `work` when it is its turn; groups take turns."""
        ...


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a limit on everything that a client can delay.

    Settings are class attributes of a subclass made by `http_protocol`: uvicorn takes a class, not an object.
    """

    head_max_bytes = 8192
    head_s = 10.0
    exchange_s = 60.0
    turns: Turns | None = None

    _data = b""
    _deferred = b""
    _head_bytes = 0
    _in_head = True
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._set_limit(self.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_limit()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.turns is None or (not self._deferred and self.turns.is_free()):
            self._decode(data)
            return
        if not self._deferred:
            self.transport.pause_reading()
            # By the peer and not by what headers say: those are not decoded yet.
            self.turns.defer(str(self.client[0] if self.client else ""), self._decode_deferred)
        self._deferred += data

    def _decode_deferred(self) -> None:
        data, self._deferred = self._deferred, b""
        if not self.transport.is_closing():
            # First, because decoding may pause it again.
            self.transport.resume_reading()
            self._decode(data)

    def _decode(self, data: bytes) -> None:
        self._data = data
        super().data_received(data)
        self._data = b""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.head_max_bytes:
                self._refuse(TOO_LARGE)

    def handle_websocket_upgrade(self) -> None:
        """The connection becomes a WebSocket; bytes after the handshake in the same read are passed on.

        RFC 6455 (section 4.1) requires clients to wait for the answer; the first command of a client that does not
        wait must not be lost.
        """
        upgrade = sys.exception()
        assert isinstance(upgrade, HttpParserUpgrade)
        if self.scope["http_version"] != "1.1" or all(name != b"host" for name, _ in self.headers):
            # Section 4.2.1; the websockets library checks neither.
            self.send_400_response("A WebSocket needs HTTP/1.1 and a Host.")
            return
        if {value.strip() for name, value in self.headers if name == b"sec-websocket-version"} != {VERSION}:
            self._refuse(WRONG_VERSION)
            return
        self._stop_limit()
        self._in_head = False
        super().handle_websocket_upgrade()
        early = self._data[upgrade.args[0] :]
        successor = self.transport.get_protocol()
        if early and isinstance(successor, HandshakeProtocol):
            successor.data_received(early)

    # The parser calls the following methods.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.cycle is not None:
            # Another request on the same connection.
            self._set_limit(self.head_s)
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.head_max_bytes or len(self.headers) > HEADERS_MAX:
            self._refuse(TOO_LARGE)
        if self.transport.is_closing() or len(self.pipeline) >= PIPELINE_MAX:
            # Stops the parser; uvicorn then answers 400 unless the connection is closing.
            raise ValueError("refused")
        super().on_headers_complete()
        self._in_head = False
        self._set_limit(self.exchange_s)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # uvicorn closes an idle connection gracefully, which would wait for a client that never reads the answer.
        if not self.pipeline:
            self._set_limit(self.exchange_s)

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _set_limit(self, seconds: float) -> None:
        self._stop_limit()
        self._limit = self.loop.call_later(seconds, self._limit_reached)

    def _stop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _limit_reached(self) -> None:
        cycle: Any = self.cycle  # None before the first request
        answered = cycle is None or cycle.response_complete
        if self._in_head and answered and not self.transport.is_closing():
            self._refuse(TOO_SLOW if self._head_bytes else b"")
            self._set_limit(self.exchange_s)
        else:
            reset(self.transport)

    def _refuse(self, answer: bytes) -> None:
        """Write `answer` and close. It is empty if the client has sent nothing: browsers connect in advance."""
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def http_protocol(
    *, head_max_bytes: int, head_s: float, exchange_s: float, turns: Turns | None = None
) -> type[HttpProtocol]:
    """The protocol class for uvicorn (`Config(http=…)`).

    `head_s`: seconds until a request's head must have arrived; `exchange_s`: seconds from then until the client must
    have read the answer. `turns`: when requests are decoded; at once without it.
    """
    settings = {"head_max_bytes": head_max_bytes, "head_s": head_s, "exchange_s": exchange_s, "turns": turns}
    return type("ConfiguredHttpProtocol", (HttpProtocol,), settings)


class HandshakeProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol for the duration of the handshake.

    Settings are class attributes of a subclass made by `handshake_protocol`: uvicorn takes a class, not an object.
    """

    max_message_bytes = 8192
    send_buffer_bytes = 0
    unsent_bytes = 0
    _early = b""

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated:
            # Frames are for the `ClientSocket`, not for this protocol's parser.
            self._early += data
            self._pause_reading()
        else:
            super().data_received(data)
            if not self.handshake_initiated:
                # HTTP that the library does not accept as a handshake: another method, a body, a line too long.
                self.transport.write(BAD_REQUEST)
                self.transport.close()

    def _pause_reading(self) -> None:
        """Read no further bytes until the handshake is answered."""
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
        """Give the transport to a `ClientSocket`; to be called after `websocket.accept`. This object is unused then.

        `deflate`: the answer to the handshake has accepted permessage-deflate.
        """
        transport, loop = self.transport, self.loop
        if transport.is_closing():
            # Its end has been or will be reported to this object: a socket made now would never learn of it.
            raise ClientDisconnected
        self.stop_keepalive()
        self._shrink_buffers(transport)
        registry = cast("set[Any]", self.connections)
        client = ClientSocket(transport, registry, self.max_message_bytes, loop.time(), deflate=deflate)
        self.connections.discard(self)
        transport.set_protocol(client)
        # uvicorn closes the transport when the application returns: it must not close the client's.
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
    """Replaces the transport that has been handed over."""

    def close(self) -> None: ...

    def is_closing(self) -> bool:
        return True


def handshake_protocol(**settings: int) -> type[WebSocketsSansIOProtocol]:
    """The protocol class for uvicorn (`Config(ws=…)`): `max_message_bytes`, `send_buffer_bytes`, `unsent_bytes`."""
    return type("ConfiguredHandshakeProtocol", (HandshakeProtocol,), settings)
