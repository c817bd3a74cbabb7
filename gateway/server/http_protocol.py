"""HTTP requests, with limits that uvicorn leaves to a proxy.

How long a request may take, how large its head may be, how many may wait on one connection.

This file and `handshake.py` are the only ones that use uvicorn's internals (a contract test guards them). Must not know
routes.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from httptools import HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.server.client_socket import reset
from gateway.server.handshake import LARGE_MAX, REFUSAL, HandshakeProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# SO_RCVBUF, which Linux doubles: requests and commands are small, and unread bytes must wait at the client.
RECEIVE_BUFFER_BYTES = 16 * 1024

HEADERS_MAX = 100

STREAM_PATHS = (b"/ws", b"/stream")
"""Beginnings of the paths whose heads may be larger: the URLs of Binance's clients name hundreds of streams."""

TOO_SLOW = REFUSAL % b"408 Request Timeout"
TOO_LARGE = REFUSAL % b"431 Request Header Fields Too Large"

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
    stream_head_max_bytes = 8192
    head_s = 10.0
    exchange_s = 60.0
    turns: Turns | None = None
    large_heads: ClassVar[set[HttpProtocol]] = set()
    """Connections with an unfinished head of more than `head_max_bytes`."""

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
        self.large_heads.discard(self)
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
            if self._is_too_large(self._head_bytes):
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
        if self._is_too_large(size) or len(self.headers) > HEADERS_MAX:
            self._refuse(TOO_LARGE)
        self.large_heads.discard(self)
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

    def _is_too_large(self, size: int) -> bool:
        """Whether the head is larger than its path may have, or too many others are as large."""
        if size <= self.head_max_bytes:
            return False
        path = b"/" + self.url.lstrip(b"/")
        if size > self.stream_head_max_bytes or not path.startswith(STREAM_PATHS):
            return True
        if len(self.large_heads) >= LARGE_MAX and self not in self.large_heads:
            return True
        self.large_heads.add(self)
        return False

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
    *,
    head_max_bytes: int,
    head_s: float,
    exchange_s: float,
    stream_head_max_bytes: int = 0,
    turns: Turns | None = None,
) -> type[HttpProtocol]:
    """The protocol class for uvicorn (`Config(http=…)`).

    `stream_head_max_bytes`: largest head of a request to `STREAM_PATHS`, if more than `head_max_bytes`. `head_s`:
    seconds until a request's head must have arrived; `exchange_s`: seconds from then until the client must have read
    the answer. `turns`: when requests are decoded; at once without it.
    """
    settings = {
        "head_max_bytes": head_max_bytes,
        "stream_head_max_bytes": max(head_max_bytes, stream_head_max_bytes),
        "head_s": head_s,
        "exchange_s": exchange_s,
        "large_heads": set(),
        "turns": turns,
    }
    return type("ConfiguredHttpProtocol", (HttpProtocol,), settings)
