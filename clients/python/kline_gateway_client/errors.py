"""What can go wrong, as exceptions that carry the gateway's codes. Pure; they hold plain values only."""

from __future__ import annotations


class GatewayError(Exception):
    """`code` is the gateway's (see PROTOCOL.md), or one of the classes' own. `temporary`: trying again may help."""

    code = "ERROR"
    temporary = False

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code or self.code

    def __str__(self) -> str:
        return f"{self.code}: {super().__str__()}"


class InvalidSymbol(GatewayError):
    code = "INVALID_SYMBOL"


class InvalidInterval(GatewayError):
    code = "INVALID_INTERVAL"


class TooManySubscriptions(GatewayError):
    code = "TOO_MANY_SUBSCRIPTIONS"


class Unauthorized(GatewayError):
    """A token is needed, or this one does not hold."""

    code = "UNAUTHORIZED"


class Forbidden(GatewayError):
    """The token is not for this."""

    code = "FORBIDDEN"


class RateLimited(GatewayError):
    code = "RATE_LIMIT"
    temporary = True


class Unavailable(GatewayError):
    """The gateway is there, what it serves is out of its reach just now."""

    code = "UNAVAILABLE"
    temporary = True


class Unreachable(GatewayError):
    """No answer, or one that is not the gateway's."""

    code = "UNREACHABLE"
    temporary = True


class Refused(GatewayError):
    """The gateway does not want this client back: it closed with a code that says so, or speaks another protocol."""

    code = "REFUSED"


class MissedBars(GatewayError):
    """Closed klines of one series that cannot be had any more: those that open between the two times, both excluded.

    The stream it comes from goes on behind them.
    """

    code = "MISSED_BARS"

    def __init__(self, symbol: str, interval: str, after_ms: int, before_ms: int) -> None:
        super().__init__(f"{symbol} {interval}: bars that open between {after_ms} and {before_ms} are gone")
        self.symbol = symbol
        self.interval = interval
        self.after_ms = after_ms
        self.before_ms = before_ms


class BadMessage(Exception):
    """The gateway, or something in between, said what the protocol does not allow. The client connects anew."""


_KINDS: tuple[type[GatewayError], ...] = (
    InvalidSymbol,
    InvalidInterval,
    TooManySubscriptions,
    Unauthorized,
    Forbidden,
    RateLimited,
    Unavailable,
)
_BY_CODE = {kind.code: kind for kind in _KINDS} | {"REDIS_ERROR": Unavailable, "INTERNAL": Unavailable}


def error_of(code: str, message: str) -> GatewayError:
    """The exception for a code of the gateway; a code that is not known here is a plain `GatewayError`."""
    return _BY_CODE.get(code, GatewayError)(message, code)
