"""The run as text for the terminal: a line per second, and a summary at the end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.report.result import bytes_per_write

if TYPE_CHECKING:
    from loadtest.report.observer import Row
    from loadtest.report.result import AttackResult, PhaseResult, Result


def line(phase: str, row: Row) -> str:
    """One second of the run."""
    parts = [f"{row['t']:6.0f} s  {phase:<10}", f"{row['ready']:>6.0f} clients"]
    parts.append(f"in {row['published_per_s']:>9,.0f}/s  out {row['updates_per_s']:>10,.0f}/s")
    parts += [f"{name.removesuffix(' ms')} {row[name]:.0f} ms" for name in sorted(row) if name.endswith("p99 ms")]
    if "gateway_rss_mb" in row:
        parts.append(f"gateway {row.get('gateway_cpu', 0):.0f} % {row['gateway_rss_mb']:.0f} MB")
    parts.append(f"swarm {row['swarm_busy']:.0%} busy")
    return "  ".join(parts)


def summary(result: Result) -> str:
    """The whole run."""
    lines = [f"{result.title}", ""]
    for step in result.memory:
        growth = f", {step.kb_per_connection:.1f} KB each" if step.kb_per_connection is not None else ""
        lines.append(f"memory   {step.connections:>6} connections  {step.rss_mb:.1f} MB{growth}")
    if result.connecting.join_ms.get("count"):
        lines.append(_ages("joining", result.connecting.join_ms))
        lines += _counts(("closes", result.connecting.closes), ("notices", result.connecting.notices))
    for phase in result.phases:
        lines += _phase(phase)
    decoded = {name: value for name, value in result.checks.decoded.items() if value}
    lines.append(f"decoded  {' '.join(f'{name}={value:,}' for name, value in decoded.items()) or 'nothing'}")
    faults = " ".join(f"{name}={count}" for name, count in result.checks.kline_faults.items()) or "no fault"
    lines.append(f"klines   {result.checks.klines_checked:,} closed ones checked, {faults}")
    lines += [f"         {example}" for example in result.checks.examples[:5]]
    lines += [_attack(attack) for attack in result.attacks]
    first_s = result.load[0].at_s if result.load else 0.0
    lines += [
        f"load     {change.at_s - first_s:+6.1f} s  {change.level:<8}  {change.because}" for change in result.load
    ]
    if result.baseline:
        floor = result.baseline
        ratio = f", gateway {floor['gateway_us_per_frame']} us: {floor['ratio']} x" if "ratio" in floor else ""
        lines.append(f"floor    {floor['us_per_write']} us a bare write of {floor['frame_bytes']:.0f} bytes{ratio}")
    if size := bytes_per_write(result.metrics):
        lines.append(f"writes   {result.metrics['gateway_writes_total']:,.0f} by the gateway, {size:,.0f} bytes each")
    lines += [f"WARNING  {warning}" for warning in result.warnings]
    lines += [
        f"{'ok  ' if verdict.ok else 'FAIL'}     {verdict.name}: {_figure(verdict.value)}"
        f" (limit {_figure(verdict.limit)})"
        for verdict in result.verdicts
    ]
    return "\n".join(lines)


def _phase(phase: PhaseResult) -> list[str]:
    delivery = phase.delivery
    lines = [f"{phase.name} ({phase.seconds:.0f} s)"]
    lines.append(f"  feed     {phase.feed.published_per_s:,.0f} of {phase.feed.asked_per_s:,.0f} messages/s asked")
    if delivery.offered:
        lines.append(
            f"  updates  {delivery.delivered:,} of {delivery.offered:,} offered ({delivery.share or 0:.2%}),"
            f" {delivery.delivered_per_s:,.0f}/s"
        )
    if delivery.closed_offered:
        lines.append(f"  closed   {delivery.closed_delivered:,} of {delivery.closed_offered:,} klines")
    if delivery.slow_offered:
        lines.append(f"  slow     {delivery.slow_delivered:,} of {delivery.slow_offered:,} offered")
    if delivery.frames:
        lines.append(
            f"  wire     {delivery.frames_per_s:,.0f} frames/s of {delivery.bytes_per_frame:,.0f} bytes,"
            f" {delivery.bytes_per_s / 1e6:.1f} MB/s"
        )
    if (gateway := phase.gateway) is not None:
        lines.append(
            f"  gateway  {gateway.cpu_percent} % CPU ({gateway.user_percent} user, {gateway.system_percent} system),"
            f" waited {gateway.waited_percent} %, {gateway.rss_mb} MB (peak {gateway.peak_mb})"
        )
    lines.append(f"  swarm    {phase.swarm.busy_mean:.0%} busy, longest round {phase.swarm.worst_pass_ms:.0f} ms")
    for name, figures in [*phase.ages_ms.items(), ("joining", phase.join_ms), ("http", phase.http.get("took_ms", {}))]:
        if figures.get("count"):
            lines.append(_ages(name, figures))
    if phase.http:
        lines.append(f"  http     {phase.http['per_s']:,}/s {phase.http['statuses']}")
    return lines + _counts(("closes", phase.closes), ("notices", phase.notices))


def _attack(attack: AttackResult) -> str:
    ends = "  ".join(f"{outcome}: {count:,}" for outcome, count in sorted(attack.outcomes.items())) or "no end seen"
    return f"attack   {attack.attack:<16} by {attack.attackers:>3}, to end {attack.expected:<11}  {ends}"


def _ages(name: str, figures: dict[str, float]) -> str:
    quantiles = "  ".join(f"{key} {figures[key]:g}" for key in ("p50", "p90", "p99", "max"))
    return f"  {name:<16} {quantiles} ms  ({figures['count']:,})"


def _counts(*named: tuple[str, dict[str, int]]) -> list[str]:
    return [
        f"  {name:<8} {'  '.join(f'{what}: {count:,}' for what, count in counts.items())}"
        for name, counts in named
        if counts
    ]


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:,g}"
