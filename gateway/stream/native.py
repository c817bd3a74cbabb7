"""The WebSocket edge of the native protocol: handshakes, and what all its clients share.

Sends no market data but the snapshot of a subscription, which must be made in the step that registers it; the pump
writes everything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.routing import WebSocketRoute

from gateway.protocol import compact, native
from gateway.protocol.deflate import negotiate
from gateway.server.handshake import HANDOVER
from gateway.stream.native_client import Client
from gateway.stream.resync import resync
from gateway.stream.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.websockets import WebSocket

    from gateway.config import Config
    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session
    from gateway.history.service import History
    from gateway.http.admission import Admission
    from gateway.market.market import Market
    from gateway.ops.counters import Counters
    from gateway.protocol.native_commands import NativeCommands
    from gateway.runtime.flush import Flusher
    from gateway.server.client_socket import ClientSocket

PATHS = ("/v1/stream", "/realtime/v1/kline-updates")

DIALECTS: dict[tuple[str, bool], native.NativeDialect] = {
    (native.SUBPROTOCOL, False): native.NativeDialect(),
    (native.SUBPROTOCOL, True): native.NativeDialect(deflate=True),
    (compact.SUBPROTOCOL, False): compact.CompactDialect(),
    (compact.SUBPROTOCOL, True): compact.CompactDialect(deflate=True),
}
"""By subprotocol, without and with compression. Dialects keep no state: one of each serves everybody."""


class StreamService:
    """What all clients of the native protocol share."""

    def __init__(
        self,
        config: Config,
        market: Market,
        hub: Hub[Session],
        history: History,
        counters: Counters,
        commands: NativeCommands,
        admission: Admission,
        clock_ms: Callable[[], int],
    ) -> None:
        self.config = config.stream
        self.admission = admission
        self.market = market
        self.hub = hub
        self.counters = counters
        self.commands = commands
        self.snapshots = Snapshots(hub, history, config.stream.history_max)
        self.clock_ms = clock_ms
        self.clients: dict[Session, Client] = {}
        self.flusher: Flusher
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute(path, self._connect) for path in PATHS]

    def start(self, work: asyncio.Task[None]) -> None:
        """Keep a task that answers one client alive until it is done."""
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)

    def resync(self, session: Session) -> None:
        """Send the channels of a session that were torn, anew and with history."""
        if client := self.clients.get(session):
            self.start(asyncio.create_task(resync(client)))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, websocket: WebSocket) -> None:
        access = await self.admission.admit(websocket, token_may_follow=True)
        if access is None:
            return
        # The client's order of preference decides; one that offers nothing we know gets the default.
        known = (native.SUBPROTOCOL, compact.SUBPROTOCOL)
        chosen = next((name for name in websocket.scope["subprotocols"] if name in known), None)
        offers = ",".join(websocket.headers.getlist("sec-websocket-extensions"))
        deflate = negotiate(offers) if self.config.deflate else None
        headers = [(b"sec-websocket-extensions", deflate.encode())] if deflate else []
        try:
            await websocket.accept(chosen, headers)
            socket: ClientSocket = websocket.scope["extensions"][HANDOVER](deflate=deflate is not None)
        except BaseException:
            # It went away while it was let in.
            self.admission.release(access)
            raise
        Client(self, socket, access, DIALECTS[chosen or native.SUBPROTOCOL, deflate is not None])
