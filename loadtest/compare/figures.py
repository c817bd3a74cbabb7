"""The figures of one server under one load, and the middle of several runs. Pure."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadtest.report.result import Result

_BUSY_LIMIT = 0.9
_OURS_LIMIT = 50.0
_WAITED_LIMIT = 5.0
_FEED_LIMIT = 0.99


class Figures(Struct, frozen=True, kw_only=True):
    """What was measured; the middle of several runs has the middle of each figure. None: not measured."""

    asked_per_s: float | None = None
    """For each update published, one for each client that follows its symbol."""
    delivered_per_s: float | None = None
    cpu_us: float | None = None
    """User and system time of the server for each delivered update, in microseconds."""
    cpu_percent: float | None = None
    """Of a core."""
    helper_us: float | None = None
    """Of the processes that a server needs beside itself, for each delivered update."""
    p50_ms: float | None = None
    """From the time that the feeder stamped the update, to the client having read it."""
    p99_ms: float | None = None
    fast_p50_ms: float | None = None
    """The same of clients that ask for the fast lane."""
    fast_p99_ms: float | None = None
    rss_mb: float | None = None
    swarm_percent: float | None = None
    """CPU of the clients' process, of a core."""
    swarm_waited_percent: float | None = None
    """Share of time that it was ready to run while another process used its core."""
    others_busy: float | None = None
    """Share of time that the cores of clients, feeder and Redis were busy, with whatever."""
    waited_percent: float | None = None
    """Share of time that the server was ready to run while another process used its core."""
    notes: tuple[str, ...] = ()


def figures(result: Result, others_busy: float | None, *, gateway: bool) -> Figures:
    """The figures of a run. `others_busy`: what was seen of the cores that are not the server's."""
    (phase,) = result.phases
    delivery, server = phase.delivery, phase.gateway
    ages, fast = phase.ages_ms.get("ticker", {}), phase.ages_ms.get("ticker (fast)", {})
    notes = []
    ours = phase.swarm.cpu_percent + phase.feed.cpu_percent
    # The swarm waits for nothing but its core while it is not idle.
    swarm_waited = max(0.0, round(phase.swarm.busy_mean * 100 - phase.swarm.cpu_percent, 1))
    if others_busy is not None and others_busy > _BUSY_LIMIT:
        if ours >= _OURS_LIMIT:
            notes.append("swarm is the limit")
        elif swarm_waited > _WAITED_LIMIT:
            notes.append("clients disturbed")
    if server and server.waited_percent > _WAITED_LIMIT:
        notes.append("disturbed")
    if phase.feed.published_per_s < _FEED_LIMIT * phase.feed.asked_per_s:
        notes.append("feeder is the limit")
    if lost := sum(phase.closes.values()):
        notes.append(f"{lost} connections lost")
    if fast and gateway and not result.connecting.notices.get("set"):
        notes.append("announces no fast lane")
    return Figures(
        asked_per_s=round(delivery.offered / phase.seconds, 1),
        delivered_per_s=delivery.delivered_per_s,
        cpu_us=server.us_per_update if server else None,
        cpu_percent=server.cpu_percent if server else None,
        helper_us=server.helper_us_per_update if server else None,
        p50_ms=ages.get("p50"),
        p99_ms=ages.get("p99"),
        fast_p50_ms=fast.get("p50"),
        fast_p99_ms=fast.get("p99"),
        rss_mb=server.rss_mb if server else None,
        swarm_percent=phase.swarm.cpu_percent,
        swarm_waited_percent=swarm_waited,
        others_busy=None if others_busy is None else round(others_busy, 3),
        waited_percent=server.waited_percent if server else None,
        notes=tuple(notes),
    )


def middle(runs: Sequence[Figures]) -> Figures:
    """The median of each figure over the runs that have it. A note that not all runs have says in how many it was."""
    found: dict[str, Any] = {}
    tables: list[Mapping[str, Any]] = [asdict(run) for run in runs]
    for name in Figures.__struct_fields__:
        if name != "notes" and (values := [table[name] for table in tables if table[name] is not None]):
            found[name] = median(values)
    counts = Counter(note for run in runs for note in dict.fromkeys(run.notes))
    found["notes"] = tuple(
        note if count == len(runs) else f"{note} ({count} of {len(runs)} runs)" for note, count in counts.items()
    )
    return Figures(**found)
