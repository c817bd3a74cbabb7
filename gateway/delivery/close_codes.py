"""Why a connection ends: WebSocket close codes (RFC 6455 section 7.4.1; 4000-4999 are ours), and what to do next."""

from __future__ import annotations

from enum import Enum

NO_STATUS = 1005
"""A close frame without a code; never sent (RFC 6455, section 7.1.5)."""
ABNORMAL = 1006
"""The connection ended without a close frame; never sent (section 7.1.5)."""


class Close(Enum):
    """`code`, `reason`, and whether reconnecting makes sense. The table in PROTOCOL.md lists the same."""

    PROTOCOL_ERROR = (1002, "protocol error", False)
    UNSUPPORTED = (1003, "commands are text", False)
    BAD_PAYLOAD = (1007, "text is not UTF-8", False)
    POLICY = (1008, "policy", False)
    TOO_BIG = (1009, "message too big", False)
    INTERNAL = (1011, "internal error", True)
    RESTART = (1012, "restart", True)
    OVERLOADED = (1013, "try again later", True)
    SLOW = (4000, "slow client", True)
    NO_PONG = (4001, "no answer to pings", True)
    RATE_LIMIT = (4002, "too many messages", False)
    NO_SUBSCRIPTION = (4003, "no subscription in time", True)
    UNAUTHORIZED = (4004, "no valid token", False)
    TOKEN_EXPIRED = (4005, "token expired", True)
    MISSED = (4006, "a closed kline cannot be sent in order: read klines again", True)
    ENDED = (4007, "the replay has ended", False)

    def __init__(self, code: int, reason: str, reconnect: bool) -> None:
        self.code = code
        self.reason = reason
        self.reconnect = reconnect
