"""The lines that `gateway top` and `gateway trace` print, made from the gateway's status. Pure: knows no terminal.

Characters of symbols and addresses that cannot be printed are replaced: an escape sequence must not reach the terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESET, BOLD, DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
COLOURS = {"fresh": "\x1b[32m", "degraded": "\x1b[33m", "stale": "\x1b[31m", "away": "\x1b[31m"}
SIGNS = {"fresh": "OK ", "degraded": "!  ", "stale": "!! ", "away": "?? "}
SPARK_CHARS = " ▁▂▃▄▅▆▇█"

SPARK_SAMPLES = 30
"""Samples in a sparkline: one a second."""

EVENTS = {
    "start": "started",
    "stale": "data is stale",
    "live": "data is live",
    "load": "load level",
    "disconnect": "clients closed",
    "refusal": "refused",
    "feed_error": "feed messages skipped",
    "gap": "gap",
}

STAGES = ("decoded", "folded", "published", "encoded", "written")


def top(status: Mapping[str, Any], width: int, height: int, *, colour: bool) -> list[str]:
    """The status in at most `height` lines of at most `width` columns, the most important first."""
    paint = _painter(colour)
    level = status["level"]
    lines = [paint(COLOURS[level] + BOLD, f"{SIGNS[level]}{status['headline']}"[:width])]
    lines += [paint(COLOURS[level], f"   {_plain(why)}"[:width]) for why in status["why"]]
    process, feed, clients, symbols = status["process"], status["feed"], status["clients"], status["symbols"]
    up_ms = status["timestamp"] - process["started"]
    rows = [
        f"{clock(status['timestamp'])} UTC, up {span(up_ms)}, version {process['version']}, {_scope(status)}",
        *map(_worker_row, status.get("workers", ())),
        *(_spark_row(name, status["samples"][key], shown) for name, key, shown in _SPARKS),
        "",
        _feed_row(feed),
        *(_source_row(name, source) for name, source in feed["sources"].items() if len(feed["sources"]) > 1),
        f"symbols  {symbols['known']:,} known, {symbols['quiet']:,} without an update for "
        + span(symbols["quiet_after_ms"])
        + _oldest(symbols["oldest"]),
        f"gaps     {status['gaps']['open']:,} open" + "".join(f"; {_gap(gap)}" for gap in status["gaps"]["last"][:2]),
        *([_archive_row(status["archive"])] if status.get("archive") else []),
        *([_replays_row(status["replays"])] if status.get("replays", {}).get("sessions") else []),
        f"load     {status['load']['level']}"
        + (f" because {status['load']['because']}" if status["load"]["because"] else "")
        + (", a surge: updates are conflated" if status["load"]["surging"] else ""),
        f"clients  {clients['now']:,}" + _tiers(clients),
        "closed   " + (", ".join(_close(close) for close in status["disconnects"][:4]) or "none by the gateway"),
    ]
    lines += [line[:width] for line in rows]
    lines += _below(status, width, height - len(lines), paint)
    return lines[:height]


def _archive_row(archive: Mapping[str, Any]) -> str:
    parts = [f"{archive['bytes'] / 1e6:,.1f} MB", f"{archive['written']:,} klines written"]
    if archive["behind_s"]:
        parts.append(f"cannot be written for {span(archive['behind_s'] * 1000)}")
    if archive["missing"]:
        parts.append(f"{archive['missing']:,} missing")
    return f"archive  {', '.join(parts)}" + ("" if archive["leads"] else ", another process writes")


def _replays_row(replays: Mapping[str, Any]) -> str:
    waits = ", ".join(f"{count:,} waits for the {cause}" for cause, count in replays["waits"].items())
    return f"replays  {replays['sessions']:,} now, {replays['started']:,} begun" + (f", {waits}" if waits else "")


def unreachable(why: str, last: Mapping[str, Any], width: int, height: int, *, colour: bool) -> list[str]:
    """The error `why`, and below it the last status."""
    error = _painter(colour)(
        COLOURS["away"] + BOLD, f"{SIGNS['away']}The gateway does not answer: {_plain(why)}"[:width]
    )
    return [error, "", *top(last, width, height - 2, colour=False)]


def trace_header() -> str:
    """The header of the table that `trace_row` fills."""
    stages = " ".join(f"{name:>9}" for name in ("feed", *STAGES, "total", "flush", "clients"))
    return f"{'read (UTC)':<12} {'what':<15} {stages}  outcome"


def trace_row(update: Mapping[str, Any]) -> str:
    """One update: how long each stage took, in ms. `feed`: from the source's event time until it was read here."""
    taken: list[float | None] = []
    reached = 0.0
    for stage in STAGES:
        at_ms = update[stage]
        taken.append(None if at_ms is None else at_ms - reached)
        reached = reached if at_ms is None else at_ms
    event = update["event"]
    feed_ms = None if event is None else update["read"] - event
    total_ms = None if feed_ms is None or update["written"] is None else feed_ms + update["written"]
    waiting = f"+{update['waiting']}" if update["waiting"] else ""
    worker = f", worker {update['worker']}" if "worker" in update else ""
    cells = [
        *map(_ms, (feed_ms, *taken, total_ms)),
        "-" if update["tick"] is None else str(update["tick"]),
        f"{update['clients']}{waiting}",
    ]
    return (
        f"{clock(update['read'], fraction=True):<12} {_plain(update['kind']):<15} "
        f"{' '.join(f'{cell:>9}' for cell in cells)}  {_plain(update['outcome'])}{worker}"
    )


def span(ms: float | None) -> str:
    """A duration in ms as text."""
    if ms is None:
        return "never"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s" if ms < 10_000 else f"{ms / 1000:.0f} s"
    minutes = int(ms // 60_000)
    if minutes < 60:
        return f"{minutes} min {int(ms % 60_000 // 1000)} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 1440 else f"{minutes // 1440} d {minutes // 60 % 24} h"


def clock(ms: float, *, fraction: bool = False) -> str:
    """The time of day in UTC; with milliseconds if `fraction`."""
    seconds, rest = divmod(int(ms), 1000)
    text = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{rest:03}" if fraction else text


def spark(values: Sequence[float | None]) -> str:
    """The newest samples as a sparkline, the newest at the right."""
    newest = [value or 0.0 for value in values[-SPARK_SAMPLES:]]
    most = max(newest, default=0.0) or 1.0
    return "".join(SPARK_CHARS[round(value / most * (len(SPARK_CHARS) - 1))] for value in newest).rjust(SPARK_SAMPLES)


def short(value: float) -> str:
    """A number of at most four digits, and its unit prefix after a space."""
    for limit, unit, digits in ((1e6, "M", 2), (1e4, "k", 1)):
        if value >= limit:
            return f"{value / (limit if unit == 'M' else 1e3):.{digits}f} {unit}"
    return f"{value:,.0f} "


_SPARKS = (
    ("age of feed", "feed_age_ms", lambda value: span(value)),
    ("updates in", "messages_per_s", lambda value: f"{short(value)}/s"),
    ("writes out", "writes_per_s", lambda value: f"{short(value)}/s"),
    ("bytes out", "bytes_per_s", lambda value: f"{short(value)}B/s"),
    ("clients", "clients", lambda value: f"{value:,}"),
    ("catching up", "behind", lambda value: f"{value:,}"),
    ("in flushes", "busy", lambda value: f"{value:.0%}"),
    ("loop lag", "lag_ms", lambda value: f"{value:.1f} ms"),
)


def _spark_row(name: str, values: Sequence[float | None], shown: Any) -> str:
    now = values[-1] if values else None
    most = max((value for value in values if value is not None), default=None)
    newest, highest = ("-" if value is None else shown(value) for value in (now, most))
    return f"{name:<12}{newest:>11} {spark(values)}  most {highest}"


def _scope(status: Mapping[str, Any]) -> str:
    """Which process or workers the numbers belong to."""
    if "workers" not in status:
        return f"process {status['process']['pid']}"
    count = status["workers_wanted"]
    return (
        f"worker {status['worker']} of {count}"
        if "worker" in status
        else f"all {len(status['workers'])} of {count} workers"
    )


def _worker_row(worker: Mapping[str, Any]) -> str:
    writes, size, busy = (worker[name] or 0 for name in ("writes_per_s", "bytes_per_s", "busy"))
    return (
        f"  worker {worker['worker']:<4}process {worker['process']['pid']:<9}{worker['level']:<9}"
        f"{worker['clients']:>7,} clients, writes {short(writes):>7}/s, {short(size):>7}B/s, {busy:>4.0%} in flushes"
    )


def _feed_row(feed: Mapping[str, Any]) -> str:
    lanes = feed.get("lanes", {})
    stale = [name for name, lane in lanes.items() if not lane["live"]]
    of = f" ({', '.join(stale)})" if len(stale) < len(lanes) else ""
    state = "live" if feed["live"] else f"stale: {feed['reason']}{of}"
    history = "" if feed["history"] else ", history unavailable"
    return f"feed     {state}, {feed['mode']}, {_age(feed['age_ms'])}, {feed['reconnects']} reconnects{history}"


def _source_row(name: str, source: Mapping[str, Any]) -> str:
    age_ms = None if source["age_s"] is None else source["age_s"] * 1000
    state = "connected" if source["linked"] else "disconnected"
    return f"  {name:<12}{state}{', active' if source['followed'] else ''}, {_age(age_ms)}"


def _age(age_ms: float | None) -> str:
    return "no update yet" if age_ms is None else f"last update {span(age_ms)} ago"


def _oldest(oldest: Sequence[Mapping[str, Any]]) -> str:
    return f"; oldest: {_plain(oldest[0]['symbol'])} {span(oldest[0]['age_ms'])}" if oldest else ""


def _gap(gap: Mapping[str, Any]) -> str:
    return f"{_plain(gap['symbol'])} {gap['interval']} from {clock(gap['from'])} {gap['state'].replace('_', ' ')}"


def _tiers(clients: Mapping[str, Any]) -> str:
    """The tiers that have clients; of the fast one, how many ask for it, of the default one, its interval."""
    about = {
        "fast": f" of {clients['fast']['wanted']:,} that ask for it",
        "default": f" every {span(clients['flush_interval_ms'])}",
    }
    tiers = [tier for tier in clients["tiers"] if tier["clients"]]
    return "".join(f", {tier['name']} {tier['clients']:,}{about.get(tier['name'], '')}" for tier in tiers)


def _close(close: Mapping[str, Any]) -> str:
    return f"{close['code']} {close['reason']}: {close['count']:,}"


def _below(status: Mapping[str, Any], width: int, height: int, paint: Any) -> list[str]:
    """What fits below: the slowest clients, then the events."""
    lines: list[str] = []
    slowest, events = status["clients"]["slowest"], status["events"]
    room = height - (min(len(events), 2) + 1 if events else 0)
    if slowest and room > 1:
        header = f"{'slowest':<10}{'address':<18}{'every':>8}{'stalled':>10}{'unsent':>10}{'channels':>10}  dialect"
        lines.append(paint(DIM, header[:width]))
        lines += [_client_row(client)[:width] for client in slowest[: room - 1]]
    if events and height - len(lines) > 1:
        lines.append(paint(DIM, "events"))
        for event in events[: height - len(lines)]:
            times = f" x {event['count']:,}" if event["count"] > 1 else ""
            name = EVENTS.get(event["kind"], event["kind"])
            worker = f"worker {event['worker']}, " if "worker" in event else ""
            lines.append(f"{clock(event['until'])}  {worker}{_plain(name)}: {_plain(event['what'])}{times}"[:width])
    return lines


def _client_row(client: Mapping[str, Any]) -> str:
    stalled = span(client["stalled_ms"]) if client["stalled_ms"] else "-"
    # Each worker numbers its own connections.
    number = f"{client['worker']}#{client['id']}" if "worker" in client else f"#{client['id']}"
    return (
        f"{number:<10}{_plain(client.get('address', '-')):<18}{span(client['interval_ms']):>8}"
        f"{stalled:>10}{short(client['unsent_bytes']) + 'B':>10}{client['channels']:>10}  {client['dialect']}"
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _painter(colour: bool) -> Any:
    return lambda code, text: f"{code}{text}{RESET}" if colour else text


def _plain(text: object) -> str:
    return "".join(char if char.isprintable() else "?" for char in str(text))
