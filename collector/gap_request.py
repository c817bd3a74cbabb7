"""What a gateway asks for: klines that neither it nor Redis has. Pure.

A message has a line for each series: JSON `{symbol, interval, start, end}` with the open times (ms) of the first and
the last kline that are missing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from collector.events import HISTORY_KLINES
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Container

LINES_MAX = 1000
"""Lines of a message that are read."""

_LINE_MAX_BYTES = 1000


class GapRequest(NamedTuple):
    """Open times, both included."""

    symbol: str
    interval: str
    start_ms: int
    end_ms: int

    def open_times(self) -> list[int]:
        """Of all the klines that are asked for."""
        interval, times = INTERVALS[self.interval], [self.start_ms]
        while (following := interval.next_open(times[-1])) <= self.end_ms:
            times.append(following)
        return times


class Refused(ValueError):
    """No request; the text is the reason, in one word."""


def lines_of(payload: bytes) -> list[bytes]:
    """The lines of a message."""
    return [line for line in payload.split(b"\n", LINES_MAX)[:LINES_MAX] if line]


def parse(line: bytes, followed: Container[tuple[str, str]], now_ms: int) -> GapRequest:
    """One line; raises `Refused`. `followed`: the series that are collected. `now_ms`: the exchange's clock."""
    try:
        found = json.loads(line) if len(line) <= _LINE_MAX_BYTES else None
    except ValueError as error:
        raise Refused("malformed") from error
    if not isinstance(found, dict):
        raise Refused("malformed")
    symbol, interval, start_ms, end_ms = (found.get(name) for name in ("symbol", "interval", "start", "end"))
    if not (isinstance(symbol, str) and isinstance(interval, str) and isinstance(start_ms, int)):
        raise Refused("malformed")
    if not isinstance(end_ms, int):
        raise Refused("malformed")
    if (symbol, interval) not in followed:
        raise Refused("not_followed")
    span = INTERVALS[interval]
    oldest_ms = span.back(span.open_time(now_ms), HISTORY_KLINES)
    if not oldest_ms <= start_ms <= end_ms < now_ms or span.open_time(start_ms) != start_ms:
        raise Refused("impossible_time")
    return GapRequest(symbol, interval, start_ms, end_ms)
