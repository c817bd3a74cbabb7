"""The load levels of a run, from the gateway's log. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from loadtest.report.result import LoadChange

if TYPE_CHECKING:
    from collections.abc import Iterable

NORMAL = "normal"

_CHANGE = re.compile(r"^(\S+) \w+ \S+ load level (\w+) \(was \w+\)(?: because (.+))?$")


def load_changes(log: Iterable[str]) -> list[LoadChange]:
    """Every change of the load level in the lines of a log."""
    found = filter(None, map(_CHANGE.match, log))
    return [LoadChange(datetime.fromisoformat(match[1]).timestamp(), match[2], match[3] or "") for match in found]


def recovery_s(changes: Iterable[LoadChange], ended_s: float, closed_s: float) -> float:
    """Seconds from `ended_s`, when the load ended, until the level was normal for good; at most until `closed_s`."""
    level, at_s = NORMAL, ended_s
    for change in changes:
        level, at_s = change.level, change.at_s
    return max(0.0, (at_s if level == NORMAL else closed_s) - ended_s)
