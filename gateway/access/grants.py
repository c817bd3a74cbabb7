"""What a token gives: whose it is, until when, which channels, which rates. Made from claims that are verified."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

PATTERNS_MAX = 256
TIME_MAX_S = 1e12
"""Claims are integers of any size; later than this is never."""


class TokenRefused(Exception):
    """The token opens nothing. `reason` is a word for the metrics; neither says anything of the token's text."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Grant(NamedTuple):
    subject: str
    """Whose token it is: connections are counted by it."""
    expires_s: float = math.inf
    """Seconds since the epoch."""
    channels: re.Pattern[str] | None = None
    """Names of channels it is good for; None: all."""
    messages_per_s: float | None = None
    http_per_min: float | None = None
    id: str = ""
    """`jti`, by which it can be revoked."""

    @property
    def expires_ms(self) -> int | None:
        return None if self.expires_s == math.inf else round(self.expires_s * 1000)

    def allows(self, channel: str) -> bool:
        return self.channels is None or self.channels.fullmatch(channel) is not None


def grant_of(claims: Mapping[str, Any], leeway_s: float = 0.0) -> Grant:
    """`leeway_s`: how much later it ends here, as clocks differ.

    Raises `TokenRefused` for claims of the wrong type: what restricts must not be passed over where it is misspelt.
    """
    subject, id = claims.get("sub"), claims.get("jti", "")
    if not isinstance(subject, str) or not subject or not isinstance(id, str):
        raise TokenRefused("claims", "the token needs a sub")
    return Grant(
        f"jwt:{subject}",
        min(claims["exp"], TIME_MAX_S) + leeway_s,
        _patterns(claims["channels"]) if "channels" in claims else None,
        _rate(claims, "messages_per_s"),
        _rate(claims, "http_per_min"),
        id,
    )


def _patterns(texts: object) -> re.Pattern[str]:
    """`kline:BTC*:1m`: a star stands for anything."""
    if not isinstance(texts, list) or len(texts) > PATTERNS_MAX or not all(isinstance(text, str) for text in texts):
        raise TokenRefused("claims", f"channels must be a list of at most {PATTERNS_MAX} patterns")
    # Of several stars in a row, one says the same and cannot make matching slow.
    escaped = (re.escape(re.sub(r"\*+", "*", text)).replace(r"\*", ".*") for text in texts)
    return re.compile("|".join(escaped) or "(?!)", re.DOTALL)


def _rate(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise TokenRefused("claims", f"{name} must be a number above 0")
    return float(value)
