"""What a client of the native protocol asks to be served with: its `set` command as a step on hub and session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.delivery import throttle
from gateway.delivery.throttle import Allowance

if TYPE_CHECKING:
    from gateway.delivery.commands import SetProfile
    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session


def set_profile(
    hub: Hub[Session], session: Session, command: SetProfile, tick_ms: int
) -> dict[str, float | bool | None]:
    """Apply it; returns what is now in force."""
    if command.max_rate is not None:
        session.max_rate = command.max_rate
        floor = throttle.tier_for_rate(command.max_rate, tick_ms)
        # Who is slow stays slow; who was held back by its own wish only goes by the new one.
        tier = floor if session.tier <= session.floor else max(session.tier, floor)
        session.floor = floor
        hub.move(session, tier)
    dialect, closed_only = session.style
    if command.closed_only is not None and command.closed_only != closed_only:
        hub.restyle(session, (dialect, command.closed_only))
    if command.max_bytes_per_min is not None:
        session.allowance = Allowance(command.max_bytes_per_min) if command.max_bytes_per_min else None
        # A session with an allowance is served one by one.
        hub.leave_sync(session)
    return {
        "max_rate": session.max_rate or None,
        "max_bytes_per_min": session.allowance.bytes_per_min if session.allowance else None,
        "closed_only": session.style[1],
        "interval_ms": hub.tiers[session.tier].period_flushes * tick_ms,
    }
