"""The client's socket: uvicorn shakes hands, then hands the transport over; from there on it is ours.

The only file that touches the server's inside (a contract test guards it). uvicorn's protocol object, the ASGI scope
and the application's task all end with the handshake, so that what an idle client costs is its transport, a
`ClientSocket` and a session.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from fcntl import ioctl
from typing import TYPE_CHECKING, Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.session.close_codes import Close
from gateway.wire.frame import CLOSE, PING, PONG, TEXT, FrameError, FrameParser, close_frame, frame, parse_close

if TYPE_CHECKING:
    from collections.abc import Callable

HANDOVER = "kline_gateway.handover"
"""Name of the ASGI extension in a WebSocket's scope: a function that returns the socket, to be called once accepted."""

# Linux's numbers; Python names neither.
TCP_NOTSENT_LOWAT = 25
SIOCOUTQNSD = 0x894B

# What a client may be sent in replies to its pings while it reads nothing. Past it, its pings are not read either.
CONTROL_MAX_BYTES = 16 * 1024

# A client that says goodbye gets this long to read the answer.
CLOSE_GRACE_S = 2.0


class Receiver(Protocol):
    """Whom a socket tells what its client does."""

    def received(self, text: bytes) -> None:
        """The client sent a command."""

    def lost(self) -> None:
        """The connection is gone; nothing follows."""

    def warned(self, retry_ms: int) -> None:
        """The gateway will go down: tell the client, and to wait so long before it connects anew."""

    def draining(self) -> None:
        """The gateway goes down: say what is left to say, then `close`."""


class ClientSocket(asyncio.Protocol):
    """One client's transport after the handshake. Never awaits; whoever owns it decides when to write."""

    __slots__ = (
        "_parser",
        "_receiver",
        "_registry",
        "buffered",
        "closing",
        "descriptor",
        "direct",
        "ending",
        "heard_s",
        "transport",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        registry: set[Any],
        max_message_bytes: int,
        now_s: float,
        *,
        deflate: bool = False,
    ) -> None:
        self.transport = transport
        self.closing = False
        self.heard_s = now_s
        """When the client last sent anything, on the loop's clock."""
        self._registry = registry
        self._parser = FrameParser(max_message_bytes, deflate=deflate)
        self._receiver: Receiver | None = None
        # For those who write to many (`fleet.py`): bytes that have not left user space yet, and the end that nears.
        self.buffered: Callable[[], int] = transport.get_write_buffer_size
        self.ending: Callable[[], bool] = transport.is_closing
        self.descriptor: int = transport.get_extra_info("socket").fileno()
        # TLS turns bytes into records inside the transport; without it, a write can go to the kernel directly.
        self.direct = transport.get_extra_info("sslcontext") is None
        registry.add(self)

    def attach(self, receiver: Receiver) -> None:
        self._receiver = receiver

    @property
    def peer(self) -> str:
        """The client's address."""
        name = self.transport.get_extra_info("peername")
        return str(name[0]) if name else "unix"

    @property
    def order(self) -> int:
        """Descriptors are handed out in about the order of the kernel's memory."""
        return self.descriptor

    def busy(self) -> bool:
        """Whether earlier bytes have not left user space yet."""
        return self.buffered() > 0

    def unsent_bytes(self) -> int:
        """Bytes the kernel holds and has not sent, because the client's window is full: what hides a slow client."""
        if self.closing or self.ending() or sys.platform != "linux":
            return 0
        return int.from_bytes(ioctl(self.descriptor, SIOCOUTQNSD, bytes(4)), sys.byteorder)

    def offer(self, frames: bytes) -> bool:
        """Write, unless earlier bytes have not left user space yet or the connection ends; says whether it did.

        What the kernel does not take at once stays in the transport, and the next offer is refused: so a client that
        does not read holds one flush, and everybody sees that it is slow.
        """
        if self.buffered() or self.closing or self.ending():
            # The last: a transport that ends has closed its descriptor, and the number may be another client's now.
            return False
        if not self.direct:
            self.transport.write(frames)
            return True
        try:
            sent = os.write(self.descriptor, frames)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The transport meets the same error when it reads, and ends the connection in order.
            self.closing = True
            return False
        if sent < len(frames):
            self.keep(frames, sent)
        return True

    def keep(self, frames: bytes, sent: int) -> None:
        """Leave the bytes from `sent` on, which the kernel has not taken, to the transport."""
        self.transport.write(memoryview(frames)[sent:])

    def close(self, reason: Close, text: str = "") -> None:
        """Say goodbye, after which nothing may be written, and end the connection once it is read or after a while."""
        if not self.closing:
            self.closing = True
            self.transport.write(close_frame(reason.code, text or reason.reason))
            self._end_soon()
            self._receiver_lost()

    def abort(self) -> None:
        """End the connection now: before a client that reads nothing, a goodbye would wait behind the rest."""
        self.closing = True
        self.transport.abort()

    def pause(self) -> None:
        """Take no more commands for now: the client's bytes wait in the kernel, and then at the client."""
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    # What asyncio and uvicorn call.

    def data_received(self, data: bytes) -> None:
        if self.closing and self._receiver is None:
            return
        self.heard_s = asyncio.get_running_loop().time()
        try:
            for message in self._parser.feed(data):
                self._take(message.opcode, message.payload)
        except FrameError as error:
            self._receiver_lost()
            self.close(_CLOSE_BY_CODE[error.code], error.reason)

    def eof_received(self) -> None:
        self.closing = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._registry.discard(self)
        self._receiver_lost()

    def warn(self, retry_ms: int) -> None:
        """The server will go down."""
        if self._receiver is not None and not self.closing:
            self._receiver.warned(retry_ms)

    def shutdown(self) -> None:
        """uvicorn's way to say that the server goes down."""
        if self._receiver is not None:
            self._receiver.draining()
        self.close(Close.RESTART)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            if self._receiver is not None and not self.closing:
                self._receiver.received(payload)
        elif opcode == PING:
            if self.buffered() < CONTROL_MAX_BYTES and not self.closing:
                self.transport.write(frame(PONG, payload))
        elif opcode == CLOSE:
            code = parse_close(payload)
            self._receiver_lost()
            if not self.closing:
                self.closing = True
                self.transport.write(close_frame(code) if code != 1005 else frame(CLOSE, b""))
            self.transport.close()
        elif opcode != PONG:
            raise FrameError(Close.UNSUPPORTED.code, Close.UNSUPPORTED.reason)

    def _receiver_lost(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost()

    def _end_soon(self) -> None:
        asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self._end)

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort() if self.buffered() else self.transport.close()


_CLOSE_BY_CODE = {reason.code: reason for reason in Close}


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which drops what comes in one read with a handshake. RFC 6455 (section 4.1) asks clients
    to wait for the answer, but a first command must not be lost on one that does not."""

    _tail = b""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        successor = self.transport.get_protocol()
        if isinstance(successor, HandshakeProtocol):
            early = (self._tail + data).partition(b"\r\n\r\n")[2]
            if early:
                successor.data_received(early)
        else:
            # The blank line that ends the handshake may come in two reads.
            self._tail = (self._tail + data)[-3:]


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
        else:
            super().data_received(data)

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
