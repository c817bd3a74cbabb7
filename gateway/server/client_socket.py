"""The client's socket after its handshake: bytes in and out, and how the connection ends. Never awaits, never decides
when to write.

uvicorn's protocol object, the ASGI scope and the application's task all end with the handshake (`handshake.py`), so
an idle client costs its transport, a `ClientSocket` and a session.
"""

from __future__ import annotations

import asyncio
import os
import socket
from itertools import count
from typing import TYPE_CHECKING, Any

from gateway.delivery.close_codes import ABNORMAL, NO_STATUS, Close
from gateway.protocol.frame import (
    BINARY,
    CLOSE,
    KEEPALIVE,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameParser,
    close_frame,
    frame,
    parse_close,
)
from gateway.server.control_limit import ControlLimit
from gateway.server.kernel_buffers import reset, unsent_bytes
from gateway.server.ping_meter import PingMeter
from gateway.server.tls import TlsTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.sink import Receiver
    from gateway.protocol.frame import LargeMessages

LATE_BYTES = 64 * 1024
"""What a proxy is taken to hold for a client that does not answer pings in time: nobody knows how much it is."""

# Bytes of pongs that may wait for a client that reads nothing; above that, its pings are not answered.
CONTROL_MAX_BYTES = 16 * 1024

CLOSE_GRACE_S = 2.0  # A client gets this long to read the last bytes before the connection is ended.

_IDS = count(1)


class ClientSocket(asyncio.Protocol):
    """One client's transport after the handshake. After `closing` is set, nothing is written but a close frame."""

    __slots__ = (
        "_control_limit",
        "_parser",
        "_paused",
        "_receiver",
        "_registry",
        *("buffered", "client_close_code", "closing"),
        *("descriptor", "ending", "order", "plain", "tls"),
        "gateway_close_code",
        *("id", "last_message_s", "meter", "offence"),
        *("received_bytes", "takes_binary"),
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
        takes_binary: bool = False,
        proxied: bool = False,
        large: LargeMessages | None = None,
    ) -> None:
        """`takes_binary`: binary messages are commands too. `proxied`: a proxy is in front of the client. `large`: see
        `FrameParser`."""
        self.transport = transport
        self.takes_binary = takes_binary
        self.closing = False
        self.last_message_s = now_s
        """When the client last sent anything, in seconds on the loop's clock."""
        self.received_bytes = 0
        """Bytes since the handshake."""
        self.offence: Close | None = None
        """How the client violated the protocol, if it did; set before the receiver's `lost`."""
        self.id = next(_IDS)  # Its number in the log, unique within this process.
        self.gateway_close_code = 0
        """The close code with which the gateway closed the connection; 0 if it did not."""
        self.client_close_code = 0
        """The close code with which the client closed the connection, 1006 without one; 0 if it did not."""
        self._registry = registry
        self._parser = FrameParser(max_message_bytes, deflate=deflate, large=large)
        self._paused = False
        self._control_limit = ControlLimit()
        self._receiver: Receiver | None = None
        # For `socket_batch.py`: bytes that have not left user space yet, and whether the transport is ending.
        self.tls = transport if isinstance(transport, TlsTransport) else None
        self.plain = transport if self.tls is None else self.tls.plain  # Of the bytes as the kernel gets them.
        self.buffered: Callable[[], int] = self.plain.get_write_buffer_size
        self.ending: Callable[[], bool] = self.plain.is_closing
        self.descriptor: int = transport.get_extra_info("socket").fileno()
        self.order = self.descriptor  # They are assigned in about the order of the kernel's memory.
        # Call `resume_writing` when nothing waits. Not 0 and 0: TLS pauses at "0 or more", for good.
        transport.set_write_buffer_limits(high=1, low=0)
        self.meter = PingMeter(now_s) if proxied else None
        registry.add(self)
        if self.meter is not None:
            # Before all else: a ping that nothing is in front of tells how far away the client is.
            transport.write(self.meter.due_ping(now_s))

    def attach(self, receiver: Receiver) -> None:
        """Set the owner, which from now on learns what the client does."""
        self._receiver = receiver

    @property
    def peer(self) -> str:
        """The client's address."""
        name = self.transport.get_extra_info("peername")
        return str(name[0]) if name else "unix"

    def busy(self) -> bool:
        """Whether earlier bytes have not left user space yet, or have filled what a proxy may hold."""
        return self.buffered() > 0 or (self.meter is not None and not self._paused and self.meter.is_full())

    def unsent_bytes(self) -> int:
        """Bytes that the kernel holds because the client's window is full: they hide a slow client. Of a client behind
        a proxy that has not answered a ping in time, at least `LATE_BYTES`."""
        if self.closing or self.ending():
            return 0
        # Pongs are not read while commands are not.
        is_late = self.meter is not None and not self._paused and self.meter.waits(_now_s())
        return max(LATE_BYTES if is_late else 0, unsent_bytes(self.descriptor))

    def lags(self, now_s: float) -> bool:
        """Ping a client behind a proxy if it is time; returns whether it has not answered the last ping in time."""
        if self.meter is None or self._paused or self.closing or self.ending():
            return False
        if not self.buffered() and (ping := self.meter.due_ping(now_s)):
            self.transport.write(ping)
        return self.meter.takes_late(now_s)

    def offer(self, frames: bytes) -> bool:
        """Write unless the socket is busy or the connection is ending; returns whether it wrote.

        Bytes that the kernel does not take stay in the transport, and the next offer is refused. So at most one flush
        is buffered for a client that does not read, and the client is seen to be slow.
        """
        if self.busy() or self.closing or self.ending():
            # `ending`: the transport may have closed its descriptor, and the number may be another client's now.
            return False
        if self.meter is not None:
            self.meter.wrote(len(frames))
            frames += self.meter.due_ping(_now_s())
        return self.send(frames if self.tls is None else self.tls.encrypt(frames))

    def ping(self) -> None:
        """Ask the client for a pong."""
        self.offer(KEEPALIVE)

    def send(self, frames: bytes) -> bool:
        """Write bytes as they are, encrypted behind TLS; returns whether the connection lives."""
        try:
            sent = os.write(self.descriptor, frames)
        except BlockingIOError:
            sent = 0
        except OSError:
            # A transport that is paused would never read, and so never learn of it.
            self._gone()
            self.transport.abort()
            return False
        if sent < len(frames):
            self.keep(frames, sent)
        return True

    def keep(self, frames: bytes, sent: int) -> None:
        """Give the bytes from `sent` on, which the kernel has not taken, to the transport."""
        self.plain.write(memoryview(frames)[sent:])

    def close(self, reason: Close, text: str = "") -> None:
        """Write a close frame; the connection ends when the client has answered it, or after `CLOSE_GRACE_S`."""
        if not self.closing:
            self.closing = True
            self.gateway_close_code = reason.code
            self.transport.write(close_frame(reason.code, text or reason.reason))
            self._end_soon()
            self._receiver_lost()
            # The answer is read even where commands were not.
            self.resume()

    def abort(self) -> None:
        """End the connection now, without a close frame: that would wait behind bytes that the client does not read.

        A client behind a proxy that has taken all so far may still be reading: it is left to the keepalive.
        """
        if self.meter is not None and self.meter.is_unanswered() and not self.buffered() and not self.closing:
            return
        if not self.closing:
            self.closing = True
            self.gateway_close_code = Close.SLOW.code
        self.transport.abort()

    def abort_if_broken(self) -> None:
        """End a connection that the client has reset: nothing else shows it while the socket is neither read nor
        written."""
        sock = self.transport.get_extra_info("socket")
        if not self.ending() and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._gone()
            self.transport.abort()

    def pause(self) -> None:
        """Stop reading commands: bytes that have arrived wait undecoded, the rest in the kernel and at the client."""
        self._paused = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read commands again."""
        self._paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()
            if self._parser.has_more:
                asyncio.get_running_loop().call_soon(self._read)

    # asyncio and uvicorn call the following methods.

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self.last_message_s = asyncio.get_running_loop().time()
        self.received_bytes += len(data)
        self._parser.feed(data)
        self._read()

    def resume_writing(self) -> None:
        """The kernel has taken all bytes that waited."""
        if self._receiver is not None and not self.closing:
            self._receiver.drained()

    def eof_received(self) -> None:
        """The client sends no more. The transport closes when the client has read everything."""
        self._gone()
        self._end_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport has ended."""
        self._gone()
        self._parser.discard()
        self._registry.discard(self)
        self._receiver_lost()

    def warn(self, retry_ms: int) -> None:
        """Announce that the server will shut down; the client should wait `retry_ms` before it reconnects."""
        if self._receiver is not None and not self.closing:
            self._receiver.warned(retry_ms)

    def shutdown(self) -> None:
        """The server shuts down; uvicorn calls this too."""
        if self._receiver is not None:
            self._receiver.draining()
        self.close(Close.RESTART)

    def _read(self) -> None:
        """Handle the messages that have arrived, until one of them pauses reading."""
        try:
            while not self._paused and (message := self._parser.next_message()):
                self._take(message.opcode, message.payload)
                if self.ending():
                    # Data after the client's close frame is ignored (RFC 6455, section 5.5.1).
                    return
        except FrameError as error:
            if self.closing:
                # What follows a broken frame cannot be read: the client's answer to our close frame neither.
                self.transport.close()
                return
            self.offence = error.close
            self.close(self.offence, error.reason)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT or (opcode == BINARY and self.takes_binary):
            if self._receiver is not None and not self.closing:
                self._receiver.received(payload)
        elif opcode == PING:
            self._control_limit.take(self.last_message_s)
            if self.buffered() < CONTROL_MAX_BYTES and not self.closing:
                self.transport.write(frame(PONG, payload))
        elif opcode == PONG:
            was_full = self.busy()
            if self.meter is None or not self.meter.answered(payload, self.last_message_s):
                self._control_limit.take(self.last_message_s)
            if was_full and not self.busy():
                self.resume_writing()
        elif opcode == CLOSE:
            code = parse_close(payload)
            if not self.closing:
                self.closing = True
                self.client_close_code = code
                self.transport.write(close_frame(code) if code != NO_STATUS else frame(CLOSE, b""))
                self._end_soon()
            self._receiver_lost()
            # Both close frames are sent: the server ends the TCP connection at once (RFC 6455, section 7.1.1).
            self.transport.close()
        else:
            raise FrameError(Close.UNSUPPORTED, Close.UNSUPPORTED.reason)

    def _gone(self) -> None:
        if not self.closing:
            self.closing = True
            self.client_close_code = ABNORMAL

    def _receiver_lost(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost()

    def _end_soon(self) -> None:
        asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self._end)

    def _end(self) -> None:
        # `close` waits until the client has read the rest, without a limit.
        reset(self.transport) if self.buffered() else self.transport.close()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
