"""The answer to the one question: do users get fresh data, and if not, why. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FRESH, DEGRADED, STALE = "fresh", "degraded", "stale"

HEADLINES = {
    FRESH: "Users get fresh data",
    DEGRADED: "Users get fresh data, but not all is well",
    STALE: "Users do not get fresh data",
}

QUIET_SHARE = 0.1
"""Part of the symbols that may be silent before it is worth a word: there are always some that nobody trades."""

SLOWED_SHARE = 0.1
"""The same of clients that do not keep up."""

_STALE = {
    "redis": "no link to Redis",
    "repair": "the link to Redis is back; what was missed is being read",
    "silent": "linked to Redis, but the collector says nothing",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """How a process stands."""

    stale: str = ""
    """The feed's state: "" is live; else `redis`, `repair`, `silent`."""
    stale_s: float = 0.0
    heard: bool = True
    """Whether the feed has ever said anything."""
    away: tuple[str, ...] = ()
    """Sources of data without a link."""
    feed_problem: str = ""
    flush_late_s: float = 0.0
    """How long ago the last flush ended, where that is longer than a process that serves would take."""
    load: str = "normal"
    clients: int = 0
    slowed: int = 0
    """Clients that do not keep up, and so are served less often than they want."""
    symbols: int = 0
    quiet: int = 0
    """Symbols without news for as long as a feed may be silent."""
    gaps: int = 0
    history: bool = True
    other_reasons: tuple[str, ...] = ()
    """What else the process gives for not being ready."""


@dataclass(frozen=True, slots=True)
class Verdict:
    level: str
    headline: str
    why: list[str]
    """The weightiest first."""


def judge(facts: Facts) -> Verdict:
    stale = list(_reasons_stale(facts))
    why = [*stale, *_reasons_degraded(facts)]
    level = STALE if stale else DEGRADED if why else FRESH
    return Verdict(level, HEADLINES[level], why)


def _reasons_stale(facts: Facts) -> list[str]:
    why = []
    if facts.flush_late_s:
        why.append(f"nothing is sent: the last flush ended {facts.flush_late_s:.0f} s ago")
    if facts.stale:
        text = _STALE.get(facts.stale, facts.stale)
        why.append(f"{text} (for {facts.stale_s:.0f} s)" if facts.stale_s >= 1 else text)
        if not facts.heard:
            why.append("the feed has said nothing since the start")
    if facts.feed_problem:
        why.append(facts.feed_problem)
    if not why and facts.other_reasons:
        why += facts.other_reasons
    if not facts.symbols and not why:
        why.append("no symbol is known: the collector has written nothing")
    return why


def _reasons_degraded(facts: Facts) -> list[str]:
    why = []
    if facts.away and not facts.stale:
        why.append(f"no link to {', '.join(facts.away)}; another source is followed")
    if facts.load != "normal":
        why.append(f"load level {facts.load}: news is sent less often to everybody")
    if facts.slowed > facts.clients * SLOWED_SHARE:
        why.append(f"{facts.slowed:,} of {facts.clients:,} clients do not keep up and are served less often")
    if facts.quiet > facts.symbols * QUIET_SHARE and not facts.stale:
        why.append(f"{facts.quiet:,} of {facts.symbols:,} symbols have no news: look at the collector")
    if facts.gaps:
        why.append(f"{facts.gaps:,} gaps in closed klines")
    if not facts.history:
        why.append("history cannot be read from Redis: what is kept is served")
    return why
