"""Middleware of every HTTP route: tokens, rate limits, and security headers for browsers.

Requests for data are counted and may need a token; health checks, the page and the API documents are open.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from gateway.access.admission import Refusal
from gateway.access.peers import group_of
from gateway.access.token_bucket import SECOND_US, Rate
from gateway.delivery.load_meter import Cause
from gateway.http.admission import refusal_response
from gateway.http.reply import json_response
from gateway.model.errors import ErrorCode
from gateway.protocol import binance_rest, udf

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.access.grants import Grant
    from gateway.access.rate_limiter import RateLimiter
    from gateway.access.request_queue import RequestQueue
    from gateway.config import LimitsConfig
    from gateway.delivery.load_meter import LoadMeter
    from gateway.http.admission import Admission

BINANCE, UDF = "/api/", "/udf"
DATA = ("/v1/", "/functions/", BINANCE, UDF)
"""Prefixes of the paths that serve data."""
OPEN = frozenset({"/v1/openapi.json", "/v1/asyncapi.json", "/v1/health/data", "/v1/status", "/v1/trace"})
"""Paths without market data. `/v1/status` and `/v1/trace` have the operations token."""

TOKEN_HEADERS = (b"Authorization", b"X-API-Key", b"X-MBX-APIKEY")

NOSNIFF = (b"x-content-type-options", b"nosniff")
HSTS = (b"strict-transport-security", b"max-age=31536000")


class Guard:
    """ASGI middleware. Counts every HTTP answer by API and status, and charges requests and handshakes to the meter."""

    def __init__(
        self,
        app: ASGIApp,
        admission: Admission,
        rates: RateLimiter,
        meter: LoadMeter,
        requests: RequestQueue,
        limits: LimitsConfig,
        *,
        tls: bool,
    ) -> None:
        self._app = app
        self._meter = meter
        self._requests = requests
        self._admission = admission
        self._rates = rates
        self._rate = Rate.per_minute(limits.http_per_min, limits.http_burst)
        self._headers = [NOSNIFF, HSTS] if tls else [NOSNIFF]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._meter.charged(Cause.HTTP, self._serve(scope, receive, send))
        else:
            # Ends with the handshake: the connection is handed over.
            await self._meter.charged(Cause.HANDSHAKES, _call(self._app, scope, receive, send))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = list(self._headers)
        path = scope["path"]
        is_data = path.startswith(DATA) and path not in OPEN
        status = 500
        started_s = time.monotonic()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = message["headers"]
                if is_data and self._admission.authenticator.enabled:
                    answer = _for_one_client(answer)
                present = {name for name, _ in answer}
                message["headers"] = [*answer, *(pair for pair in headers if pair[0] not in present)]
            await send(message)

        refusal, entered = None, False
        try:
            if is_data:
                refusal = await self._check(HTTPConnection(scope), path, headers)
            if refusal is None and is_data:
                refusal = await self._requests.enter()
                entered = refusal is None
            if refusal is None:
                await self._app(scope, receive, send_with_headers)
            else:
                self._admission.counters.refusals[refusal.reason] += 1
                await _refusal(path, refusal)(scope, receive, send_with_headers)
        finally:
            if entered:
                self._requests.leave()
            self._admission.counters.count_response(_api(path), status, time.monotonic() - started_s)

    async def _check(self, request: HTTPConnection, path: str, headers: list[tuple[bytes, bytes]]) -> Refusal | None:
        admission = self._admission
        grant = await admission.verify_token(request)
        address = admission.client_address(request)
        known = grant if not isinstance(grant, Refusal) else None
        exempt = admission.is_exempt(address, known)
        used = 1
        if not exempt:
            # Requests with an invalid token count too, so that guessing is limited.
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
            return Refusal(ErrorCode.RATE_LIMIT, "http_rate", ErrorCode.RATE_LIMIT.message, taken.wait_us / SECOND_US)
        if isinstance(grant, Refusal):
            return grant
        if grant is None and admission.authenticator.required:
            return Refusal(ErrorCode.UNAUTHORIZED, "token_missing", "A token is required.")
        if grant is not None and grant.channels is not None and not grant.allows("*"):
            # HTTP requests name symbols in many forms; a token for some channels is valid for streams only.
            return Refusal(ErrorCode.FORBIDDEN, "token_channels", "The token covers streams of some channels only.")
        return None

    def _rate_of(self, grant: Grant | None) -> Rate:
        if grant is None or grant.http_per_min is None:
            return self._rate
        return Rate.per_minute(grant.http_per_min, max(1, round(grant.http_per_min)))


async def _call(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """The application's answer as a coroutine: ASGI promises no more than an awaitable."""
    await app(scope, receive, send)


def _for_one_client(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers of an answer that depends on a token: shared caches must not store it, others must not reuse it."""
    found = {name.lower(): value for name, value in headers}
    control = found.get(b"cache-control", b"no-store")
    vary = [found[b"vary"]] if b"vary" in found else []
    changed = {
        b"cache-control": control.replace(b"public", b"private"),
        b"vary": b", ".join([*vary, *TOKEN_HEADERS]),
    }
    return [*((name, value) for name, value in headers if name.lower() not in changed), *changed.items()]


def _api(path: str) -> str:
    """The API that a path belongs to, as a label of the metrics."""
    if not path.startswith(DATA):
        return "other"
    return {"/v1/": "native", "/fun": "functions", "/api": "binance"}.get(path[:4], "udf")


def _refusal(path: str, refusal: Refusal) -> Response:
    """The refusal in the shape of the requested dialect."""
    plain = refusal_response(refusal)
    if path.startswith(BINANCE):
        body = binance_rest.error(binance_rest.CODES[refusal.code], refusal.message)
    elif path.startswith(UDF):
        body = udf.error(refusal.message)
    else:
        return plain
    response = json_response(body, refusal.code.http_status)
    for name in ("retry-after", "www-authenticate"):
        if name in plain.headers:
            response.headers[name] = plain.headers[name]
    return response
