"""What the endpoints of all WebSocket dialects share: the handshake, and how a connection begins and ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gateway.delivery.close_codes import Close
from gateway.protocol.deflate import negotiate
from gateway.server.handshake import HANDOVER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.websockets import WebSocket

    from gateway.access.connection import ConnectionAccess
    from gateway.config import Config
    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session
    from gateway.delivery.sink import Receiver
    from gateway.http.admission import Admission
    from gateway.ops.counters import Counters
    from gateway.runtime.session_writer import SessionWriter
    from gateway.server.client_socket import ClientSocket


class Endpoint:
    """The parts of the gateway that every connection uses, whatever its dialect."""

    def __init__(
        self,
        config: Config,
        hub: Hub,
        writer: SessionWriter,
        counters: Counters,
        admission: Admission,
        clock_ms: Callable[[], int],
    ) -> None:
        self.config = config.stream
        self.dialects = config.dialects
        self.hub = hub
        self.writer = writer
        self.counters = counters
        self.admission = admission
        self.clock_ms = clock_ms

    def configure(self, config: Config) -> None:
        """Take the settings that may change while the process runs."""
        self.config = config.stream

    async def accept(
        self,
        websocket: WebSocket,
        access: ConnectionAccess,
        subprotocol: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
        **handover: Any,
    ) -> ClientSocket:
        """Answer the handshake of a client that was admitted, and take its socket over from the server.

        `handover`: arguments of `HandshakeProtocol._hand_over`, such as `deflate`.
        """
        try:
            await websocket.accept(subprotocol, headers)
            socket: ClientSocket = websocket.scope["extensions"][HANDOVER](**handover)
        except BaseException:
            # The client disconnected while it was admitted.
            self.admission.release(access)
            raise
        return socket

    def compression(self, websocket: WebSocket) -> list[tuple[bytes, bytes]]:
        """The header of the handshake's answer that accepts permessage-deflate; empty where the client does not offer
        it in a form that can be had, or the settings have it off."""
        offers = ",".join(websocket.headers.getlist("sec-websocket-extensions"))
        extension = negotiate(offers) if self.config.deflate else None
        return [] if extension is None else [(b"sec-websocket-extensions", extension.encode())]

    def open(self, receiver: Receiver, socket: ClientSocket, access: ConnectionAccess, session: Session) -> None:
        """Register a connection; `receiver` gets its commands from now on."""
        self.hub.add(session)
        self.counters.connection_opened(socket.id, session.style[0].name, access.group)
        socket.attach(receiver)
        self.admission.start(access, socket)

    def closed(self, socket: ClientSocket, access: ConnectionAccess, session: Session) -> None:
        """The connection has ended."""
        self.hub.remove(session)
        self.admission.finish(access, socket, session.style[0].name)

    def allows_fast(self, access: ConnectionAccess) -> bool:
        """Whether a connection may ask for every update at once (`stream.fast_for`)."""
        if self.config.fast_for == "token":
            return access.grant is not None and access.grant.fast
        return self.config.fast_for == "anyone"

    def fail(self, access: ConnectionAccess) -> None:
        """A command of the client has failed through a fault of the gateway: end the connection."""
        self.admission.disconnect(access, Close.INTERNAL)


def now_us() -> int:
    """Microseconds on the monotonic clock, which the limits of commands go by."""
    return time.monotonic_ns() // 1000
