"""The address of a replay: from when, until when and how fast, as parts of a stream's path. Pure.

`/replay/FROM/SPEEDx/…` or `/replay/FROM/TO/SPEEDx/…`, and then the path of the stream as on the live gateway. In the
path and not in a query, because every client has a setting for its base URL, which it puts its own path and query
behind; a query in it would be lost, or torn apart.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

ROOT = "/replay"

SPEED_MIN, SPEED_MAX = 1, 1000

FORM = f"{ROOT}/FROM/SPEEDx/… or {ROOT}/FROM/TO/SPEEDx/…"

SHOWN = 40
"""Characters of a wrong part that an error repeats."""

_is_speed = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)x").fullmatch
# Fewer digits are seconds, or a date without hyphens. 0 is the beginning of what is stored.
_is_ms = re.compile(r"0|[0-9]{12,15}").fullmatch


class AddressError(Exception):
    """The path is no address of a replay; the message says what is expected."""


class ReplayAddress(NamedTuple):
    """What a client asks for. Times in ms since the epoch; they are the market's."""

    from_ms: int
    to_ms: int | None
    """Where it ends; `None`: at the present."""
    speed: float
    """How many times as fast as it happened."""
    stream: str
    """The rest of the path, which names the stream as on the live gateway; it begins with a slash."""


def parse(path: str, now_ms: int) -> ReplayAddress:
    """The address in a path below `ROOT`, without the first slash. `now_ms`: the present, by the market's time.

    Raises `AddressError`.
    """
    times, speed, stream = _parts(path)
    if not SPEED_MIN <= speed <= SPEED_MAX:
        raise AddressError(f"Speed {speed:g} is out of range: expected {SPEED_MIN}x to {SPEED_MAX}x.")
    from_ms, *ends = map(_time_ms, times)
    to_ms = ends[0] if ends else None
    if from_ms >= now_ms:
        raise AddressError(f"{times[0]} is in the future: a replay begins in the past.")
    if to_ms is not None and to_ms <= from_ms:
        raise AddressError(f"The end {times[1]} is not after the beginning {times[0]}.")
    return ReplayAddress(from_ms, to_ms, speed, stream)


def _parts(path: str) -> tuple[list[str], float, str]:
    """The times, the speed, and what follows."""
    parts = path.split("/")
    for place in (1, 2):
        if place < len(parts) and (speed := _is_speed(parts[place])):
            return parts[:place], float(speed[1]), "/" + "/".join(parts[place + 1 :])
    raise AddressError(f"Expected {FORM}, with a speed such as 60x.")


def _time_ms(text: str) -> int:
    if _is_ms(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
        at_ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        at_ms = -1
    if at_ms < 0 or text.isdecimal():
        expected = "expected milliseconds since the epoch, or a time such as 2026-10-01T00:00:00Z"
        raise AddressError(f"{text[:SHOWN]!r} is no time: {expected}.")
    return at_ms
