"""File descriptors: each connection is one. Raises the soft limit, and says how many connections fit below it."""

from __future__ import annotations

import resource

RESERVED = 64
"""Descriptors kept for everything but client streams: Redis, logs, health checks, operators, requests under way."""

ENOUGH = 1 << 20
"""More than any configuration needs; some systems report no hard limit."""


def raise_limit() -> int:
    """Raise the soft limit of descriptors to the hard one; returns the soft limit that is in force now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            # A system may refuse what it reports as its hard limit.
            return soft
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def connections_max(wanted: int, limit: int) -> int:
    """How many of `wanted` connections fit below a limit of descriptors, with `RESERVED` of them left; at least one."""
    return max(1, min(wanted, limit - RESERVED))
