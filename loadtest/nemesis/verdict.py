"""What the recording of a nemesis run proves, and its summary as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.report.checker import Checker
from loadtest.report.recording import Ledger, read

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Verdict:
    """What the recording proves. `ok`: whether the gateway kept all of its promises."""

    faults: dict[str, int]
    examples: list[str]
    klines_checked: int
    prices_checked: int
    """Checks of the oldest price that a client shows as live."""
    movements_checked: int
    """Prices compared with the ones before, to see that they move."""
    sums: dict[str, int]
    away: int
    """Clients that were not connected at the end."""
    tracebacks: int
    """Tracebacks in the gateways' logs."""
    ordered: bool
    """Whether prices out of order count as faults."""
    bot_klines: int | None
    """Closed klines that bots were told and REST has, compared; `None`: there were no bots."""
    bot_ends: dict[int, int]
    """Close code -> connections of bots that ended so; 0: without one."""
    statuses: list[int | None]
    """Exit statuses of the gateways that were asked to end."""

    @property
    def ok(self) -> bool:
        sums = ("lost", "unknown", "out_of_order") if self.ordered else ("lost", "unknown")
        bad = sum(self.sums[name] for name in sums) + self.away + self.tracebacks
        ended = all(status in (0, None) for status in self.statuses)
        checked = (
            self.klines_checked > 0 and self.prices_checked > 0 and self.movements_checked > 0 and self.bot_klines != 0
        )
        return not self.faults and not bad and ended and checked


def judge(recording: Path) -> Checker:
    """A checker that has read the whole recording."""
    checker = Checker()
    for event in read(recording):
        checker.finish(event) if isinstance(event, Ledger) else checker.check(event)
    return checker


def summary(seed: int, verdict: Verdict) -> str:
    """The verdict for the terminal."""
    sums = verdict.sums
    lines = [
        f"klines   {verdict.klines_checked:,} closed ones checked, "
        + (" ".join(f"{name}={count}" for name, count in verdict.faults.items()) or "no fault"),
        (
            f"prices   {sums['delivered']:,} delivered, {verdict.prices_checked:,} checks of what is shown as live,"
            f" {verdict.movements_checked:,} of whether prices move,"
            f" {sums['lost']} lost, {sums['out_of_order']} out of order, {sums['unknown']} of unknown channels"
        ),
        f"clients  {verdict.away} away at the end",
        f"gateway  {verdict.tracebacks} tracebacks, ended with {[s for s in verdict.statuses if s is not None]}",
    ]
    if verdict.bot_klines is not None:
        ends = " ".join(f"{code or 'lost'}: {count}" for code, count in sorted(verdict.bot_ends.items()))
        lines.append(f"bots     {verdict.bot_klines:,} closed klines as in REST; connections ended: {ends or 'none'}")
    lines += [f"         {example}" for example in verdict.examples[:8]]
    lines.append(f"{'ok  ' if verdict.ok else 'FAIL'}     seed {seed}")
    return "\n".join(lines)
