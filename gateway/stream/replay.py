"""The endpoint of replays: who may have one, and which client the rest of the path asks for.

`/replay/FROM/SPEEDx` stands before the path of a stream, which is then served as on the live gateway, but for what
happens: that is read from the archive (`gateway/replay`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.routing import WebSocketRoute

from gateway.access.admission import Refusal
from gateway.delivery.load_meter import Cause
from gateway.delivery.load_remedies import Level
from gateway.history.aggregating_store import AggregatingStore
from gateway.http.admission import refusal_response
from gateway.model.errors import ErrorCode
from gateway.model.symbol import SymbolRule
from gateway.protocol.binance_commands import StreamNames
from gateway.replay.address import ROOT, AddressError, parse
from gateway.replay.cpu_share import CpuShare
from gateway.replay.slots import ReplaySlots
from gateway.replay.source import ReplaySource
from gateway.replay.stats import ReplayStats
from gateway.stream import native
from gateway.stream.binance import ROOTS, asked_for
from gateway.stream.replay_binance import ReplayBinanceClient
from gateway.stream.replay_native import ReplayClient
from gateway.stream.replay_sessions import Admitted, ReplaySessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.websockets import WebSocket

    from gateway.access.connection import ConnectionAccess
    from gateway.config import Config
    from gateway.delivery.load_level import Load
    from gateway.delivery.load_meter import LoadMeter
    from gateway.history.stores import Stores
    from gateway.protocol.native_commands import NativeCommands
    from gateway.replay.address import ReplayAddress
    from gateway.stream.endpoint import Endpoint

NO_ARCHIVE = Refusal(ErrorCode.NOT_FOUND, "no_archive", "This gateway has no archive that could be replayed.")


class ReplayService:
    """The routes."""

    def __init__(self, source: ReplaySource | None, sessions: ReplaySessions, names: StreamNames) -> None:
        """`source`: `None` without an archive."""
        self.sessions = sessions
        self._source = source
        self._endpoint = sessions.endpoint
        self._names = names

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute(ROOT + "/{rest:path}", self._connect)]

    async def aclose(self) -> None:
        """End all tasks."""
        await self.sessions.aclose()

    async def _connect(self, websocket: WebSocket) -> None:
        address = NO_ARCHIVE if self._source is None else _address(websocket, self._source.present_ms)
        # Binance's dialect has no message that could carry a token.
        may_follow = isinstance(address, Refusal) or address.stream in native.PATHS
        access = await self._endpoint.admission.admit(websocket, token_may_follow=may_follow)
        if access is None:
            return
        if isinstance(address, Refusal) or self._source is None:
            await self._refuse(websocket, access, address if isinstance(address, Refusal) else NO_ARCHIVE)
        elif (refusal := self._take_slot(access)) is not None:
            await self._refuse(websocket, access, refusal)
        else:
            await self._open(websocket, access, address, self._source)

    def _take_slot(self, access: ConnectionAccess) -> Refusal | None:
        """Take a place for a replay, or say why there is none."""
        if access.grant is not None and not self.sessions.may_replay(access):
            return Refusal(ErrorCode.FORBIDDEN, "token_replay", "The token does not cover replays.")
        return self.sessions.slots.take(access.group, exempt=access.exempt)

    async def _refuse(self, websocket: WebSocket, access: ConnectionAccess, refusal: Refusal) -> None:
        admission = self._endpoint.admission
        admission.release(access)
        admission.counters.refused += 1
        admission.count_refusal(websocket, refusal)
        await websocket.send_denial_response(refusal_response(refusal))

    async def _open(
        self, websocket: WebSocket, access: ConnectionAccess, address: ReplayAddress, source: ReplaySource
    ) -> None:
        accept = self._accept_native if address.stream in native.PATHS else self._accept_binance
        try:
            begin = await accept(websocket, access, address, source)
        except BaseException:
            # The client disconnected during the handshake.
            self.sessions.slots.free(access.group)
            raise
        begin()

    async def _accept_native(
        self, websocket: WebSocket, access: ConnectionAccess, address: ReplayAddress, source: ReplaySource
    ) -> Callable[[], object]:
        """Complete the handshake; returns what begins the replay."""
        chosen = native.negotiated(self._endpoint, websocket)
        socket = await self._endpoint.accept(
            websocket, access, chosen.subprotocol, chosen.headers, deflate=chosen.dialect.deflate
        )
        return lambda: ReplayClient(self.sessions, Admitted(access, socket, address, source), chosen.dialect)

    async def _accept_binance(
        self, websocket: WebSocket, access: ConnectionAccess, address: ReplayAddress, source: ReplaySource
    ) -> Callable[[], object]:
        """Complete the handshake; returns what begins the replay."""
        names, combined = asked_for(address.stream, websocket)
        micro = websocket.query_params.get("timeUnit", "").upper() == "MICROSECOND"
        message_bytes = self._endpoint.dialects.binance_message_bytes
        socket = await self._endpoint.accept(websocket, access, max_message_bytes=message_bytes, takes_binary=True)
        admitted = Admitted(access, socket, address, source)
        return lambda: ReplayBinanceClient(self.sessions, admitted, self._names, combined, micro).begin(names)


def make_replays(
    config: Config, stores: Stores, endpoint: Endpoint, commands: NativeCommands, load: Load, meter: LoadMeter
) -> ReplayService:
    """The replays of a process."""
    source = None
    if stores.certain is not None:
        settle_ms = round(config.stream.close_wait_s * 1000)
        store = AggregatingStore(stores.certain, config.market)
        source = ReplaySource(store, config.market.intervals, endpoint.clock_ms, settle_ms)
    slots, share = ReplaySlots(config.replay), CpuShare(config.replay.cpu_share, lambda: load.level > Level.NORMAL)
    stats, charged = ReplayStats(slots, share, endpoint.counters), partial(meter.charged, Cause.REPLAYS)
    sessions = ReplaySessions(endpoint, commands, slots, share, stats, config.replay.max_channels, charged)
    return ReplayService(
        source, sessions, StreamNames(SymbolRule(config.market.symbol_pattern), config.market.intervals)
    )


def _address(websocket: WebSocket, present_ms: int) -> ReplayAddress | Refusal:
    """What is to be replayed, or why that cannot be."""
    try:
        address = parse(websocket.path_params["rest"], present_ms)
    except AddressError as error:
        return Refusal(ErrorCode.BAD_REQUEST, "replay_address", str(error))
    if address.stream in native.PATHS or any(f"{address.stream}/".startswith(f"{root}/") for root in ROOTS):
        return address
    message = f"{address.stream[:100]} is no stream that can be replayed."
    return Refusal(ErrorCode.NOT_FOUND, "replay_address", message)
