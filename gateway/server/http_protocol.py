"""HTTP requests, with limits that uvicorn leaves to a proxy.

How long a request may take, how large its head may be, how many may wait on one connection.

This file and `handshake.py` are the only ones that use uvicorn's internals (a contract test guards them). Must not know
routes.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from httptools import HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.server.event_socket import EventSocket, hand_over
from gateway.server.handshake import HANDOVER, LARGE_MAX, REFUSAL, HandshakeProtocol
from gateway.server.kernel_buffers import reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.http.at_once import AtOnce

# SO_RCVBUF, which Linux doubles: requests and commands are small, and unread bytes must wait at the client.
RECEIVE_BUFFER_BYTES = 16 * 1024

HEADERS_MAX = 100

STREAM_PATHS = (b"/ws", b"/stream", b"/replay/")
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


class _Done:
    """In place of uvicorn's exchange of a request and its answer: one that has ended."""

    response_complete = True
    message_event = asyncio.Event()


_DONE: Any = _Done()


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a limit on everything that a client can delay.

    Settings are class attributes of a subclass made by `http_protocol`: uvicorn takes a class, not an object.
    """

    head_max_bytes = 8192
    stream_head_max_bytes = 8192
    head_s = 10.0
    exchange_s = 60.0
    send_buffer_bytes = unsent_bytes = 0
    turns: Turns | None = None
    at_once: AtOnce | None = None
    large_heads: ClassVar[set[HttpProtocol]] = set()
    """Connections with an unfinished head of more than `head_max_bytes`."""

    _data = b""
    _deferred = b""
    _answered = 0
    """Requests of one read that were answered at once."""
    _head_bytes = 0
    _in_head = True
    _limit: asyncio.TimerHandle | None = None
    _limit_s = 0.0
    """When the limit is reached, and when its timer ends: earlier or at the same time. On the loop's clock."""
    _timer_s = 0.0
    _unread: tuple[str, int] | None = None
    """Group and bytes of an answer that the client is slow to read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._set_limit(self.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_limit()
        self.large_heads.discard(self)
        super().connection_lost(exc)
        self._has_read()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._has_read()

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
        self._data, self._answered = data, 0
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
        size = self._head_bytes + len(self._data)
        if size > self.head_max_bytes:
            # With what follows the head in the same read.
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._is_too_large(size) or len(self.headers) > HEADERS_MAX:
            self._refuse(TOO_LARGE)
        self.large_heads.discard(self)
        if self.transport.is_closing() or len(self.pipeline) >= PIPELINE_MAX:
            # Stops the parser; uvicorn then answers 400 unless the connection is closing.
            raise ValueError("refused")
        if self.at_once is None or not self._answer_at_once(self.at_once):
            super().on_headers_complete()
            # The application's task has been made but has not run yet.
            cast("dict[str, Any]", self.scope)["extensions"] = {HANDOVER: self._hand_over}
        self._in_head = False
        self._set_limit(self.exchange_s)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # uvicorn closes an idle connection gracefully, which would wait for a client that never reads the answer.
        if not self.pipeline:
            self._set_limit(self.exchange_s)

    def _hand_over(self, headers: Iterable[tuple[bytes, bytes]]) -> EventSocket | None:
        self._stop_limit()
        return hand_over(self, headers, self.send_buffer_bytes, self.unsent_bytes)

    def _answer_at_once(self, at_once: AtOnce) -> bool:
        """Whether the request has been answered. Nothing else may be under way on the connection."""
        cycle: Any = self.cycle  # None before the first request
        path, _, query = self.url.partition(b"?")
        if (
            not at_once.serves(path)
            or self.parser.get_method() != b"GET"
            or self.parser.get_http_version() != "1.1"
            or not self.parser.should_keep_alive()
            or self.parser.should_upgrade()
            or b"#" in query
            or self._is_paused()
            or not (cycle is None or cycle.response_complete)
            # What else this connection has sent in the same read waits for a turn if others do.
            or (self._answered and not (self.turns is None or self.turns.is_free()))
        ):
            return False
        answer = at_once.answer(path, query, self.headers, self.client)
        if answer is None:
            return False
        status_line, lines, body, group = answer
        common = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        self.transport.writelines((b"".join((status_line, *common, lines, b"\r\n")), body))
        if self._is_paused():
            self._unread = group, len(body)
            at_once.unread.add(*self._unread)
        self._answered += 1
        self.cycle = _DONE
        self.on_response_complete()
        return True

    def _is_paused(self) -> bool:
        """Whether much of an earlier answer waits for the client."""
        return self.flow.write_paused

    def _has_read(self) -> None:
        """The client has read its answer, or is gone."""
        unread, self._unread = self._unread, None
        if unread is not None and self.at_once is not None:
            self.at_once.unread.remove(*unread)

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
        """The limit is reached in so many seconds. It is moved with each request, its timer only where that is earlier:
        to make one and to cancel it takes longer than the rest of this."""
        self._limit_s = self.loop.time() + seconds
        if self._limit is None or self._limit_s < self._timer_s:
            self._stop_limit()
            self._start_timer(seconds)

    def _start_timer(self, seconds: float) -> None:
        self._timer_s = self._limit_s
        self._limit = self.loop.call_later(seconds, self._timer_ended)

    def _stop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _timer_ended(self) -> None:
        self._limit = None
        left_s = self._limit_s - self.loop.time()
        if left_s > 0:
            self._start_timer(left_s)
        else:
            self._limit_reached()

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
    send_buffer_bytes: int = 0,
    unsent_bytes: int = 0,
    turns: Turns | None = None,
    at_once: AtOnce | None = None,
) -> type[HttpProtocol]:
    """The protocol class for uvicorn (`Config(http=…)`).

    `stream_head_max_bytes`: largest head of a request to `STREAM_PATHS`, if more than `head_max_bytes`. `head_s`:
    seconds until a request's head must have arrived; `exchange_s`: seconds from then until the client must have read
    the answer. `send_buffer_bytes`, `unsent_bytes`: see `kernel_buffers.shrink`, for streams of events. `turns`: when
    requests are decoded; immediately without it. `at_once`: answers some of them without the application.
    """
    settings = {
        "head_max_bytes": head_max_bytes,
        "stream_head_max_bytes": max(head_max_bytes, stream_head_max_bytes),
        "head_s": head_s,
        "exchange_s": exchange_s,
        "send_buffer_bytes": send_buffer_bytes,
        "unsent_bytes": unsent_bytes,
        "large_heads": set(),
        "turns": turns,
        "at_once": at_once,
    }
    return type("ConfiguredHttpProtocol", (HttpProtocol,), settings)
