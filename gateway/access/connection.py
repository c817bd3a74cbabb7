"""What one connection may do: its address group, its grant, its message rates, and how long it may stay. Pure.

Costs nothing while the client sends nothing; the gateway's own writes never pass here.
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


IDLE_CHECK_S = 5.0
"""How often it is checked whether the place of a connection that may be idle is needed."""


class Verdict(Enum):
    """What to do with a message."""

    PASS = "pass"
    REFUSE = "refuse"
    """Over the rate limit: reply with an error and do not run the command."""
    DISCONNECT = "disconnect"
    """The client does not stop: close the connection."""


class Closable(Protocol):
    """A socket that can be closed for a reason."""

    def close(self, reason: Close) -> None: ...


class ConnectionLimits:
    """Rates and deadlines of every connection whose token sets none of its own; made once from the settings."""

    def __init__(self, limits: LimitsConfig, auth_within_s: float) -> None:
        self.messages = Rate.per_second(limits.messages_per_s, limits.messages_burst)
        self.channels = Rate.per_second(limits.channels_per_s, limits.channels_burst)
        self.rows = Rate.per_second(limits.history_rows_per_s, limits.history_rows_burst)
        self.first_subscribe_s = limits.first_subscribe_s
        self.auth_within_s = auth_within_s


class ConnectionAccess:
    """One connection from its handshake to its end. Bucket levels outlive a change of token."""

    __slots__ = (
        "_channels_us",
        "_excess_us",
        "_limits",
        "_messages",
        "_messages_us",
        "_open",
        "_rows_us",
        "connected_s",
        "exempt",
        "grant",
        "group",
        "may_idle",
        "released",
        "socket",
        "subscribed",
    )

    def __init__(
        self,
        group: str,
        limits: ConnectionLimits,
        now_s: float,
        *,
        open: bool = True,
        exempt: bool = False,
        may_idle: bool = False,
    ) -> None:
        """`open`: no token is required. `exempt`: rates and deadlines (but not the token's end) do not apply.
        `may_idle`: clients of its dialect connect first and may subscribe minutes later."""
        self.group = group
        self.exempt = exempt
        self.may_idle = may_idle
        self.connected_s = now_s
        self.grant: Grant | None = None
        self.socket: Closable | None = None
        self.subscribed = False
        self.released = False
        self._open = open
        self._limits = limits
        self._messages = limits.messages
        self._messages_us = self._channels_us = self._rows_us = self._excess_us = 0

    @property
    def authorized(self) -> bool:
        """Whether it may request data: no token is required, or it has presented one."""
        return self._open or self.grant is not None

    def set_grant(self, grant: Grant, now_us: int) -> None:
        """Replace the grant, and the message rate with the grant's."""
        self.grant = grant
        previous, default = self._messages, self._limits.messages
        self._messages = (
            default if grant.messages_per_s is None else Rate.per_second(grant.messages_per_s, default.burst)
        )
        # The bucket keeps its level: as many messages are missing as before, at the new time per message.
        missing_us = max(0, self._messages_us - now_us)
        self._messages_us = now_us + missing_us * self._messages.interval_us // previous.interval_us

    def allows(self, channel: str) -> bool:
        """Whether the grant covers a channel."""
        return self.grant is None or self.grant.allows(channel)

    def take_message(self, now_us: int) -> Verdict:
        """Count one message from the client, whatever it contains."""
        if self.exempt:
            return Verdict.PASS
        taken = take(self._messages_us, now_us, self._messages)
        self._messages_us = taken.full_us
        return self._excess(now_us) if taken.wait_us else Verdict.PASS

    def take_channels(self, count: int, now_us: int) -> Verdict:
        """Count channels to be added or removed: each is work for the hub, however few messages name them."""
        if self.exempt:
            return Verdict.PASS
        taken = take(self._channels_us, now_us, self._limits.channels, count)
        self._channels_us = taken.full_us
        return self._excess(now_us) if taken.wait_us else Verdict.PASS

    def take_rows(self, count: int, now_us: int) -> Verdict:
        """Count closed klines of the past that are asked for: each is work for the store, the loop and the network."""
        if self.exempt:
            return Verdict.PASS
        taken = take(self._rows_us, now_us, self._limits.rows, count)
        self._rows_us = taken.full_us
        return self._excess(now_us) if taken.wait_us else Verdict.PASS

    def close_reason(self, now_s: float, wall_s: float, *, scarce: bool = True) -> Close | None:
        """Why the connection has to be closed now, if it has to. `now_s`: monotonic; `wall_s`: since the epoch;
        `scarce`: whether others may need its place."""
        if not self.authorized and now_s >= self.connected_s + self._limits.auth_within_s:
            return Close.UNAUTHORIZED
        if self.grant is not None and wall_s >= self.grant.expires_s:
            return Close.TOKEN_EXPIRED
        if self._awaits_subscription and (scarce or not self.may_idle) and now_s >= self._subscribe_until_s:
            return Close.NO_SUBSCRIPTION
        return None

    def next_check_s(self, now_s: float, wall_s: float) -> float:
        """Monotonic time at which `close_reason` may change; infinite when it cannot."""
        times = [math.inf]
        if not self.authorized:
            times.append(self.connected_s + self._limits.auth_within_s)
        if self.grant is not None:
            times.append(now_s + self.grant.expires_s - wall_s)
        if self._awaits_subscription:
            deadline_s = self._subscribe_until_s
            times.append(max(deadline_s, now_s + IDLE_CHECK_S) if self.may_idle else deadline_s)
        return min(times)

    @property
    def _awaits_subscription(self) -> bool:
        return not self.subscribed and not self.exempt

    @property
    def _subscribe_until_s(self) -> float:
        return self.connected_s + self._limits.first_subscribe_s

    def _excess(self, now_us: int) -> Verdict:
        """Error replies cost work too: as many are sent as messages may be, then the connection is closed."""
        taken = take(self._excess_us, now_us, self._limits.messages)
        self._excess_us = taken.full_us
        return Verdict.DISCONNECT if taken.wait_us else Verdict.REFUSE
