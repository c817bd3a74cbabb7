"""The rows of the table: which scenarios are compared, and what is changed in them for each kind of server. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from loadtest.scenario import Expect, Phase, Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

PHASE = "measured"
FAST = " (bots)"
"""Ends the label of the line that has the latencies of clients in the fast lane."""

_WARM_UP_S = 2.0
_DRAIN_S = 0.2


class RowError(Exception):
    """There is no such row."""


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario, and what the table calls it."""

    scenario: str
    label: str


ROWS = (
    Row("few_clients", "20 x 10 x 5/s"),
    Row("shared_watchlist", "200 x 100 x 5/s"),
    Row("one_symbol_each", "1,000 x 1 x 50/s"),
    Row("mission", "1,000 x 100 x 10/s"),
    Row("nothing_shared", "2,400 x own 1 x 10/s"),
    Row("encrypted", "200 x 100 x 5/s, TLS"),
    Row("fast_lane", "mission + 100 bots"),
)


def choose(names: Sequence[str]) -> list[Row]:
    """The rows of these scenarios, in the order of the table; all of them without names. Raises `RowError`."""
    known = {row.scenario for row in ROWS}
    if unknown := [name for name in names if name not in known]:
        raise RowError(f"no row {unknown[0]}; there are {' '.join(row.scenario for row in ROWS)}")
    return [row for row in ROWS if not names or row.scenario in names]


def for_server(scenario: Scenario, seconds: float, dialect: str | None) -> Scenario:
    """The scenario with one phase of so many seconds, nothing judged; `dialect`: what clients speak instead."""
    clients = scenario.clients if dialect is None else replace(scenario.clients, dialect=dialect)
    return replace(
        scenario,
        clients=clients,
        phases=(Phase(name=PHASE, seconds=seconds),),
        warm_up_s=_WARM_UP_S,
        drain_s=_DRAIN_S,
        baseline=False,
        expect=Expect(),
    )


def rotated(items: Sequence[T], turns: int) -> list[T]:
    """The items, beginning with another one each turn."""
    start = turns % len(items) if items else 0
    return [*items[start:], *items[:start]]
