"""TLS between a plain transport and the protocol above it. Never awaits.

The event loop's own TLS copies each write twice and gives it to the kernel by itself, one client at a time. Here
encryption is a function: what it returns can be written to the descriptor in a batch, like plain text
(`socket_batch.py`).
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HANDSHAKE_S = 10.0
"""A connection whose TLS handshake takes longer is ended."""

_READ_BYTES = 1 << 18


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """The transport of the protocol above, and the protocol of the plain transport below.

    Bytes leave in the order in which they were encrypted: whoever calls `encrypt` writes the result at once, or has
    `plain` write it.
    """

    def __init__(self, context: ssl.SSLContext, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._context = context
        self._protocol: Any = protocol
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self.plain: asyncio.Transport
        """What carries the encrypted bytes."""
        self.encrypt_into: Callable[[bytes], int] = self._tls.write
        """Encrypts bytes, which are not empty; `encrypted` returns them."""
        self.encrypted: Callable[[], bytes] = self._outgoing.read

    # The protocol above calls the following methods.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":
            return self._context
        if name == "ssl_object":
            return self._tls
        return self.plain.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._closing:
            self._tls.write(data)
            self._send()

    def encrypt(self, data: bytes) -> bytes:
        """What the client gets for these bytes, which are not empty."""
        self.encrypt_into(data)
        return self.encrypted()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self.plain.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.plain.set_write_buffer_limits(high, low)

    def is_reading(self) -> bool:
        return self.plain.is_reading()

    def pause_reading(self) -> None:
        self.plain.pause_reading()

    def resume_reading(self) -> None:
        self.plain.resume_reading()

    def is_closing(self) -> bool:
        return self._closing or self.plain.is_closing()

    def close(self) -> None:
        """Send the end of TLS; the plain transport closes when all is sent."""
        if not self._closing:
            self._closing = True
            with suppress(ssl.SSLError):
                # The client's own end of TLS is not waited for.
                self._tls.unwrap()
            self._send()
            self.plain.close()

    def abort(self) -> None:
        self._closing = True
        self.plain.abort()

    # The plain transport calls the following methods.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.plain = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, self.abort)

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            if not self._established:
                self._tls.do_handshake()
                self._establish()
            self._receive()
        except ssl.SSLWantReadError:
            self._send()
        except ssl.SSLError:
            # What is wrong is in the alert.
            self._send()
            self._closing = True
            self.plain.close()

    def eof_received(self) -> bool | None:
        if not self._established or self._closing:
            return None
        keeps: bool | None = self._protocol.eof_received()
        return keeps

    def pause_writing(self) -> None:
        if self._established:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._established:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self._established:
            self._protocol.connection_lost(exc)
        # No cycle: it would stay until the garbage collector runs.
        self._protocol = None

    def _establish(self) -> None:
        self._established = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send()
        self._protocol.connection_made(self)

    def _receive(self) -> None:
        """Give the protocol all that has arrived. Raises `SSLError`."""
        parts: list[bytes] = []
        ended = False
        try:
            while part := self._tls.read(_READ_BYTES):
                parts.append(part)
            ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        # Answers to key updates.
        self._send()
        if parts and not self._closing:
            self._protocol.data_received(b"".join(parts))
        if ended and not self._closing:
            self._protocol.eof_received()
            self.close()

    def _send(self) -> None:
        if self._outgoing.pending:
            self.plain.write(self._outgoing.read())


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """What a server offers: TLS 1.2 and 1.3, with a certificate of these files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key or None)
    return context


def encrypted(context: ssl.SSLContext, protocol: Callable[..., asyncio.Protocol]) -> Any:
    """A factory of protocols for a server: `protocol`, which is made with the same arguments, behind TLS."""
    return lambda **arguments: TlsTransport(context, protocol(**arguments))
