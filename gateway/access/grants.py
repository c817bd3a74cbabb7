"""What a token permits: its owner, its end, channels and rates, made from verified claims; and single use of tokens.

Pure. Never contains or reveals a token's text.
"""

from __future__ import annotations

import heapq
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

PATTERNS_MAX = 256
TEXT_MAX = 256
"""Characters of `sub` and `jti`: they become keys of counters."""
RATES = (0.001, 1_000_000.0)
"""Between these a rate is one that somebody can have meant, and arithmetic on it stays exact."""
TIME_MAX_S = 1e12
"""Claims are integers of any size; later than this counts as this."""


class TokenRefused(Exception):
    """The token is not accepted. `reason` is a label for the metrics, `message` a text for the client.

    `foreign`: nothing says that it is a token of this gateway. Other services' tokens are sent along by many clients.
    """

    def __init__(self, reason: str, message: str, *, foreign: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.foreign = foreign


class Grant(NamedTuple):
    """What a verified token permits."""

    subject: str
    """The token's owner: connections are counted by it."""
    expires_s: float = math.inf
    """Seconds since the epoch."""
    channels: re.Pattern[str] | None = None
    """Names of the channels it covers; None: all."""
    messages_per_s: float | None = None
    http_per_min: float | None = None
    fast: bool = False
    """Whether it covers the fast tier, where tokens do (`stream.fast_for`)."""
    replay: bool = False
    """Whether it covers replays, where tokens are required."""
    id: str = ""
    """`jti` (RFC 7519, section 4.1.7), by which it can be revoked."""

    @property
    def expires_ms(self) -> int | None:
        """Milliseconds since the epoch; None for never."""
        return None if self.expires_s == math.inf else round(self.expires_s * 1000)

    def allows(self, channel: str) -> bool:
        """Whether the token covers a channel, by its native name."""
        return self.channels is None or self.channels.fullmatch(channel) is not None


def grant_of(claims: Mapping[str, Any], leeway_s: float = 0.0) -> Grant:
    """The grant that verified claims describe. `leeway_s`: how much later it ends here, as clocks differ.

    Raises `TokenRefused` for claims of the wrong type: a misspelt restriction must not be ignored.
    """
    subject, id = claims.get("sub"), claims.get("jti", "")
    if not _is_text(subject) or not subject or not _is_text(id):
        raise TokenRefused("claims", f"sub and jti must be texts of at most {TEXT_MAX} characters, sub not empty.")
    expires_s: Any = claims.get("exp")
    if type(expires_s) not in (int, float) or not expires_s >= -TIME_MAX_S:
        raise TokenRefused("claims", "exp must be a number of seconds since the epoch.")
    fast, replay = claims.get("fast", False), claims.get("replay", False)
    if type(fast) is not bool or type(replay) is not bool:
        raise TokenRefused("claims", "fast and replay must be true or false.")
    return Grant(
        f"jwt:{subject}",
        min(expires_s, TIME_MAX_S) + leeway_s,
        _patterns(claims["channels"]) if "channels" in claims else None,
        _rate(claims, "messages_per_s"),
        _rate(claims, "http_per_min"),
        fast,
        replay,
        id,
    )


class SingleUseTokens:
    """Remembers by `jti`, until they expire, the tokens that have opened a connection, so that none opens a second.

    Only ids signed by an issuer get in, so an attacker cannot fill the memory. When it is full no token is accepted:
    dropping one would let it in again.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._ids: set[str] = set()
        self._by_end: list[tuple[float, str]] = []

    def check(self, grant: Grant, wall_s: float) -> None:
        """Raises `TokenRefused` for a token that has been used or has no `jti`. API keys always pass."""
        while self._by_end and self._by_end[0][0] <= wall_s:
            self._ids.discard(heapq.heappop(self._by_end)[1])
        if grant.expires_ms is None:
            return
        if not grant.id:
            raise TokenRefused("claims", "The token needs a jti claim.")
        if grant.id in self._ids:
            raise TokenRefused("replayed", "The token has already been used.")
        if len(self._ids) >= self._max_tokens:
            raise TokenRefused("replay_memory", "The gateway cannot accept more single-use tokens now; retry later.")

    def mark_used(self, grant: Grant) -> None:
        """The token has opened a connection. Call `check` before, without an `await` between the two."""
        if grant.expires_ms is not None:
            self._ids.add(grant.id)
            heapq.heappush(self._by_end, (grant.expires_s, grant.id))


def _patterns(texts: object) -> re.Pattern[str]:
    """`kline:BTC*:1m`: a star stands for any text."""
    if not isinstance(texts, list) or len(texts) > PATTERNS_MAX or not all(isinstance(text, str) for text in texts):
        raise TokenRefused("claims", f"channels must be a list of at most {PATTERNS_MAX} patterns.")
    # One star matches the same as several in a row, and several would make matching slow.
    escaped = (re.escape(re.sub(r"\*+", "*", text)).replace(r"\*", ".*") for text in texts)
    return re.compile("|".join(escaped) or "(?!)", re.DOTALL)


def _rate(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    least, most = RATES
    if type(value) not in (int, float) or not least <= value <= most:
        raise TokenRefused("claims", f"{name} must be a number from {least:g} to {most:g}.")
    return float(value)


def _is_text(value: object) -> TypeGuard[str]:
    """Whether a claim is text that can be a key and a label. JSON can carry lone surrogates, which are no text."""
    return isinstance(value, str) and len(value) <= TEXT_MAX and not re.search(r"[\ud800-\udfff\0]", value)
