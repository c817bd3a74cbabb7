"""The command `set` of the native protocol: how often a client is sent updates, and what they look like."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from gateway.delivery.commands import CommandError
from gateway.delivery.throttle import FAST_LATENCY_MS
from gateway.model.errors import ErrorCode
from gateway.protocol import compact, native
from gateway.protocol.native import NativeDialect

if TYPE_CHECKING:
    from gateway.access.connection import ConnectionAccess
    from gateway.delivery.commands import SetProfile
    from gateway.delivery.session import Session
    from gateway.stream.endpoint import Endpoint

SUBPROTOCOLS: dict[str, type[NativeDialect]] = {
    native.SUBPROTOCOL: native.NativeDialect,
    compact.SUBPROTOCOL: compact.CompactDialect,
}

DIALECTS: dict[tuple[str, bool, bool], NativeDialect] = {
    (subprotocol, deflate, event_times): SUBPROTOCOLS[subprotocol](deflate=deflate, event_times=event_times)
    for subprotocol, deflate, event_times in product(SUBPROTOCOLS, (False, True), (False, True))
}
"""By subprotocol, compression and event times. Dialects keep no state: one of each serves all clients, and a flush
encodes an update once for each that is in use."""

_VARIANTS = {
    dialect: (DIALECTS[subprotocol, deflate, False], DIALECTS[subprotocol, deflate, True])
    for (subprotocol, deflate, _), dialect in DIALECTS.items()
}


def has_event_times(session: Session) -> bool:
    """Whether a session has asked for event times."""
    dialect = session.style[0]
    return isinstance(dialect, NativeDialect) and dialect.event_times


def set_profile(
    endpoint: Endpoint, access: ConnectionAccess, session: Session, command: SetProfile
) -> dict[str, float | bool | None]:
    """Put in force what a client asks for; returns what is in force then, as the reply says it.

    Raises `CommandError` for a latency that the connection cannot have; nothing has changed then.
    """
    hub = endpoint.hub
    if command.fast and not endpoint.allows_fast(access):
        raise CommandError(ErrorCode.FORBIDDEN, "latency_ms: this connection cannot have less", command.id)
    if command.max_rate is not None:
        hub.limit_rate(session, command.max_rate)
    if command.fast is not None:
        hub.want_fast(session, fast=command.fast)
    _set_style(endpoint, session, command)
    if command.max_bytes_per_min is not None:
        hub.limit_bytes(session, command.max_bytes_per_min)
    pace = session.pace
    return {
        "max_rate": pace.max_rate or None,
        "max_bytes_per_min": pace.allowance.bytes_per_min if pace.allowance else None,
        "closed_only": session.style[1],
        "event_times": has_event_times(session),
        "latency_ms": FAST_LATENCY_MS if pace.fast else None,
        "interval_ms": endpoint.writer.interval_ms(pace.tier),
    }


def _set_style(endpoint: Endpoint, session: Session, command: SetProfile) -> None:
    dialect, closed_only = session.style
    assert isinstance(dialect, NativeDialect)
    if command.closed_only is not None:
        closed_only = command.closed_only
    if command.event_times is not None:
        dialect = _VARIANTS[dialect][command.event_times]
    if (dialect, closed_only) != session.style:
        endpoint.hub.set_style(session, (dialect, closed_only))
