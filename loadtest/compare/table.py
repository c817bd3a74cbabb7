"""The comparison as one table, in Markdown that is also read as it is, and as an HTML page. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from loadtest.compare.figures import Figures, middle
from loadtest.compare.rows import FAST
from loadtest.report.page import document, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEADER = (
    *("row", "server", "asked/s", "delivered/s", "CPU us/update", "p50 ms", "p99 ms", "RSS MB"),
    *("server CPU %", "swarm CPU %", "notes"),
)

# The table is wider than those of other reports, and has text at its end.
_STYLE = (
    "<style>body{max-width:1200px}td:first-child{white-space:nowrap}"
    "td:nth-child(2),td:nth-child(11),th:nth-child(2),th:nth-child(11){text-align:left}</style>"
)


class Cell(Struct, frozen=True, kw_only=True):
    """One server under one load: all its runs."""

    row: str
    server: str
    runs: tuple[Figures, ...]
    middle: Figures


class Comparison(Struct, frozen=True, kw_only=True):
    """All that was measured."""

    commands: tuple[str, ...]
    started: str
    seconds: float
    """Length of each measurement."""
    machine: dict[str, Any]
    servers: dict[str, dict[str, Any]]
    """Name -> kind, version, and settings of a gateway."""
    rows: dict[str, str]
    """Label -> what the scenario says of itself."""
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]


def cell(row: str, server: str, runs: Sequence[Figures]) -> Cell:
    """A cell with the middle of its runs."""
    return Cell(row=row, server=server, runs=tuple(runs), middle=middle(runs))


def joined(comparisons: Sequence[Comparison]) -> Comparison:
    """Several results as one: runs of the same server under the same load come together.

    What is said of the whole (machine, length of a measurement) is that of the first. Versions may differ, and all are
    named. Raises `ValueError` where a server's name stands for another kind of server, or for other settings.
    """
    first = comparisons[0]
    runs: dict[tuple[str, str], tuple[Figures, ...]] = {}
    servers: dict[str, dict[str, Any]] = {}
    for each in comparisons:
        for name, server in each.servers.items():
            known = servers.setdefault(name, server)
            if {**known, "version": ""} != {**server, "version": ""}:
                raise ValueError(f"{name} is {known} in one result and {server} in another")
            if server["version"] not in known["version"].split(" and "):
                servers[name] = {**known, "version": f"{known['version']} and {server['version']}"}
        for found in each.cells:
            place = found.row, found.server
            runs[place] = runs.get(place, ()) + found.runs
    rows = {label: title for each in comparisons for label, title in each.rows.items()}
    return replace(
        first,
        commands=tuple(dict.fromkeys(command for each in comparisons for command in each.commands)),
        servers=servers,
        rows=rows,
        cells=tuple(
            cell(row, server, runs[row, server]) for row in rows for server in servers if (row, server) in runs
        ),
        notes=tuple(dict.fromkeys(note for each in comparisons for note in each.notes)),
    )


def lines(comparison: Comparison) -> list[tuple[str, ...]]:
    """The texts of the table. Servers with a fast lane, or with clients that would take it, have a second line."""
    found: list[tuple[str, ...]] = []
    for each in comparison.cells:
        figures = each.middle
        notes = [*figures.notes]
        if figures.helper_us is not None:
            notes.append(f"bridge: {figure(figures.helper_us)} us/update more, on another core")
        found.append(
            (
                each.row,
                each.server,
                figure(figures.asked_per_s),
                figure(figures.delivered_per_s),
                figure(figures.cpu_us),
                figure(figures.p50_ms),
                figure(figures.p99_ms),
                figure(figures.rss_mb),
                figure(figures.cpu_percent),
                figure(figures.swarm_percent),
                "; ".join(notes),
            )
        )
        if figures.fast_p50_ms is not None:
            ages = (figure(figures.fast_p50_ms), figure(figures.fast_p99_ms))
            found.append((each.row + FAST, each.server, "", "", "", *ages, "", "", "", ""))
    return found


def figure(value: float | None) -> str:
    """A number with as many digits as can mean anything; empty for none."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.2f}" if value < 2 else f"{value:.1f}"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def markdown(comparison: Comparison) -> str:
    """The table, its columns aligned, and the notes below it."""
    rows = [HEADER, *lines(comparison)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADER))]
    texts = [_line(row, widths) for row in rows]
    rule = "|".join(["", *("-" * (width + 2) for width in widths), ""])
    notes = [f"- {note}" for note in _notes(comparison)]
    return "\n".join([texts[0], rule, *texts[1:], "", *notes])


def html(comparison: Comparison) -> str:
    """The page."""
    title = "The gateway beside other servers"
    body = [
        f"<h1>{title}</h1>",
        _STYLE,
        f"<p>{escape(comparison.started)}</p>",
        *(f"<p><code>{escape(command)}</code></p>" for command in comparison.commands),
        table(HEADER, lines(comparison)),
        "<ul>",
        *(f"<li>{escape(note)}</li>" for note in _notes(comparison)),
        "</ul>",
        "<h2>Machine</h2>",
        table(("", ""), ((name, str(value)) for name, value in comparison.machine.items())),
    ]
    return document(title, body)


def _line(row: Iterable[str], widths: Sequence[int]) -> str:
    # The first two and the last one are text, the others numbers.
    texts = [
        text.ljust(width) if place < 2 or place == len(widths) - 1 else text.rjust(width)
        for place, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return f"| {' | '.join(texts)} |"


def _notes(comparison: Comparison) -> list[str]:
    counts = sorted({len(each.runs) for each in comparison.cells})
    runs = "one run" if counts == [1] else f"medians of {' or '.join(map(str, counts))} runs"
    servers = (
        f"{name}: {server['kind']} {server['version']}" + (f", {server['settings']}" if server.get("settings") else "")
        for name, server in comparison.servers.items()
    )
    return [
        f"{runs} of {comparison.seconds:g} s",
        *(f"{label}: {title}" for label, title in comparison.rows.items()),
        *servers,
        *comparison.notes,
    ]
