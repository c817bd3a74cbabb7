"""A result as one self-contained HTML page. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import msgspec

from loadtest.report.plots import line_chart
from loadtest.report.terminal import summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadtest.report.plots import Point
    from loadtest.report.result import PhaseResult, Result

_STYLE = """
:root{color-scheme:light dark;--line:#8884}
body{font:15px/1.5 system-ui,sans-serif;max-width:780px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid var(--line);padding:.2rem .5rem;text-align:right}
td:first-child,th:first-child{text-align:left}
pre{overflow-x:auto;padding:.8rem;border:1px solid var(--line);border-radius:6px;font-size:12px}
figure{margin:1.5rem 0}figcaption span{margin-left:1rem;font-size:12px}
figcaption i{display:inline-block;width:1em;height:.3em;margin-right:.3em;vertical-align:middle}
svg{width:100%;height:auto}svg text{font-size:11px;fill:currentColor}
.grid{stroke:var(--line);fill:none}.band{stroke:currentColor;stroke-dasharray:3 3;opacity:.6}
.line{fill:none;stroke-width:1.6}.ok{color:#009e73}.fail{color:#d55e00;font-weight:bold}.warning{color:#b35900}
"""

# Chart -> columns of the series, or the end of their names.
_CHARTS = (
    ("Updates delivered per second", ("updates_per_s",)),
    ("Messages published per second", ("published_per_s",)),
    ("Age of values when read, 99th percentile (ms)", ("p99 ms",)),
    ("Age of values when read, median (ms)", ("p50 ms",)),
    ("Gateway CPU (% of a core)", ("gateway_cpu",)),
    ("Gateway memory (MB)", ("gateway_rss_mb",)),
    ("Sent to clients (MB/s)", ("mb_per_s",)),
    ("Swarm: share of time not waiting", ("swarm_busy",)),
    ("Clients ready", ("ready",)),
)


def html(result: Result) -> str:
    """The page."""
    state = '<b class="ok">passed</b>' if result.passed else '<b class="fail">failed</b>'
    body = [
        f"<h1>{escape(result.title)}</h1>",
        f"<p>{escape(result.started)} · {state} · <code>{escape(result.command)}</code></p>",
        *(f'<p class="warning">{escape(warning)}</p>' for warning in result.warnings),
        _verdicts(result),
        _phases(result.phases),
        _ages(result.phases),
        *_charts(result),
        "<h2>Everything</h2>",
        f"<pre>{escape(summary(result))}</pre>",
        "<h2>Machine</h2>",
        table(("", ""), ((name, str(value)) for name, value in result.machine.items())),
        "<h2>Scenario</h2>",
        f"<pre>{escape(msgspec.json.format(msgspec.json.encode(result.definition)).decode())}</pre>",
    ]
    return document(result.title, body)


def document(title: str, body: Iterable[str]) -> str:
    """A whole page of these elements."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def _verdicts(result: Result) -> str:
    rows = (
        (
            verdict.name,
            "not measured" if verdict.value is None else f"{verdict.value:,g}",
            f"{verdict.limit:,g}",
            "ok" if verdict.ok else "FAILED",
        )
        for verdict in result.verdicts
    )
    return "<h2>Expectations</h2>" + table(("", "measured", "limit", ""), rows)


def _phases(phases: Sequence[PhaseResult]) -> str:
    rows = (
        (
            phase.name,
            f"{phase.seconds:.0f}",
            f"{phase.feed.published_per_s:,.0f}",
            f"{phase.delivery.delivered_per_s:,.0f}",
            "" if phase.delivery.share is None else f"{phase.delivery.share:.2%}",
            f"{phase.gateway.cpu_percent:.1f}" if phase.gateway else "",
            f"{phase.gateway.rss_mb:.1f}" if phase.gateway else "",
        )
        for phase in phases
    )
    header = ("phase", "s", "in/s", "updates/s", "of offered", "CPU %", "RSS MB")
    return "<h2>Phases</h2>" + table(header, rows)


def _ages(phases: Sequence[PhaseResult]) -> str:
    keys = ("p50", "p90", "p99", "p999", "max")
    rows = [
        (f"{phase.name}: {lane}", *(f"{figures[key]:,g}" for key in keys), f"{figures['count']:,.0f}")
        for phase in phases
        for lane, figures in phase.ages_ms.items()
    ]
    return "<h2>Age of values when read (ms)</h2>" + table(("", *keys, "values"), rows) if rows else ""


def _charts(result: Result) -> list[str]:
    bands = [(phase.name, phase.began_s) for phase in result.phases]
    end = result.series[-1]["t"] if result.series else 0.0
    charts = []
    for title, endings in _CHARTS:
        names = sorted({name for row in result.series for name in row if name.endswith(endings)})
        lines: dict[str, list[Point]] = {
            name: [(row["t"], row[name]) for row in result.series if name in row] for name in names
        }
        if lines:
            charts.append(line_chart(title, lines, bands, end))
    return charts


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; everything in it is text."""
    head = "".join(f"<th>{escape(bucket)}</th>" for bucket in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(bucket)}</td>' for bucket in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
