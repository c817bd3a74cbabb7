"""One connection as the door sees it: where from, with which token, what it may still say, and until when it may stay.

Pure; costs nothing while the client is silent, and nothing at all when the gateway writes.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from gateway.access.token_bucket import Rate, take
from gateway.delivery.close_codes import Close

if TYPE_CHECKING:
    from gateway.access.grants import Grant
    from gateway.config import LimitsConfig


class Verdict(Enum):
    PASS = "pass"
    WAIT = "wait"
    """Too much: answered with an error, not obeyed."""
    CUT = "cut"
    """It goes on all the same: the connection ends."""


class Closable(Protocol):
    def close(self, reason: Close) -> None: ...


class Allowances:
    """What every visitor without a token of its own rates may say; made once from the settings."""

    def __init__(self, limits: LimitsConfig, auth_within_s: float) -> None:
        self.messages = Rate.per_second(limits.messages_per_s, limits.messages_burst)
        self.channels = Rate.per_second(limits.channels_per_s, limits.channels_burst)
        self.first_subscribe_s = limits.first_subscribe_s
        self.auth_within_s = auth_within_s


class ConnectionAccess:
    __slots__ = (
        "_allowances",
        "_channels_us",
        "_excess_us",
        "_messages",
        "_messages_us",
        "_open",
        "entered_s",
        "exempt",
        "gone",
        "grant",
        "group",
        "socket",
        "subscribed",
    )

    def __init__(
        self, group: str, allowances: Allowances, now_s: float, *, open: bool = True, exempt: bool = False
    ) -> None:
        """`open`: it may stay without a token. `exempt`: rates and times are not counted for it."""
        self.group = group
        self.exempt = exempt
        self.entered_s = now_s
        self.grant: Grant | None = None
        self.socket: Closable | None = None
        self.subscribed = False
        self.gone = False
        self._open = open
        self._allowances = allowances
        self._messages = allowances.messages
        self._messages_us = self._channels_us = self._excess_us = 0

    @property
    def admitted(self) -> bool:
        """Whether it may ask for data: nobody needs a token here, or it has shown one."""
        return self._open or self.grant is not None

    def show(self, grant: Grant, now_us: int) -> None:
        """It has shown a token, its first one or one that takes the place of it."""
        self.grant = grant
        before, own = self._messages, self._allowances.messages
        self._messages = own if grant.messages_per_s is None else Rate.per_second(grant.messages_per_s, own.burst)
        # As many as were missing in the bucket are missing still, however long each takes to come back.
        missing_us = max(0, self._messages_us - now_us)
        self._messages_us = now_us + missing_us * self._messages.interval_us // before.interval_us

    def allows(self, channel: str) -> bool:
        return self.grant is None or self.grant.allows(channel)

    def said(self, now_us: int) -> Verdict:
        """A message has come: one token, whatever it lists."""
        if self.exempt:
            return Verdict.PASS
        taken = take(self._messages_us, now_us, self._messages)
        self._messages_us = taken.full_us
        return self._excessive(now_us) if taken.wait_us else Verdict.PASS

    def listed(self, channels: int, now_us: int) -> Verdict:
        """It wants so many channels added or removed: each is work for the hub, however few messages name them."""
        if self.exempt:
            return Verdict.PASS
        taken = take(self._channels_us, now_us, self._allowances.channels, channels)
        self._channels_us = taken.full_us
        return self._excessive(now_us) if taken.wait_us else Verdict.PASS

    def overdue(self, now_s: float, wall_s: float) -> Close | None:
        """Why it has to go now, if it does. `now_s`: monotonic; `wall_s`: since the epoch."""
        if not self.admitted and now_s >= self.entered_s + self._allowances.auth_within_s:
            return Close.UNAUTHORIZED
        if self.grant is not None and wall_s >= self.grant.expires_s:
            return Close.TOKEN_EXPIRED
        if not self.subscribed and not self.exempt and now_s >= self.entered_s + self._allowances.first_subscribe_s:
            return Close.NO_SUBSCRIPTION
        return None

    def next_check_s(self, now_s: float, wall_s: float) -> float:
        """When `overdue` may have another answer, on the monotonic clock; infinite when never."""
        times = [math.inf]
        if not self.admitted:
            times.append(self.entered_s + self._allowances.auth_within_s)
        if self.grant is not None:
            times.append(now_s + self.grant.expires_s - wall_s)
        if not self.subscribed and not self.exempt:
            times.append(self.entered_s + self._allowances.first_subscribe_s)
        return min(times)

    def _excessive(self, now_us: int) -> Verdict:
        """Refusals are answers, and cost too: there are as many of them as of messages, then it is over."""
        taken = take(self._excess_us, now_us, self._allowances.messages)
        self._excess_us = taken.full_us
        return Verdict.CUT if taken.wait_us else Verdict.WAIT
