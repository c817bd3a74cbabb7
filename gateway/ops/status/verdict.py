"""Decides whether users get fresh data, and if not, why. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FRESH, DEGRADED, STALE = "fresh", "degraded", "stale"

HEADLINES = {
    FRESH: "Users get fresh data",
    DEGRADED: "Users get fresh data, but something is wrong",
    STALE: "Users do not get fresh data",
}

STALE_SYMBOLS_SHARE = 0.1
"""Share of the symbols that may be stale before it is reported: a few symbols are hardly traded."""

SLOWED_SHARE = 0.1
"""Share of the clients that may be slow before it is reported."""

_STALE_TEXTS = {
    "redis": "not connected to Redis",
    "repair": "connected to Redis again; missing data is being read",
    "silent": "connected to Redis, but the collector publishes nothing",
    "malformed": "the collector publishes nothing that can be used",
    "prices": "no prices arrive: tickers and forming klines are stale, closed klines are live",
    "klines": "closed klines are overdue: klines are stale, tickers are live",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """The state of a process, as far as the verdict depends on it."""

    stale_reason: str = ""
    """Why the feed is stale, a `StaleReason`; "": it is live."""
    stale_s: float = 0.0
    refused: str = ""
    """What is refused of the data that is missing."""
    has_received: bool = True
    """Whether the feed has received a message since the start."""
    disconnected_sources: tuple[str, ...] = ()
    feed_problem: str = ""
    only_refused: str = ""
    """Where all that arrives is refused because of its channel: a sentence that says so."""
    flush_late_s: float = 0.0
    """Age of the last flush if it is late, else 0."""
    load: str = "normal"
    load_because: str = ""
    """The causes of the load level, and what they take."""
    load_effects: tuple[str, ...] = ()
    """What is done about it."""
    clients: int = 0
    slowed: int = 0
    """Clients that are flushed less often because they do not keep up."""
    symbols: int = 0
    stale_symbols: int = 0
    gaps: int = 0
    history_available: bool = True
    archive_behind_s: float = 0.0
    """For how long the archive cannot be written; 0: it can, or there is none."""
    other_reasons: tuple[str, ...] = ()
    """Further reasons why the process is not ready."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`level`: `fresh`, `degraded` or `stale`; `reasons`: the most important first."""

    level: str
    headline: str
    reasons: list[str]


def judge(facts: Facts) -> Verdict:
    """The verdict on a process."""
    stale = list(_reasons_stale(facts))
    reasons = [*stale, *_reasons_degraded(facts)]
    level = STALE if stale else DEGRADED if reasons else FRESH
    return Verdict(level, HEADLINES[level], reasons)


def _reasons_stale(facts: Facts) -> list[str]:
    reasons = []
    if facts.flush_late_s:
        reasons.append(f"clients get nothing: the last flush ended {facts.flush_late_s:.0f} s ago")
    if facts.stale_reason:
        text = facts.only_refused or _STALE_TEXTS.get(facts.stale_reason, facts.stale_reason)
        reasons.append(f"{text} (for {facts.stale_s:.0f} s)" if facts.stale_s >= 1 else text)
        if not facts.has_received and not facts.only_refused:
            reasons.append("the feed has received no message since the start")
        if facts.refused:
            reasons.append(facts.refused)
    if facts.feed_problem:
        reasons.append(facts.feed_problem)
    if not reasons and facts.other_reasons:
        reasons += facts.other_reasons
    if not facts.symbols and not reasons:
        reasons.append("no symbol is known: the collector has written nothing")
    return reasons


def _reasons_degraded(facts: Facts) -> list[str]:
    reasons = []
    if facts.disconnected_sources and not facts.stale_reason:
        reasons.append(f"not connected to {', '.join(facts.disconnected_sources)}; another source is active")
    if facts.load != "normal":
        because = f" because {facts.load_because}" if facts.load_because else ""
        effects = f": {', '.join(facts.load_effects)}" if facts.load_effects else ""
        reasons.append(f"load level {facts.load}{because}{effects}")
    if facts.slowed > facts.clients * SLOWED_SHARE:
        reasons.append(f"{facts.slowed:,} of {facts.clients:,} clients do not keep up and are flushed less often")
    if facts.stale_symbols > facts.symbols * STALE_SYMBOLS_SHARE and not facts.stale_reason:
        reasons.append(
            f"{facts.stale_symbols:,} of {facts.symbols:,} symbols have no recent update: check the collector"
        )
    if facts.gaps:
        reasons.append(f"{facts.gaps:,} gaps in closed klines")
    if not facts.history_available:
        reasons.append("history cannot be read from Redis: cached data is served")
    if facts.archive_behind_s:
        reasons.append(f"the archive cannot be written for {facts.archive_behind_s:.0f} s: it catches up out of Redis")
    return reasons
