"""Which rows of a series are closed, where the rows do not say. Pure.

- The row with the latest open time is forming. It is closed when a row with a later one comes, in the last state that
  came of it; so its close reaches clients with the first trade of the next kline.
- Where messages may have been missed, the last known state may not be the last there was: then the row is left to what
  is stored (`FormatSink` begins a new series).
- A stored row is closed when a later one is stored too, or when the interval after its own has ended as well: where
  nothing is traded there may be no later row for long.
- A row whose time is impossible is passed on as it is, to be refused and counted, and changes nothing here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from gateway.feed.formats.rows import CLOSED, rows_of
from gateway.feed.formats.times import open_time_of
from gateway.model.feed_error import FeedError
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Iterable

# A single row: its open time is found without parsing all of it.
_single = re.compile(rb"\s*\[\s*\"?([0-9]{10,20})\"?\s*,[^\[\]]*\]\s*").fullmatch


class RowSeries:
    """Takes the payloads of one series in their order. Holds the rows of the last payload, and the forming one."""

    __slots__ = ("_interval", "_newest_ms", "_sent")

    def __init__(self, interval: str) -> None:
        self._interval = interval
        self._newest_ms = 0
        # Open time -> the row as it was last passed on, and whether it was closed.
        self._sent: dict[int, tuple[bytes, bool]] = {}

    def take(self, payload: bytes, limit_ms: float) -> list[bytes]:
        """The rows of a payload that say something new, ascending, each marked where it is closed.

        `limit_ms`: the latest time that is plausible. What cannot be read is returned as it is.
        """
        rows, passed_on = timed_rows(payload, self._interval, limit_ms)
        if not rows:
            return passed_on
        if self._newest_ms:
            rows.setdefault(self._newest_ms, self._sent[self._newest_ms][0])
        self._newest_ms = max(rows)
        sent = {open_time_ms: (row, open_time_ms < self._newest_ms) for open_time_ms, row in rows.items()}
        for open_time_ms in sorted(sent):
            row, closed = sent[open_time_ms]
            if self._sent.get(open_time_ms) != (row, closed):
                passed_on.append(marked(row) if closed else row)
        self._sent = sent
        return passed_on


def stored_rows(members: Iterable[bytes], interval: str, limit_ms: float, now_ms: float) -> list[bytes]:
    """The rows of a sorted set's members, which are a part of a series, each marked where it is closed.

    `limit_ms`: the latest time that is plausible; `now_ms`: what time it is by the feed.
    """
    span = INTERVALS[interval]
    found: list[tuple[int, bytes]] = []
    kept: list[bytes] = []
    for member in members:
        rows, refused = timed_rows(member, interval, limit_ms)
        found += rows.items()
        kept += refused
    newest_ms = max((open_time_ms for open_time_ms, _ in found), default=0)
    for open_time_ms, row in found:
        closed = open_time_ms < newest_ms or span.next_open(span.next_open(open_time_ms)) <= now_ms
        kept.append(marked(row) if closed else row)
    return kept


def timed_rows(payload: bytes, interval: str, limit_ms: float) -> tuple[dict[int, bytes], list[bytes]]:
    """The rows of a payload by open time, and those without a plausible one: the payload itself if it has no rows."""
    if found := _single(payload):
        pairs: list[tuple[object, bytes]] = [(found[1], payload)]
    else:
        try:
            pairs = [(row[0], json.dumps(row, separators=(",", ":")).encode()) for row in rows_of(payload)]
        except FeedError:
            return {}, [payload]
    rows: dict[int, bytes] = {}
    refused: list[bytes] = []
    for time, row in pairs:
        try:
            open_time_ms = open_time_of(time, interval)
        except FeedError:
            open_time_ms = 0
        if 0 < open_time_ms <= limit_ms:
            rows[open_time_ms] = row
        else:
            refused.append(row)
    return rows, refused


def marked(row: bytes) -> bytes:
    """A row that is closed, as `RowPayload` reads it."""
    return CLOSED + row + b"}"
