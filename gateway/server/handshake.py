"""WebSocket handshakes, until the transport is handed over to a `ClientSocket`.

This file and `http_protocol.py` are the only ones that use uvicorn's internals (a contract test guards them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets import http11

from gateway.protocol.frame import LargeMessages
from gateway.server.client_socket import ClientSocket
from gateway.server.kernel_buffers import shrink

if TYPE_CHECKING:
    import asyncio

HANDOVER = "kline_gateway.handover"
"""Name of the ASGI extension in a WebSocket's scope: a function that returns the socket, to be called once accepted."""

FORWARDED = {b"x-forwarded-for", b"forwarded"}
"""Headers that a proxy adds. A client that adds one itself is pinged more often, and that is all."""

LARGE_MAX = 256
"""Heads and messages of more than the usual size that may be unfinished at a time: 16 MB of each."""

# The library's limit of a line is checked after ours of the whole head, which is the smaller one but for these paths.
http11.MAX_LINE_LENGTH = 1 << 17

REFUSAL = b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
BAD_REQUEST = REFUSAL % b"400 Bad Request"


class HandshakeProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol for the duration of the handshake.

    Settings are class attributes of a subclass made by `handshake_protocol`: uvicorn takes a class, not an object.
    """

    max_message_bytes = 8192
    send_buffer_bytes = 0
    large_messages = LargeMessages(LARGE_MAX)
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

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            # A refusal completes a handshake too; uvicorn would log that it was never answered.
            self.handshake_complete = True

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            # The application's task has been made but has not run yet.
            extensions = cast("dict[str, Any]", self.scope["extensions"])
            extensions[HANDOVER] = self._hand_over

    def _hand_over(
        self, *, deflate: bool = False, max_message_bytes: int = 0, takes_binary: bool = False
    ) -> ClientSocket:
        """Give the transport to a `ClientSocket`; to be called after `websocket.accept`. This object is unused then.

        `deflate`: the answer to the handshake has accepted permessage-deflate. `max_message_bytes`: largest message
        accepted, where that is more than usual. `takes_binary`: binary messages are commands too.
        """
        transport, loop = self.transport, self.loop
        if transport.is_closing():
            # Its end has been or will be reported to this object: a socket made now would never learn of it.
            raise ClientDisconnected
        self.stop_keepalive()
        shrink(transport, self.send_buffer_bytes, self.unsent_bytes)
        registry = cast("set[Any]", self.connections)
        client = ClientSocket(
            transport,
            registry,
            max(self.max_message_bytes, max_message_bytes),
            loop.time(),
            deflate=deflate,
            takes_binary=takes_binary,
            proxied=any(name in FORWARDED for name, _ in self.scope["headers"]),
            large=self.large_messages,
        )
        self.connections.discard(self)
        transport.set_protocol(client)
        # uvicorn closes the transport when the application returns: it must not close the client's.
        self.transport = cast("asyncio.Transport", HandedOver())
        if self._early:
            loop.call_soon(client.data_received, self._early)
        if self.read_paused:
            transport.resume_reading()
        return client


class HandedOver:
    """Replaces the transport that has been handed over."""

    def close(self) -> None: ...

    def is_closing(self) -> bool:
        return True


def handshake_protocol(**settings: int) -> type[WebSocketsSansIOProtocol]:
    """The protocol class for uvicorn (`Config(ws=…)`): `max_message_bytes`, `send_buffer_bytes`, `unsent_bytes`."""
    return type("ConfiguredHandshakeProtocol", (HandshakeProtocol,), settings)
