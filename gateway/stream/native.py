"""The WebSocket endpoint of the native protocol: the handshake, and what all its clients share.

Sends no market data but the snapshot of a subscription, which must be made in the step that registers it. The flush
writes everything else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from starlette.routing import WebSocketRoute

from gateway.protocol import compact, native
from gateway.stream.events import EventService
from gateway.stream.inbox import InboxParts
from gateway.stream.native_client import NativeClient, NativeParts
from gateway.stream.profile import DIALECTS
from gateway.stream.snapshot_sender import SnapshotSender
from gateway.stream.snapshots import Snapshots

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.websockets import WebSocket

    from gateway.history.service import History
    from gateway.history.turns import Turns
    from gateway.market.market import Market
    from gateway.protocol.native import NativeDialect
    from gateway.protocol.native_commands import NativeCommands
    from gateway.stream.endpoint import Endpoint
    from gateway.stream.snapshot_sender import Charged

PATHS = ("/v1/stream", "/realtime/v1/kline-updates")


class StreamService:
    """The native protocol: its routes, and its tasks that read the store for a client."""

    def __init__(
        self,
        endpoint: Endpoint,
        market: Market,
        history: History,
        commands: NativeCommands,
        turns: Turns,
        charged: Charged = lambda work: work,
    ) -> None:
        """`charged`: wraps the work of a task that reads the store for a client, so that its CPU time is counted."""
        self.endpoint = endpoint
        snapshots = Snapshots(endpoint.hub, history, endpoint.config.history_max, commands.history_max)
        self.sender = SnapshotSender(endpoint, snapshots, turns, charged)
        self._tasks: set[asyncio.Task[None]] = set()
        inbox = InboxParts(endpoint, commands, self._tasks, charged)
        self.parts = NativeParts(inbox, market, snapshots, self.sender)

    def routes(self) -> list[BaseRoute]:
        return [*(WebSocketRoute(path, self._connect) for path in PATHS), *EventService(self.parts).routes()]

    async def aclose(self) -> None:
        """End all tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.sender.aclose()

    async def _connect(self, websocket: WebSocket) -> None:
        endpoint = self.endpoint
        access = await endpoint.admission.admit(websocket, token_may_follow=True)
        if access is None:
            return
        chosen = negotiated(endpoint, websocket)
        socket = await endpoint.accept(
            websocket, access, chosen.subprotocol, chosen.headers, deflate=chosen.dialect.deflate
        )
        NativeClient(self.parts, socket, access, chosen.dialect)


class Negotiated(NamedTuple):
    """What a handshake has agreed on."""

    subprotocol: str | None
    """As it is answered; `None`: the client has offered none of ours."""
    headers: list[tuple[bytes, bytes]]
    dialect: NativeDialect


def negotiated(endpoint: Endpoint, websocket: WebSocket) -> Negotiated:
    """What to answer to a client's offers."""
    # The client's order of preference decides; one that offers no subprotocol of ours gets the default.
    known = (native.SUBPROTOCOL, compact.SUBPROTOCOL)
    chosen = next((name for name in websocket.scope["subprotocols"] if name in known), None)
    headers = endpoint.compression(websocket)
    return Negotiated(chosen, headers, DIALECTS[chosen or native.SUBPROTOCOL, bool(headers), False])
