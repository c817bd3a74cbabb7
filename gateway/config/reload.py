"""Which settings can change while the process runs, and what results from a reload. Pure; applies nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from gateway.config import Config

RELOADABLE = frozenset(
    (
        "server.shutdown_s",
        "market.stale_after_s",
        "stream.budget_bytes",
        "stream.max_subscriptions",
        "stream.max_connections",
        "stream.max_age_s",
        "stream.deflate",
        "stream.slow_abort_s",
        "stream.heartbeat_s",
        "stream.ping_interval_s",
        "stream.ping_timeout_s",
        "http.cors_origins",
        "log.level",
        "log.format",
    )
)
"""Keys on which no connection, no Redis key and no kline depends. docs/operations.md lists the same."""


class Reload(NamedTuple):
    """The result: the settings in force, and the keys that changed."""

    config: Config
    changed: tuple[str, ...]
    waiting: tuple[str, ...]
    """Keys that differ and need a restart."""


def reloaded(running: Config, wanted: Config) -> Reload:
    """`running` with the reloadable settings of `wanted`."""
    changed: list[str] = []
    waiting: list[str] = []
    sections = {}
    for section in running.__struct_fields__:
        before, after = getattr(running, section), getattr(wanted, section)
        if isinstance(before, dict):
            # Tables with names chosen by the user (sources): connections depend on them.
            waiting += [section] if before != after else []
            continue
        differing = [key for key in before.__struct_fields__ if getattr(before, key) != getattr(after, key)]
        taken = [key for key in differing if f"{section}.{key}" in RELOADABLE]
        changed += [f"{section}.{key}" for key in taken]
        waiting += [f"{section}.{key}" for key in differing if key not in taken]
        sections[section] = msgspec.structs.replace(before, **{key: getattr(after, key) for key in taken})
    return Reload(msgspec.structs.replace(running, **sections), tuple(changed), tuple(waiting))
