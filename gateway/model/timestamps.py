"""Times as collectors write them -> ms since the epoch. Pure.

The contract says ms; collectors also write seconds, microseconds, nanoseconds, floats and ISO 8601 text. Between 2001
and 5138 the magnitude of a number tells its unit; times outside of those years are none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

TIME_MIN_MS = 10**12
TIME_MAX_MS = 10**14

_TEXT_MAX = 40

_AROUND = ' \t\r\n"'
"""May stand around a time: some collectors write its JSON text."""

_number = re.compile(r"[0-9]{10,20}(?:\.[0-9]{0,12})?").fullmatch

# What only digits can write is a number: "20261129" must not be read as a date.
_is_date = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ].*", re.ASCII).fullmatch

# Digits before the point, and what the number is multiplied with and divided by to make ms of it.
_SECONDS, _MS, _MICROSECONDS, _NANOSECONDS = (1000, 1), (1, 1), (1, 1000), (1, 10**6)
_UNITS = {
    **dict.fromkeys((10, 11), _SECONDS),
    **dict.fromkeys((13, 14), _MS),
    **dict.fromkeys((16, 17), _MICROSECONDS),
    **dict.fromkeys((19, 20), _NANOSECONDS),
}


def time_of(value: object) -> int | None:
    """Ms since the epoch of a text or number; `None` for what is no time, or whose unit the magnitude does not tell."""
    match value:
        case bool():
            return None
        case int():
            # Not every integer has a text: Python refuses to write those of thousands of digits.
            text = str(value) if 0 < value < 10**20 else ""
        case float():
            text = f"{value:.6f}"
        case bytes() if len(value) <= _TEXT_MAX:
            text = value.decode("latin-1")
        case str():
            text = value
        case _:
            return None
    found = _ms_of(text.strip(_AROUND)) if len(text) <= _TEXT_MAX else None
    return found if found is not None and TIME_MIN_MS <= found < TIME_MAX_MS else None


def _ms_of(text: str) -> int | None:
    if found := _number(text):
        whole, _, fraction = found[0].partition(".")
        if (unit := _UNITS.get(len(whole))) is None:
            return None
        fraction_ms = int((fraction + "000")[:3]) if unit is _SECONDS else 0
        return int(whole) * unit[0] // unit[1] + fraction_ms
    if not _is_date(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
