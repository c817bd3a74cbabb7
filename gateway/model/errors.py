"""The one table of error codes: what clients of every dialect are told went wrong. Pure; dialects map from it."""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """An error code: its name is what clients read in `code`; PROTOCOL.md and openapi.json list the same codes."""

    http_status: int
    """HTTP status that goes with it (RFC 9110, section 15)."""
    message: str
    """Text for people, unless the place that raises the error knows a more exact one."""

    BAD_JSON = "BAD_JSON", 400, "The text is not valid JSON."
    BAD_REQUEST = "BAD_REQUEST", 400, "The request is invalid."
    NOT_FOUND = "NOT_FOUND", 404, "There is nothing at this path."
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED", 405, "This path does not take this method."
    UNKNOWN_OP = "UNKNOWN_OP", 400, "Unknown op."
    INVALID_CHANNEL = "INVALID_CHANNEL", 400, "Expected ticker:SYMBOL or kline:SYMBOL:INTERVAL."
    INVALID_SYMBOL = "INVALID_SYMBOL", 400, "Unknown symbol."
    INVALID_INTERVAL = "INVALID_INTERVAL", 400, "Unsupported interval."
    TOO_MANY_SUBSCRIPTIONS = "TOO_MANY_SUBSCRIPTIONS", 400, "Too many subscriptions."
    RATE_LIMIT = "RATE_LIMIT", 429, "Too many requests; slow down."
    UNAUTHORIZED = "UNAUTHORIZED", 401, "A valid token is required."
    FORBIDDEN = "FORBIDDEN", 403, "The token does not permit this."
    OVERLOADED = "OVERLOADED", 503, "The gateway is overloaded; retry later."
    UNAVAILABLE = "UNAVAILABLE", 503, "History is temporarily unavailable; retry later."
    REDIS_ERROR = "REDIS_ERROR", 503, "History is temporarily unavailable; retry later."
    INTERNAL = "INTERNAL", 500, "Internal error."

    def __new__(cls, code: str, http_status: int, message: str) -> ErrorCode:
        member = str.__new__(cls, code)
        member._value_ = code
        member.http_status = http_status
        member.message = message
        return member


_HTTP_ALONE = (
    *(ErrorCode.NOT_FOUND, ErrorCode.METHOD_NOT_ALLOWED),
    *(ErrorCode.OVERLOADED, ErrorCode.REDIS_ERROR, ErrorCode.INTERNAL),
)
STREAM_CODES = tuple(code for code in ErrorCode if code not in _HTTP_ALONE)
"""Codes in the `error` messages of the native stream, in the order of the table."""
