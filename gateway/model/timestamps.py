"""Times as collectors write them -> ms since the epoch. Pure.

The contract says ms; collectors also write seconds, microseconds, nanoseconds, floats and ISO 8601 text. Between 2001
and 5138 the magnitude of a number tells its unit.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_TEXT_MAX = 40

_number = re.compile(r"[0-9]{10,20}(?:\.[0-9]{0,12})?").fullmatch

# Digits before the point, and what makes ms of the number.
_MS_BY_DIGITS = {10: 1_000.0, 11: 1_000.0, 13: 1.0, 14: 1.0, 16: 0.001, 17: 0.001, 19: 0.000_001, 20: 0.000_001}


def time_of(text: bytes | str | None) -> int | None:
    """Ms since the epoch; `None` for what is no time, or whose unit the magnitude does not tell."""
    if text is None or len(text) > _TEXT_MAX:
        return None
    try:
        plain = text if isinstance(text, str) else text.decode("ascii")
    except UnicodeDecodeError:
        return None
    if found := _number(plain):
        whole, _, fraction = found[0].partition(".")
        factor = _MS_BY_DIGITS.get(len(whole))
        if factor is None:
            return None
        if factor == 1.0:
            return int(whole)
        return int(whole) * 1000 + int((fraction + "000")[:3]) if factor > 1 else int(int(whole) * factor)
    try:
        moment = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
