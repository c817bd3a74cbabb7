"""Combines the status of several workers: the verdict on all of them and their numbers. Pure."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from gateway.delivery.load_remedies import Level
from gateway.ops.status.record import EVENTS
from gateway.ops.status.verdict import DEGRADED, HEADLINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Status = Mapping[str, Any]
    """What one worker answers at `/status.json`."""

SLOWEST = 10
"""Slow clients that are listed."""

SUMMED = ("writes_per_s", "bytes_per_s", "clients", "behind")
"""Samples that are added up. Of the others the highest counts: each worker reads the whole feed."""


def combine_status(statuses: Mapping[int, Status], count: int, chosen: str = "") -> dict[str, Any]:
    """The verdict on all `count` workers, with the numbers of all of them or of the worker `chosen`.

    `statuses`: the status of each worker that answers, by its number; at least one.
    """
    why = [f"worker {number}: {reason}" for number, worker in statuses.items() for reason in worker["why"]]
    levels = [worker["level"] for worker in statuses.values()]
    if missing := count - len(statuses):
        levels.append(DEGRADED)
        why.insert(0, f"{missing} of {count} workers do not answer")
    level = max(levels, key=list(HEADLINES).index)
    shown = next((number for number in statuses if str(number) == chosen), None)
    numbers = _numbers(statuses) if shown is None else {**statuses[shown], "worker": shown}
    workers = [_worker(number, worker) for number, worker in statuses.items()]
    verdict = {"level": level, "headline": HEADLINES[level], "why": why}
    return {**numbers, **verdict, "workers": workers, "workers_wanted": count}


def combine_traces(statuses: Mapping[int, Status]) -> list[dict[str, Any]]:
    """The traced updates of all workers, ordered by the time at which they were read."""
    entries = [{"worker": number, **update} for number, worker in statuses.items() for update in worker["updates"]]
    return sorted(entries, key=lambda update: update["read"])


def stalest(statuses: Mapping[int, Status]) -> int:
    """The number of the worker with the stalest data: one that has reasons, else the one with most stale symbols."""
    return max(statuses, key=lambda number: (bool(statuses[number]["reasons"]), statuses[number]["quiet"]))


def _worker(number: int, worker: Status) -> dict[str, Any]:
    newest = {name: values[-1] if values else None for name, values in worker["samples"].items()}
    return {
        "worker": number,
        "level": worker["level"],
        "clients": worker["clients"]["now"],
        "process": worker["process"],
        **{name: newest.get(name) for name in ("writes_per_s", "bytes_per_s", "busy")},
    }


def _numbers(statuses: Mapping[int, Status]) -> dict[str, Any]:
    workers = list(statuses.values())
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
            **max(loads, key=lambda load: Level[load["level"].upper()]),
            "surging": any(load["surging"] for load in loads),
        },
        "clients": {
            "now": sum(each["now"] for each in clients),
            "slowed": sum(each["slowed"] for each in clients),
            "flush_interval_ms": max(each["flush_interval_ms"] for each in clients),
            "fast": {name: sum(each["fast"][name] for each in clients) for name in ("wanted", "served")},
            "tiers": [
                {**tiers[0], **{name: sum(tier[name] for tier in tiers) for name in ("clients", "behind")}}
                for tiers in zip(*(each["tiers"] for each in clients), strict=True)
            ],
            "slowest": _slowest(statuses),
        },
        "gaps": max((worker["gaps"] for worker in workers), key=lambda gaps: gaps["open"]),
        "archive": _archive(workers),
        "replays": _replays(workers),
        "disconnects": _disconnects(workers),
        "events": _events(statuses),
        "samples": {name: _samples(name, [worker["samples"][name] for worker in workers]) for name in first["samples"]},
    }


def _archive(workers: Iterable[Status]) -> dict[str, Any] | None:
    """That of the worker that writes it."""
    found: list[dict[str, Any]] = [archive for worker in workers if (archive := worker.get("archive"))]
    return max(found, key=lambda archive: bool(archive["leads"]), default=None)


def _replays(workers: Iterable[Status]) -> dict[str, Any]:
    """All together."""
    each = [worker["replays"] for worker in workers]
    waits: Counter[str] = sum((Counter(replays["waits"]) for replays in each), Counter())
    return {**{name: sum(replays[name] for replays in each) for name in ("sessions", "started")}, "waits": dict(waits)}


def _with_worker(statuses: Mapping[int, Status], of: Callable[[Status], Iterable[Status]]) -> list[dict[str, Any]]:
    return [{**entry, "worker": number} for number, worker in statuses.items() for entry in of(worker)]


def _slowest(statuses: Mapping[int, Status]) -> list[dict[str, Any]]:
    entries = _with_worker(statuses, lambda worker: worker["clients"]["slowest"])
    return sorted(entries, key=lambda client: (client["stalled_ms"], client["slower_by"]), reverse=True)[:SLOWEST]


def _events(statuses: Mapping[int, Status]) -> list[dict[str, Any]]:
    entries = _with_worker(statuses, lambda worker: worker["events"])
    return sorted(entries, key=lambda event: event["until"], reverse=True)[:EVENTS]


def _disconnects(workers: Iterable[Status]) -> list[dict[str, Any]]:
    counts: Counter[tuple[int, str]] = Counter()
    for worker in workers:
        for close in worker["disconnects"]:
            counts[close["code"], close["reason"]] += close["count"]
    return [{"code": code, "reason": reason, "count": count} for (code, reason), count in counts.most_common()]


def _samples(name: str, samples: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Aligned at the newest, which are of about the same second; a worker that started later has fewer samples."""
    take = sum if name in SUMMED else max
    newest_first = zip_longest(*(reversed(values) for values in samples))
    merged = [
        take(present) if (present := [value for value in values if value is not None]) else None
        for values in newest_first
    ]
    return merged[::-1]
