"""The endpoint of Server-Sent Events, `GET /v1/stream.sse`: the native protocol for what speaks no WebSocket.

The query is what a WebSocket client says with `subscribe` and `set`. A client that comes back names the last event that
it has had, by its id: it then gets as much history as it asks for, and never less than it has missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from gateway.access.connection import ConnectionAccess
from gateway.delivery.commands import ChannelName, CommandError, Subscribe
from gateway.history.query import QueryError, bad_field
from gateway.http.errors import coded_route, error_response, query_error
from gateway.http.parameters import unusable
from gateway.model.errors import ErrorCode
from gateway.model.interval import INTERVALS, MONTH_MAX_MS
from gateway.protocol import events
from gateway.server.handshake import HANDOVER
from gateway.stream.native_client import NativeClient
from gateway.stream.profile import DIALECTS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send

    from gateway.server.event_socket import EventSocket
    from gateway.stream.native_client import NativeParts

PATH = "/v1/stream.sse"

_SETTINGS = ("max_rate", "max_bytes_per_min", "latency_ms", "closed_only", "event_times")
PARAMETERS = ("channels", "history", "last_event_id", *_SETTINGS)

SPARE_KLINES = 2
"""More than were missed: the one that was forming then, and one that closed late."""

_HEADERS = [
    (b"cache-control", b"no-store"),
    # nginx would collect events until its buffer is full.
    (b"x-accel-buffering", b"no"),
]


class _HandedOver(Response):
    """The connection is a stream now: there is no answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pass


class EventService:
    """The route. Its clients are native ones that are told their commands by their request."""

    def __init__(self, parts: NativeParts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        """The path of the stream."""
        return [coded_route(PATH, self._connect, "GET")]

    async def _connect(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if error := unusable(request, PARAMETERS):
            return query_error(error)
        commands = self._commands(request)
        if isinstance(commands, QueryError):
            return query_error(commands)
        try:
            for command in map(self._parts.inbox.commands.decode, commands):
                if isinstance(command, Subscribe):
                    self._check(command)
        except CommandError as refused:
            return error_response(refused.code, refused.message)
        admission = self._parts.inbox.endpoint.admission
        access = await admission.admit_request(request)
        if not isinstance(access, ConnectionAccess):
            return access
        socket: EventSocket | None = request.scope["extensions"][HANDOVER]([*_HEADERS, *_readable_by(request)])
        if socket is None:
            admission.release(access)
            return _HandedOver()
        client = NativeClient(self._parts, socket, access, DIALECTS[events.NAME, False, False])
        for text in commands:
            client.received(text)
        return _HandedOver()

    def _commands(self, request: Request) -> list[bytes] | QueryError:
        """What the client would say over a WebSocket."""
        query = request.query_params
        settings = {name: _value(query[name]) for name in _SETTINGS if name in query}
        commands: list[dict[str, Any]] = [{"op": "set", **settings}] if settings else []
        channels = [name for name in query.get("channels", "").split(",") if name]
        if not channels:
            return bad_field("channels", "expected names, separated by commas: kline:BTCUSDT:1m,ticker:ETHUSDT")
        history = _value(query.get("history", "0"))
        last_id = request.headers.get("last-event-id") or query.get("last_event_id", "")
        if last_id and not (last_id.isascii() and last_id.isdecimal() and len(last_id) <= _ID_DIGITS):
            return bad_field("last_event_id", "expected the id of an event")
        by_history: dict[Any, list[str]] = {}
        for channel in channels:
            needed = self._history(channel, history, int(last_id)) if last_id else history
            by_history.setdefault(needed, []).append(channel)
        commands += [{"op": "subscribe", "channels": names, "history": needed} for needed, names in by_history.items()]
        return [orjson.dumps(command) for command in commands]

    def _history(self, channel: str, history: object, last_ms: int) -> object:
        """Closed klines to send: those asked for, or those since `last_ms` where these are more."""
        name = self._parts.inbox.commands.channel(channel)
        if not isinstance(history, int) or not isinstance(name, ChannelName) or not name.interval:
            return history
        away_ms = max(0, self._parts.inbox.endpoint.clock_ms() - last_ms)
        missed = away_ms // (INTERVALS[name.interval].length_ms or MONTH_MAX_MS) + SPARE_KLINES
        return max(history, min(missed, self._parts.inbox.commands.history_max))

    def _check(self, command: Subscribe) -> None:
        """Raises `CommandError` where no stream can come of it, so that the client gets an answer instead of one."""
        for name in command.channels.values():
            if isinstance(name, CommandError):
                raise name
            if self._parts.market.is_unknown(name.symbol):
                raise CommandError(ErrorCode.INVALID_SYMBOL, f"Unknown symbol {name.symbol}.")


_ID_DIGITS = 15
"""Of a time in ms."""


def _value(text: str) -> object:
    """A parameter as the JSON value that a command has."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _readable_by(request: Request) -> list[tuple[bytes, bytes]]:
    """Lets the page that has asked read the answer: it has been admitted by its origin."""
    origin = request.headers.get("origin")
    if origin is None:
        return []
    return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]
