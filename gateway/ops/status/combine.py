"""What several workers tell of themselves as one: the verdict on all, their numbers, and which is which. Pure."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from gateway.delivery.load_level import Level
from gateway.ops.status.record import EVENTS
from gateway.ops.status.verdict import DEGRADED, HEADLINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Told = Mapping[str, Any]

SLOWEST = 10
"""Clients that are named."""

ADDED = ("writes_per_s", "bytes_per_s", "clients", "behind")
"""Samples of which each worker has a part. Of the others the highest counts: each follows the whole feed."""


def of_all(told: Mapping[int, Told], count: int, chosen: str = "") -> dict[str, Any]:
    """The numbers of all workers, or of the `chosen` one, below the verdict on all `count` of them.

    `told`: what each tells of itself, by number, of those that answer; at least one does.
    """
    why = [f"worker {number}: {reason}" for number, worker in told.items() for reason in worker["why"]]
    levels = [worker["level"] for worker in told.values()]
    if away := count - len(told):
        levels.append(DEGRADED)
        why.insert(0, f"{away} of {count} workers do not answer")
    level = max(levels, key=list(HEADLINES).index)
    shown = next((number for number in told if str(number) == chosen), None)
    numbers = _added_up(told) if shown is None else {**told[shown], "worker": shown}
    workers = [_member(number, worker) for number, worker in told.items()]
    verdict = {"level": level, "headline": HEADLINES[level], "why": why}
    return {**numbers, **verdict, "workers": workers, "workers_wanted": count}


def traces(told: Mapping[int, Told]) -> list[dict[str, Any]]:
    """One symbol's updates, as each worker followed them, by the time at which they were read."""
    found = [{"worker": number, **update} for number, worker in told.items() for update in worker["updates"]]
    return sorted(found, key=lambda update: update["read"])


def stalest(told: Mapping[int, Told]) -> int:
    """Whose freshness by symbol tells most: a worker that is not ready, else the one with most symbols without news."""
    return max(told, key=lambda number: (not told[number]["ready"], told[number]["quiet"]))


def _member(number: int, worker: Told) -> dict[str, Any]:
    newest = {name: values[-1] if values else None for name, values in worker["samples"].items()}
    return {
        "worker": number,
        "level": worker["level"],
        "clients": worker["clients"]["now"],
        "process": worker["process"],
        **{name: newest.get(name) for name in ("writes_per_s", "bytes_per_s", "busy")},
    }


def _added_up(told: Mapping[int, Told]) -> dict[str, Any]:
    workers = list(told.values())
    loads = [worker["load"] for worker in workers]
    first, clients = workers[0], [worker["clients"] for worker in workers]
    feed = max((worker["feed"] for worker in workers), key=lambda feed: (not feed["live"], feed["age_ms"] or 0))
    started = min(worker["process"]["started"] for worker in workers)
    return {
        "timestamp": max(worker["timestamp"] for worker in workers),
        "process": {"version": first["process"]["version"], "pid": None, "started": started},
        "feed": {**feed, "reconnects": sum(worker["feed"]["reconnects"] for worker in workers)},
        "symbols": max((worker["symbols"] for worker in workers), key=lambda symbols: symbols["quiet"]),
        "load": {
            "level": max((load["level"] for load in loads), key=lambda name: Level[name.upper()]),
            "surging": any(load["surging"] for load in loads),
        },
        "clients": {
            "now": sum(each["now"] for each in clients),
            "slowed": sum(each["slowed"] for each in clients),
            "tiers": [
                {**tiers[0], **{name: sum(tier[name] for tier in tiers) for name in ("clients", "behind")}}
                for tiers in zip(*(each["tiers"] for each in clients), strict=True)
            ],
            "slowest": _slowest(told),
        },
        "gaps": max((worker["gaps"] for worker in workers), key=lambda gaps: gaps["open"]),
        "disconnects": _disconnects(workers),
        "events": _events(told),
        "samples": {name: _samples(name, [worker["samples"][name] for worker in workers]) for name in first["samples"]},
    }


def _named(told: Mapping[int, Told], of: Callable[[Told], Iterable[Told]]) -> list[dict[str, Any]]:
    return [{**entry, "worker": number} for number, worker in told.items() for entry in of(worker)]


def _slowest(told: Mapping[int, Told]) -> list[dict[str, Any]]:
    found = _named(told, lambda worker: worker["clients"]["slowest"])
    return sorted(found, key=lambda client: (client["stalled_ms"], client["slower_by"]), reverse=True)[:SLOWEST]


def _events(told: Mapping[int, Told]) -> list[dict[str, Any]]:
    found = _named(told, lambda worker: worker["events"])
    return sorted(found, key=lambda event: event["until"], reverse=True)[:EVENTS]


def _disconnects(workers: Iterable[Told]) -> list[dict[str, Any]]:
    counts: Counter[tuple[int, str]] = Counter()
    for worker in workers:
        for close in worker["disconnects"]:
            counts[close["code"], close["reason"]] += close["count"]
    return [{"code": code, "reason": reason, "count": count} for (code, reason), count in counts.most_common()]


def _samples(name: str, each: Sequence[Sequence[float | None]]) -> list[float | None]:
    """The newest are of about the same second; a worker that began later has no older ones."""
    take = sum if name in ADDED else max
    newest_first = zip_longest(*(reversed(values) for values in each))
    merged = [
        take(known) if (known := [value for value in values if value is not None]) else None for values in newest_first
    ]
    return merged[::-1]
