"""The outermost middleware: turns, rate limits, tokens, and security headers for browsers.

Every request waits for its turn and is counted by its weight. Requests for data may need a token.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from starlette.middleware import Middleware
from starlette.requests import HTTPConnection

from gateway.access.admission import Refusal
from gateway.access.peers import group_of
from gateway.access.token_bucket import SECOND_US, Rate
from gateway.delivery.load_meter import Cause
from gateway.http.admission import refusal_response
from gateway.http.rate_headers import rate_headers
from gateway.http.reply import cors, json_response
from gateway.http.weights import BINANCE, DATA, UDF, weigh
from gateway.model.errors import ErrorCode
from gateway.protocol import binance_rest, udf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.access.grants import Grant
    from gateway.access.peers import Address
    from gateway.access.rate_limiter import RateLimiter
    from gateway.access.request_queue import RequestQueue
    from gateway.access.token_bucket import Taken
    from gateway.config import Config, LimitsConfig
    from gateway.delivery.load_meter import LoadMeter
    from gateway.http.admission import Admission
    from gateway.http.request_turns import RequestTurns
    from gateway.http.unread import UnreadAnswers
    from gateway.http.weights import Weight

SINGLE_SLASHES = (*BINANCE, UDF, "/ws", "/stream")
"""Prefixes of the paths that clients make of a base URL and a path, often with a slash at the end of one and at the
beginning of the other. Paths for operators are left as they are: a proxy may refuse them by their prefix."""

TOKEN_HEADERS = (b"Authorization", b"X-API-Key", b"X-MBX-APIKEY", b"apikey")

NOSNIFF = (b"x-content-type-options", b"nosniff")
HSTS = (b"strict-transport-security", b"max-age=31536000")

_REFUSAL = "gateway.refusal"
"""Key of the scope, for the app that answers what is refused."""


STREAMS = frozenset(("/v1/stream.sse",))
"""Requests that are counted, and whose tokens are checked, as handshakes are."""


class Guard:
    """ASGI middleware. Counts every HTTP answer by API and status, and charges requests and handshakes to the meter."""

    def __init__(
        self,
        app: ASGIApp,
        admission: Admission,
        rates: RateLimiter,
        meter: LoadMeter,
        requests: RequestQueue,
        turns: RequestTurns,
        limits: LimitsConfig,
        *,
        unread: UnreadAnswers,
        refusals: Callable[[ASGIApp], ASGIApp],
        tls: bool,
    ) -> None:
        """`unread`: the answers that clients are reading. `refusals`: wraps the app that answers what is refused here,
        so that pages can read these answers too."""
        self._app = app
        self._meter = meter
        self._requests = requests
        self._turns = turns
        self._unread = unread
        self._admission = admission
        self._rates = rates
        self._rate = Rate.per_minute(limits.http_per_min, limits.http_burst)
        self._other_rate = Rate.per_minute(limits.http_other_per_min, limits.http_other_burst)
        self._headers = security_headers(tls=tls)
        self._refuse = refusals(_answer_refusal)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "//" in scope.get("path", ""):
            scope = {**scope, "path": _with_single_slashes(scope["path"])}
        if scope["type"] == "http" and scope["path"] not in STREAMS:
            await self._meter.charged(Cause.HTTP, self._serve(scope, receive, send))
        else:
            # Ends with the handshake: the connection is handed over.
            await self._meter.charged(Cause.HANDSHAKES, self._shake_hands(scope, receive, send))

    async def _shake_hands(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._turns.enter(group_of(self._admission.client_address(HTTPConnection(scope))))
        await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = list(self._headers)
        request = HTTPConnection(scope)
        path, weight = scope["path"], weigh(scope["method"], scope["path"], scope["query_string"])
        address = self._admission.client_address(request)
        group = group_of(address)
        status = 500
        started_s = time.monotonic()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = message["headers"]
                if weight.is_data and self._admission.authenticator.enabled:
                    answer = _for_one_client(answer)
                present = {name for name, _ in answer}
                message["headers"] = [*answer, *(pair for pair in headers if pair[0] not in present)]
                await send(message)
            else:
                await self._unread.send(group, message, send)

        entered = False
        try:
            # Health checks take turns by themselves: a flood from their own address does not delay them.
            await self._turns.enter(group if weight.refusable else f"{group} health")
            if weight.is_data:
                refusal = await self._check(request, address, weight.units, headers)
            else:
                refusal = self._count(f"{weight.allowance}:{group}", address, weight, headers)
            if refusal is None and weight.refusable and self._unread.too_many(group):
                refusal = Refusal(ErrorCode.RATE_LIMIT, "unread", "Read the answers to earlier requests first.", 1.0)
            if refusal is None and weight.is_data:
                refusal = await self._requests.enter(group)
                entered = refusal is None
                await self._turns.wait()
            if refusal is None:
                await self._app(scope, receive, send_on)
            else:
                self._admission.count_refusal(request, refusal)
                scope[_REFUSAL] = refusal
                await self._refuse(scope, receive, send_on)
        finally:
            if entered:
                self._requests.leave()
            self._admission.counters.count_response(api_of(path), status, time.monotonic() - started_s)

    def _count(
        self, key: str, address: Address | None, weight: Weight, headers: list[tuple[bytes, bytes]]
    ) -> Refusal | None:
        """Count a request that is not for data, in this process only: a health check must not depend on Redis."""
        if self._admission.is_exempt(address, None):
            return None
        taken = self._rates.take_here(key, self._other_rate, weight.units)
        if not taken.wait_us or not weight.refusable:
            return None
        headers += rate_headers(self._other_rate, taken, time.time())
        return _too_many(taken)

    async def _check(
        self, request: HTTPConnection, address: Address | None, units: int, headers: list[tuple[bytes, bytes]]
    ) -> Refusal | None:
        """Count a request for data, and check its token."""
        admission = self._admission
        grant = await admission.verify_token(request)
        known = grant if not isinstance(grant, Refusal) else None
        used, taken = units, None
        if not admission.is_exempt(address, known):
            # Requests with an invalid token count too, so that guessing is limited.
            key = known.subject if known is not None else group_of(address)
            rate = self._rate_of(known)
            taken = await self._rates.take(key, rate, units)
            used = rate.burst - taken.left
            headers += rate_headers(rate, taken, time.time())
        if request.scope["path"].startswith(BINANCE):
            headers.append((b"x-mbx-used-weight-1m", b"%d" % used))
        if taken is not None and taken.wait_us:
            return _too_many(taken)
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


def middleware(
    config: Config,
    admission: Admission,
    rates: RateLimiter,
    meter: LoadMeter,
    requests: RequestQueue,
    turns: RequestTurns,
    unread: UnreadAnswers,
) -> list[Middleware]:
    """The middleware of a gateway, the outermost first."""
    inner = cors(config.http)

    def readable(app: ASGIApp) -> ASGIApp:
        return inner.cls(app, *inner.args, **inner.kwargs)

    tls = bool(config.server.tls_certificate)
    parts = admission, rates, meter, requests, turns, config.limits
    guard = Middleware(Guard, *parts, unread=unread, refusals=readable, tls=tls)
    return [guard, inner]


def security_headers(*, tls: bool) -> list[tuple[bytes, bytes]]:
    """What every answer has for browsers."""
    return [NOSNIFF, HSTS] if tls else [NOSNIFF]


def _too_many(taken: Taken) -> Refusal:
    return Refusal(ErrorCode.RATE_LIMIT, "http_rate", ErrorCode.RATE_LIMIT.message, taken.wait_us / SECOND_US)


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


def _with_single_slashes(path: str) -> str:
    single = re.sub("/{2,}", "/", path)
    return single if single.startswith(SINGLE_SLASHES) else path


def api_of(path: str) -> str:
    """The API that a path belongs to, as a label of the metrics."""
    if not path.startswith(DATA):
        return "other"
    if path.startswith(BINANCE):
        return "binance"
    return {"/v1/": "native", "/fun": "functions"}.get(path[:4], "udf")


async def _answer_refusal(scope: Scope, receive: Receive, send: Send) -> None:
    await refusal_of(scope["path"], scope[_REFUSAL])(scope, receive, send)


def refusal_of(path: str, refusal: Refusal) -> Response:
    """The refusal in the shape of the requested dialect."""
    plain = refusal_response(refusal)
    if path.startswith(BINANCE):
        body = binance_rest.error(binance_rest.CODES[refusal.code], refusal.explanation)
    elif path.startswith(UDF):
        body = udf.error(refusal.explanation)
    else:
        return plain
    response = json_response(body, refusal.code.http_status)
    for name in ("retry-after", "www-authenticate"):
        if name in plain.headers:
            response.headers[name] = plain.headers[name]
    return response
