"""The requests of one client of Binance's dialect: their limits, and the reply that each of them gets.

What a request does is its owner's business: a client of the live market or of a replay.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.access.connection import Verdict
from gateway.delivery.close_codes import Close
from gateway.protocol.binance_commands import (
    EXPECTED_BOOLEAN,
    INVALID_REQUEST,
    TOO_MANY_REQUESTS,
    UNKNOWN_PROPERTY,
    RequestError,
    decode,
    error_frame,
    id_of,
    result,
)
from gateway.stream.endpoint import now_us

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.access.connection import ConnectionAccess
    from gateway.protocol.binance_commands import Request, RequestId
    from gateway.stream.endpoint import Endpoint

logger = logging.getLogger(__name__)

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class BinanceInbox:
    """Keeps nothing."""

    __slots__ = ("_access", "_endpoint")

    def __init__(self, endpoint: Endpoint, access: ConnectionAccess) -> None:
        self._endpoint = endpoint
        self._access = access

    def reply_to(self, text: bytes, execute: Callable[[Request], object], connection: int) -> bytes:
        """The reply to a message: what `execute` returns for it, or the `RequestError` that was raised. b"": it has
        failed through a fault of the gateway, and the connection ends. `connection`: its number in the log."""
        try:
            verdict = self._access.take_message(now_us())
            if verdict is not Verdict.PASS:
                self.check(verdict, id_of(text))
            request = decode(text)
            try:
                return result(request.id, execute(request))
            except RequestError as error:
                error.id = request.id
                raise
        except RequestError as error:
            self._endpoint.counters.command_errors[f"BINANCE_{error.code}"] += 1
            return error_frame(error)
        except Exception:
            logger.exception("command failed", extra={"connection": connection})
            self._endpoint.fail(self._access)
            return b""

    def check(self, verdict: Verdict, id: RequestId = None) -> None:
        """Raises `RequestError` for a command beyond the limits; ends the connection of a client that does not stop."""
        if verdict is Verdict.DISCONNECT:
            self._endpoint.admission.disconnect(self._access, Close.RATE_LIMIT)
        if verdict is not Verdict.PASS:
            raise RequestError(TOO_MANY_REQUESTS, "Too many requests: slow down", id)

    def check_channels(self, count: int) -> None:
        """Count streams that are added or removed; see `check`."""
        self.check(self._access.take_channels(count, now_us()))


def unknown_method(method: str) -> RequestError:
    """The error of a method that does not exist."""
    known = ", ".join(f"`{name}`" for name in METHODS)
    return RequestError(INVALID_REQUEST, f"Invalid request: unknown variant `{method[:32]}`, expected one of {known}")


def unknown_property(params: list[object]) -> RequestError:
    """The error of a request for a property that does not exist."""
    match params:
        case [str() as name]:
            return RequestError(UNKNOWN_PROPERTY, f"Unknown property: {name[:32]}")
        case _:
            return RequestError(INVALID_REQUEST, "Invalid request: property name must be a string")


def wrong_value(params: list[object]) -> RequestError:
    """The error of a request to set a property that does not exist, or to a value that it cannot have."""
    match params:
        case ["combined" | "closed_only", *_]:
            return RequestError(EXPECTED_BOOLEAN, "Invalid value type: expected Boolean")
        case [("max_rate" | "latency_ms") as name, *_]:
            return RequestError(INVALID_REQUEST, f"Invalid request: {name} must be a number from 0")
        case _:
            return unknown_property(params[:1])
