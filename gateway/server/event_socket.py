"""A client's socket that gets Server-Sent Events: written to like a WebSocket, and never read.

Takes the transport over from uvicorn once a request has been admitted. Must not know routes or what is sent.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from gateway.protocol.events import COMMENT, close_event
from gateway.server.client_socket import ClientSocket
from gateway.server.handshake import HandedOver
from gateway.server.kernel_buffers import shrink, unacknowledged_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from gateway.delivery.close_codes import Close


class EventSocket(ClientSocket):
    """What it says to the client are events; what the client says is ignored."""

    __slots__ = ()

    def __init__(self, transport: asyncio.Transport, registry: set[Any], now_s: float) -> None:
        super().__init__(transport, registry, 0, now_s)

    def ping(self) -> None:
        """Nobody answers a comment. That earlier bytes have arrived shows that the client is there."""
        if not self.busy() and not unacknowledged_bytes(self.descriptor):
            self.last_message_s = asyncio.get_running_loop().time()
        self.offer(COMMENT)

    def close(self, reason: Close, text: str = "") -> None:
        """Write an event that says why, and end the connection."""
        if not self.closing:
            self.closing = True
            self.gateway_close_code = reason.code
            self.transport.write(close_event(reason.code, text or reason.reason))
            self._end_soon()
            self._receiver_lost()
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Another request cannot be answered any more."""
        self.received_bytes += len(data)

    def resume(self) -> None:
        """There are no commands to read."""


def hand_over(
    protocol: HttpToolsProtocol,
    headers: Iterable[tuple[bytes, bytes]],
    send_buffer_bytes: int = 0,
    unsent_bytes: int = 0,
) -> EventSocket | None:
    """Answer the request that is under way with an endless body, and take its transport over.

    `protocol` is unused then. `None`: the client has gone.
    """
    transport, loop, cycle = protocol.transport, protocol.loop, protocol.cycle
    if transport.is_closing():
        return None
    lines = b"".join(b"%b: %b\r\n" % header for header in (*protocol.server_state.default_headers, *headers))
    # Without a length the end of the connection ends the body, and no byte has to stand between two events.
    transport.write(b"HTTP/1.1 200 OK\r\n%bcontent-type: text/event-stream\r\nconnection: close\r\n\r\n" % lines)
    shrink(transport, send_buffer_bytes, unsent_bytes)
    registry = cast("set[Any]", protocol.connections)
    client = EventSocket(transport, registry, loop.time())
    protocol.connections.discard(protocol)
    protocol.flow.resume_reading()
    transport.set_protocol(client)
    # For uvicorn the client has gone: the application's task ends without an answer.
    cycle.disconnected = True
    protocol.transport = cycle.transport = cast("asyncio.Transport", HandedOver())
    return client
