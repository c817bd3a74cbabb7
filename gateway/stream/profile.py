"""The command `set` of the native protocol: how often a client is sent updates, and what they look like."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from gateway.delivery.commands import CommandError
from gateway.delivery.throttle import FAST_LATENCY_MS
from gateway.model.errors import ErrorCode
from gateway.protocol import compact, events, native
from gateway.protocol.native import NativeDialect

if TYPE_CHECKING:
    from gateway.access.connection import ConnectionAccess
    from gateway.delivery.commands import SetProfile
    from gateway.delivery.session import Session
    from gateway.stream.endpoint import Endpoint

VARIANTS: dict[str, type[NativeDialect]] = {
    native.SUBPROTOCOL: native.NativeDialect,
    compact.SUBPROTOCOL: compact.CompactDialect,
    events.NAME: events.EventDialect,
}

DIALECTS: dict[tuple[str, bool, bool], NativeDialect] = {
    (variant, deflate, event_times): VARIANTS[variant](deflate=deflate, event_times=event_times)
    for variant, deflate, event_times in product(VARIANTS, (False, True), (False, True))
}
"""By variant, compression and event times. Dialects keep no state: one of each serves all clients, and a flush
encodes an update once for each that is in use."""

_TIMED = {
    dialect: (DIALECTS[variant, deflate, False], DIALECTS[variant, deflate, True])
    for (variant, deflate, _), dialect in DIALECTS.items()
}

_SNAPSHOTS = {
    # Snapshots are the same in both WebSocket variants, and are not compressed: each is for one client.
    dialect: DIALECTS[events.NAME if variant == events.NAME else native.SUBPROTOCOL, False, event_times]
    for (variant, _, event_times), dialect in DIALECTS.items()
}


def snapshot_dialect(session: Session) -> NativeDialect:
    """The dialect in which a session is sent snapshots."""
    dialect = session.style[0]
    assert isinstance(dialect, NativeDialect)
    return _SNAPSHOTS[dialect]


def timed(dialect: NativeDialect, *, event_times: bool) -> NativeDialect:
    """The same dialect with or without event times."""
    return _TIMED[dialect][event_times]


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
        dialect = timed(dialect, event_times=command.event_times)
    if (dialect, closed_only) != session.style:
        endpoint.hub.set_style(session, (dialect, closed_only))
