"""What can go wrong, as exceptions that carry the gateway's error codes. Pure; they hold plain values only."""

from __future__ import annotations


class GatewayError(Exception):
    """An error of the gateway or of the connection to it.

    `code` is the gateway's (see PROTOCOL.md) or the class's own. `temporary`: a retry may succeed.
    """

    code = "ERROR"
    temporary = False

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code or self.code

    def __str__(self) -> str:
        return f"{self.code}: {super().__str__()}"


class InvalidSymbol(GatewayError):
    """The gateway does not serve this symbol."""

    code = "INVALID_SYMBOL"


class InvalidInterval(GatewayError):
    """The gateway does not serve this interval, or there is none of this name."""

    code = "INVALID_INTERVAL"


class TooManySubscriptions(GatewayError):
    """The connection has as many channels as the gateway allows."""

    code = "TOO_MANY_SUBSCRIPTIONS"


class Unauthorized(GatewayError):
    """A token is required, or this one is not valid."""

    code = "UNAUTHORIZED"


class Forbidden(GatewayError):
    """The token does not permit this."""

    code = "FORBIDDEN"


class RateLimited(GatewayError):
    """Too many requests; retry later."""

    code = "RATE_LIMIT"
    temporary = True


class Unavailable(GatewayError):
    """The gateway runs, but cannot read what was asked for; retry later."""

    code = "UNAVAILABLE"
    temporary = True


class Unreachable(GatewayError):
    """There was no answer, or one that is not the gateway's."""

    code = "UNREACHABLE"
    temporary = True


class Refused(GatewayError):
    """The gateway closed with a code that forbids reconnecting, or speaks another version of the protocol."""

    code = "REFUSED"


class MissedKlines(GatewayError):
    """Closed klines of one series that can no longer be read: those that open between two times, both excluded.

    `after_ms` and `before_ms` are those times in ms since the epoch. The stream that raises it continues behind them.
    """

    # The code keeps the name that the class had first: programs may compare it.
    code = "MISSED_BARS"

    def __init__(self, symbol: str, interval: str, after_ms: int, before_ms: int) -> None:
        super().__init__(f"{symbol} {interval}: klines that open between {after_ms} and {before_ms} are not available")
        self.symbol = symbol
        self.interval = interval
        self.after_ms = after_ms
        self.before_ms = before_ms


MissedBars = MissedKlines
"""The former name of `MissedKlines`, kept for one release."""


class BadMessage(Exception):
    """A message that the protocol does not allow. The client drops the connection and makes a new one."""


_CLASSES: tuple[type[GatewayError], ...] = (
    InvalidSymbol,
    InvalidInterval,
    TooManySubscriptions,
    Unauthorized,
    Forbidden,
    RateLimited,
    Unavailable,
)
_BY_CODE = {kind.code: kind for kind in _CLASSES} | {"REDIS_ERROR": Unavailable, "INTERNAL": Unavailable}


def error_of(code: str, message: str) -> GatewayError:
    """The exception for an error code of the gateway; for an unknown code a plain `GatewayError`."""
    return _BY_CODE.get(code, GatewayError)(message, code)
