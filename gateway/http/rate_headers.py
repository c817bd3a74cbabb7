"""What an answer says about its client's allowance: `X-RateLimit-*`, and the fields of the IETF draft. Pure.

The draft is draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` names the limits, of which there are two here, how
much at once and how much in the long run; `RateLimit` says what is left of the first one.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.access.token_bucket import SECOND_US

if TYPE_CHECKING:
    from gateway.access.token_bucket import Rate, Taken

NAMES = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit", "RateLimit-Policy")
"""All of them, for pages that may read them."""

_KEYS = tuple(name.lower().encode() for name in NAMES)
_LINES = b"".join(b"%b: %%b\r\n" % key for key in _KEYS)
_MINUTE_S = 60


def rate_headers(rate: Rate, taken: Taken, now_s: float) -> list[tuple[bytes, bytes]]:
    """The headers after a request was counted. `now_s`: seconds since the epoch."""
    return list(zip(_KEYS, _values(rate, taken, now_s), strict=True))


def rate_lines(rate: Rate, taken: Taken, now_s: float) -> bytes:
    """The same as lines of HTTP/1.1."""
    return _LINES % _values(rate, taken, now_s)


def _values(rate: Rate, taken: Taken, now_s: float) -> tuple[bytes, ...]:
    full_s = taken.full_us / SECOND_US
    return (
        b"%d" % rate.burst,
        b"%d" % taken.left,
        b"%d" % math.ceil(now_s + full_s),
        b'"burst";r=%d;t=%d' % (taken.left, math.ceil(full_s)),
        _policy(rate),
    )


@lru_cache(maxsize=256)
def _policy(rate: Rate) -> bytes:
    """Both limits; a rate below one a minute is told as one in so many seconds."""
    per_minute = _MINUTE_S * SECOND_US // rate.interval_us
    count, window_s = (per_minute, _MINUTE_S) if per_minute else (1, math.ceil(rate.interval_us / SECOND_US))
    return b'"burst";q=%d, "sustained";q=%d;w=%d' % (rate.burst, count, window_s)
