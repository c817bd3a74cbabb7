"""Between the server and every HTTP route: tokens, request rates, and the headers that make browsers careful.

Data is counted and may need a token; what tells whether the gateway lives, its page and its documents are open.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from gateway.access.admission import Refusal
from gateway.access.peers import group_of
from gateway.access.token_bucket import SECOND_US, Rate
from gateway.http.admission import refusal_response
from gateway.http.mount import json_response
from gateway.protocol import binance_rest, udf

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.access.grants import Grant
    from gateway.access.rate_limiter import RateLimiter
    from gateway.config import LimitsConfig
    from gateway.http.admission import Admission

BINANCE, UDF = "/api/", "/udf"
DATA = ("/v1/", "/functions/", BINANCE, UDF)
"""Where paths of data begin. What begins otherwise has no route to any."""
OPEN = frozenset({"/v1/openapi.json", "/v1/asyncapi.json", "/v1/status", "/v1/trace"})
"""No data. The latter two are the operations surface's, which has a token of its own."""

NOSNIFF = (b"x-content-type-options", b"nosniff")
HSTS = (b"strict-transport-security", b"max-age=31536000")

_BINANCE_CODES = {401: -2015, 403: -2015, 429: -1003}


class Guard:
    def __init__(
        self, app: ASGIApp, admission: Admission, rates: RateLimiter, limits: LimitsConfig, *, tls: bool
    ) -> None:
        self._app = app
        self._admission = admission
        self._rates = rates
        self._rate = Rate.per_minute(limits.http_per_min, limits.http_burst)
        self._headers = [NOSNIFF, HSTS] if tls else [NOSNIFF]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = list(self._headers)
        path = scope["path"]
        status = 500
        started_s = time.monotonic()

        async def send_headed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                known = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in headers if pair[0] not in known)]
            await send(message)

        refusal = None
        try:
            if path.startswith(DATA) and path not in OPEN:
                refusal = await self._checked(HTTPConnection(scope), path, headers)
            if refusal is None:
                await self._app(scope, receive, send_headed)
            else:
                self._admission.counters.refusals[refusal.reason] += 1
                await _shaped(path, refusal)(scope, receive, send_headed)
        finally:
            self._admission.counters.count_response(_surface(path), status, time.monotonic() - started_s)

    async def _checked(self, request: HTTPConnection, path: str, headers: list[tuple[bytes, bytes]]) -> Refusal | None:
        admission = self._admission
        grant = await admission.grant(request)
        address = admission.address(request)
        known = grant if not isinstance(grant, Refusal) else None
        exempt = admission.is_exempt(address, known)
        used = 1
        if not exempt:
            # A wrong token costs too: guessing is a request like any other.
            key = known.subject if known is not None else group_of(address)
            rate = self._rate_of(known)
            taken = await self._rates.take(key, rate)
            used = rate.burst - taken.left
            full_s = math.ceil(time.time() + taken.full_us / SECOND_US)
            for name, value in (("limit", rate.burst), ("remaining", taken.left), ("reset", full_s)):
                headers.append((b"x-ratelimit-" + name.encode(), b"%d" % value))
        if path.startswith(BINANCE):
            headers.append((b"x-mbx-used-weight-1m", b"%d" % used))
        if not exempt and taken.wait_us:
            return Refusal(429, "http_rate", "too many requests; slow down", taken.wait_us / SECOND_US)
        if isinstance(grant, Refusal):
            return grant
        if grant is None and admission.authenticator.required:
            return Refusal(401, "token_missing", "a token is needed")
        if grant is not None and grant.channels is not None and not grant.allows("*"):
            # Requests name symbols in many ways; a token for some channels opens streams, where there is one way.
            return Refusal(403, "token_channels", "the token is for streams of some channels only")
        return None

    def _rate_of(self, grant: Grant | None) -> Rate:
        if grant is None or grant.http_per_min is None:
            return self._rate
        return Rate.per_minute(grant.http_per_min, max(1, round(grant.http_per_min)))


def _surface(path: str) -> str:
    """Which API a path belongs to, as a label: one of a few."""
    if not path.startswith(DATA):
        return "other"
    return {"/v1/": "native", "/fun": "functions", "/api": "binance"}.get(path[:4], "udf")


def _shaped(path: str, refusal: Refusal) -> Response:
    """In the shape of the dialect that was asked."""
    plain = refusal_response(refusal)
    if path.startswith(BINANCE):
        body = binance_rest.error(_BINANCE_CODES[refusal.status], refusal.message)
    elif path.startswith(UDF):
        body = udf.error(refusal.message)
    else:
        return plain
    response = json_response(body, refusal.status)
    for name in ("retry-after", "www-authenticate"):
        if name in plain.headers:
            response.headers[name] = plain.headers[name]
    return response
