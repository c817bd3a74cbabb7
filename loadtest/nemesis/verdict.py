"""What a recording proves, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.checker import Checker
from loadtest.recording import Ledger, read

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Verdict:
    """What the recording proves. `ok` says whether anything was broken."""

    faults: dict[str, int]
    examples: list[str]
    klines_checked: int
    looks: int
    sums: dict[str, int]
    away: int
    """Clients that had not come back in the end."""
    tracebacks: int
    """In the gateway's logs."""
    ordered: bool
    """Whether prices out of order count."""
    statuses: list[int | None]
    """How the gateways ended that were asked to."""

    @property
    def ok(self) -> bool:
        sums = ("lost", "unknown", "out_of_order") if self.ordered else ("lost", "unknown")
        bad = sum(self.sums[name] for name in sums) + self.away + self.tracebacks
        ended = all(status in (0, None) for status in self.statuses)
        return not self.faults and not bad and ended and self.klines_checked > 0 and self.looks > 0


def judge(recording: Path) -> Checker:
    """The checker after all that a recording holds."""
    checker = Checker()
    for event in read(recording):
        checker.finish(event) if isinstance(event, Ledger) else checker.see(event)
    return checker


def summary(seed: int, verdict: Verdict) -> str:
    sums = verdict.sums
    lines = [
        f"klines   {verdict.klines_checked:,} closed ones checked, "
        + (" ".join(f"{name}={count}" for name, count in verdict.faults.items()) or "no fault"),
        (
            f"prices   {sums['delivered']:,} delivered, {verdict.looks:,} looks at the screens, {sums['lost']} lost,"
            f" {sums['out_of_order']} out of order, {sums['unknown']} of unknown channels"
        ),
        f"clients  {verdict.away} away at the end",
        f"gateway  {verdict.tracebacks} tracebacks, ended with {[s for s in verdict.statuses if s is not None]}",
    ]
    lines += [f"         {example}" for example in verdict.examples[:8]]
    lines.append(f"{'ok  ' if verdict.ok else 'FAIL'}     seed {seed}")
    return "\n".join(lines)
