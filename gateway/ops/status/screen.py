"""What `gateway top` and `gateway trace` print: plain lines from what the gateway has told. Pure: knows no terminal.

Text that comes from outside (symbols, addresses) is cut to what can be printed: an escape sequence must not reach the
terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RESET, BOLD, DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
COLOURS = {"fresh": "\x1b[32m", "degraded": "\x1b[33m", "stale": "\x1b[31m", "away": "\x1b[31m"}
SIGNS = {"fresh": "OK ", "degraded": "!  ", "stale": "!! ", "away": "?? "}
BARS = " ▁▂▃▄▅▆▇█"

SPARK = 30
"""Seconds in a sparkline."""

EVENTS = {
    "start": "started",
    "stale": "data is stale",
    "live": "data is live",
    "load": "load level",
    "disconnect": "clients sent away",
    "refusal": "refused",
    "feed_error": "feed messages skipped",
    "gap": "gap",
}

STAGES = ("decoded", "folded", "published", "encoded", "written")


def top(told: Mapping[str, Any], width: int, height: int, *, colour: bool) -> list[str]:
    """At most `height` lines of at most `width` columns; what matters most comes first."""
    paint = _painter(colour)
    level = told["level"]
    lines = [paint(COLOURS[level] + BOLD, f"{SIGNS[level]}{told['headline']}"[:width])]
    lines += [paint(COLOURS[level], f"   {_plain(why)}"[:width]) for why in told["why"]]
    process, feed, clients, symbols = told["process"], told["feed"], told["clients"], told["symbols"]
    up_ms = told["timestamp"] - process["started"]
    rows = [
        f"{clock(told['timestamp'])} UTC, up {span(up_ms)}, version {process['version']}, {_whose(told)}",
        *map(_worker_row, told.get("workers", ())),
        *(_spark_row(name, told["samples"][key], shown) for name, key, shown in _SPARKS),
        "",
        _feed_row(feed),
        *(_source_row(name, source) for name, source in feed["sources"].items() if len(feed["sources"]) > 1),
        f"symbols  {symbols['known']:,} known, {symbols['quiet']:,} without news for {span(symbols['quiet_after_ms'])}"
        + _oldest(symbols["oldest"]),
        f"gaps     {told['gaps']['open']:,} open" + "".join(f"; {_gap(gap)}" for gap in told["gaps"]["last"][:2]),
        f"load     {told['load']['level']}" + (", a surge: news is conflated" if told["load"]["surging"] else ""),
        "clients  " + f"{clients['now']:,}, served every " + _tiers(clients["tiers"]),
        "closed   " + (", ".join(_close(close) for close in told["disconnects"][:4]) or "nobody was sent away"),
    ]
    lines += [line[:width] for line in rows]
    lines += _below(told, width, height - len(lines), paint)
    return lines[:height]


def unreachable(why: str, last: Mapping[str, Any], width: int, height: int, *, colour: bool) -> list[str]:
    """The gateway does not answer; below it what it said last."""
    head = _painter(colour)(
        COLOURS["away"] + BOLD, f"{SIGNS['away']}The gateway does not answer: {_plain(why)}"[:width]
    )
    return [head, "", *top(last, width, height - 2, colour=False)]


def trace_head() -> str:
    stages = " ".join(f"{name:>9}" for name in ("feed", *STAGES, "total", "tick", "clients"))
    return f"{'read (UTC)':<12} {'what':<15} {stages}  outcome"


def trace_row(update: Mapping[str, Any]) -> str:
    """One update: what each stage took in ms. `feed`: from the source's event time until it was read here."""
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
    of = f", worker {update['worker']}" if "worker" in update else ""
    cells = [
        *map(_ms, (feed_ms, *taken, total_ms)),
        "-" if update["tick"] is None else str(update["tick"]),
        f"{update['clients']}{waiting}",
    ]
    return (
        f"{clock(update['read'], parts=True):<12} {_plain(update['kind']):<15} "
        f"{' '.join(f'{cell:>9}' for cell in cells)}  {_plain(update['outcome'])}{of}"
    )


def span(ms: float | None) -> str:
    """A length of time in words."""
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


def clock(ms: float, *, parts: bool = False) -> str:
    """The time of day, in UTC."""
    seconds, rest = divmod(int(ms), 1000)
    text = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{rest:03}" if parts else text


def spark(values: Sequence[float | None]) -> str:
    """The newest at the right."""
    newest = [value or 0.0 for value in values[-SPARK:]]
    most = max(newest, default=0.0) or 1.0
    return "".join(BARS[round(value / most * (len(BARS) - 1))] for value in newest).rjust(SPARK)


def short(value: float) -> str:
    for limit, unit, digits in ((1e6, "M", 2), (1e4, "k", 1)):
        if value >= limit:
            return f"{value / (limit if unit == 'M' else 1e3):.{digits}f} {unit}"
    return f"{value:,.0f} "


_SPARKS = (
    ("age of feed", "feed_age_ms", lambda value: span(value)),
    ("news in", "messages_per_s", lambda value: f"{short(value)}/s"),
    ("writes out", "writes_per_s", lambda value: f"{short(value)}/s"),
    ("bytes out", "bytes_per_s", lambda value: f"{short(value)}B/s"),
    ("clients", "clients", lambda value: f"{value:,}"),
    ("not in step", "behind", lambda value: f"{value:,}"),
    ("in flushes", "busy", lambda value: f"{value:.0%}"),
    ("loop lag", "lag_ms", lambda value: f"{value:.1f} ms"),
)


def _spark_row(name: str, values: Sequence[float | None], shown: Any) -> str:
    now = values[-1] if values else None
    most = max((value for value in values if value is not None), default=None)
    newest, highest = ("-" if value is None else shown(value) for value in (now, most))
    return f"{name:<12}{newest:>11} {spark(values)}  most {highest}"


def _whose(told: Mapping[str, Any]) -> str:
    """Whose numbers these are."""
    if "workers" not in told:
        return f"process {told['process']['pid']}"
    count = told["workers_wanted"]
    return (
        f"worker {told['worker']} of {count}" if "worker" in told else f"all {len(told['workers'])} of {count} workers"
    )


def _worker_row(worker: Mapping[str, Any]) -> str:
    writes, size, busy = (worker[name] or 0 for name in ("writes_per_s", "bytes_per_s", "busy"))
    return (
        f"  worker {worker['worker']:<4}process {worker['process']['pid']:<9}{worker['level']:<9}"
        f"{worker['clients']:>7,} clients, writes {short(writes):>7}/s, {short(size):>7}B/s, {busy:>4.0%} in flushes"
    )


def _feed_row(feed: Mapping[str, Any]) -> str:
    state = "live" if feed["live"] else f"stale: {feed['reason']}"
    history = "" if feed["history"] else ", history away"
    lost = f"{feed['reconnects']} links lost"
    return f"feed     {state}, {feed['mode']}, {_heard(feed['age_ms'])}, {lost}{history}"


def _source_row(name: str, source: Mapping[str, Any]) -> str:
    age_ms = None if source["age_s"] is None else source["age_s"] * 1000
    state = "linked" if source["linked"] else "away"
    return f"  {name:<12}{state}{', followed' if source['followed'] else ''}, {_heard(age_ms)}"


def _heard(age_ms: float | None) -> str:
    return "no news yet" if age_ms is None else f"news {span(age_ms)} ago"


def _oldest(oldest: Sequence[Mapping[str, Any]]) -> str:
    return f"; oldest: {_plain(oldest[0]['symbol'])} {span(oldest[0]['age_ms'])}" if oldest else ""


def _gap(gap: Mapping[str, Any]) -> str:
    return f"{_plain(gap['symbol'])} {gap['interval']} from {clock(gap['from'])} {gap['state'].replace('_', ' ')}"


def _tiers(tiers: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"{tier['interval_ms']} ms: {tier['clients']:,}" for tier in tiers)


def _close(close: Mapping[str, Any]) -> str:
    return f"{close['code']} {close['reason']}: {close['count']:,}"


def _below(told: Mapping[str, Any], width: int, height: int, paint: Any) -> list[str]:
    """What room is left for: the slowest clients, then what happened."""
    lines: list[str] = []
    slowest, events = told["clients"]["slowest"], told["events"]
    room = height - (min(len(events), 2) + 1 if events else 0)
    if slowest and room > 1:
        heads = f"{'slowest':<10}{'address':<18}{'every':>8}{'stalled':>10}{'unsent':>10}{'channels':>10}  dialect"
        lines.append(paint(DIM, heads[:width]))
        lines += [_client_row(client)[:width] for client in slowest[: room - 1]]
    if events and height - len(lines) > 1:
        lines.append(paint(DIM, "what happened"))
        for event in events[: height - len(lines)]:
            times = f" x {event['count']:,}" if event["count"] > 1 else ""
            name = EVENTS.get(event["kind"], event["kind"])
            of = f"worker {event['worker']}, " if "worker" in event else ""
            lines.append(f"{clock(event['until'])}  {of}{_plain(name)}: {_plain(event['what'])}{times}"[:width])
    return lines


def _client_row(client: Mapping[str, Any]) -> str:
    stalled = span(client["stalled_ms"]) if client["stalled_ms"] else "-"
    # Each worker counts its connections by itself.
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
