"""HTTP answers: JSON bytes made of a cached beginning (`AnswerPrefix`) and a live end, ETags, compression, and CORS."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from gateway.http.rate_headers import NAMES as RATE_HEADERS
from gateway.protocol.native import kline_json, ticker_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from gateway.config import HttpConfig
    from gateway.history.answer import KlinesAnswer
    from gateway.history.answer_prefix import AnswerPrefix
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

STATE = "x-gateway-state"
"""`live` or `stale`: header of the dialects whose answers have no field for it."""

INLINE_BYTES = 8192
"""Compressing fewer bytes takes less time than handing them to a thread and back."""

LIVE = "public, no-cache"
"""May be cached but must be revalidated each time; with an ETag that costs no body."""

SETTLED = "public, max-age=60"
"""For klines that no longer change: as long as the gateway itself caches them."""

PAGES_MAX = 256
PAGE_MAX_BYTES = 256
"""Origins of which the lines are kept, and how long they may be."""

OPERATIONS = ("/metrics", "/status", "/healthz", "/readyz", "/v1/health", "/v1/status", "/v1/trace")
"""Prefixes of the paths for operators and probes."""


class DataCors(CORSMiddleware):
    """CORS for everything but the operations surface: no page of another origin needs that."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(OPERATIONS):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def cors(config: HttpConfig) -> Middleware:
    """CORS middleware. Wraps everything that answers: a page can read an error only if it carries the headers too."""
    return Middleware(DataCors, **_options(config))


def _options(config: HttpConfig) -> dict[str, Any]:
    return {
        "allow_origins": config.cors_origins,
        "allow_methods": ("GET", "HEAD", "POST", "OPTIONS"),
        "allow_headers": ("*",),
        "expose_headers": ("ETag", "Retry-After", "X-Gateway-State", "X-MBX-USED-WEIGHT-1M", *RATE_HEADERS),
    }


class PageLines:
    """What CORS adds to an answer for a page of another origin, besides `Origin` in `vary`: lines of HTTP/1.1."""

    def __init__(self, config: HttpConfig) -> None:
        self._cors = DataCors(_nothing, **_options(config))
        self._kept: dict[bytes, bytes] = {}

    def __call__(self, origin: bytes) -> bytes:
        """The lines for an Origin. Those of a few hundred are kept."""
        lines = self._kept.get(origin)
        if lines is None:
            lines = lines_of(self._headers(origin))
            if len(self._kept) >= PAGES_MAX:
                self._kept.clear()
            if len(origin) <= PAGE_MAX_BYTES:
                self._kept[origin] = lines
        return lines

    def _headers(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        message: Message = {"type": "http.response.start", "status": 200, "headers": []}
        step = self._cors.send(message, send=_take, request_headers=Headers(raw=[(b"origin", origin)]))
        with suppress(StopIteration):
            # It waits for nothing but `_take`, which waits for nothing.
            step.send(None)
        return [(name, value) for name, value in message["headers"] if name != b"vary"]


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that is never called."""


async def _take(message: Message) -> None:
    """The end of the middleware."""


def json_response(body: bytes, status: int = 200) -> Response:
    """JSON bytes that must not be cached."""
    return Response(body, status, {"cache-control": "no-store"}, media_type="application/json")


def boolean(value: bool) -> bytes:
    """A JSON boolean."""
    return b"true" if value else b"false"


def state_json(cached: bool, stale_reason: str, now_ms: int) -> bytes:
    """The last fields of every native answer, from the comma before them to the closing brace."""
    return b"%b%d}" % (_state_opening(cached, stale_reason), now_ms)


def klines_state(answer: KlinesAnswer, now_ms: int) -> bytes:
    """The last fields of an answer with klines: `derived` and `gaps` where they apply, then `state_json`."""
    return b"%b%d}" % (klines_state_opening(answer), now_ms)


def klines_state_opening(answer: KlinesAnswer) -> bytes:
    """`klines_state` up to the time stamp."""
    fields = b',"derived":true' if answer.encoded.derived else b""
    if gaps := answer.gaps:
        fields += b',"gaps":[%b]' % b",".join(b'{"from":%d,"to":%d}' % gap for gap in gaps)
    return fields + _state_opening(answer.cached, answer.stale_reason)


def live_end(answer: KlinesAnswer, encode: Callable[[Kline], bytes] = kline_json) -> bytes:
    """The forming kline, if there is one, and the end of the list of klines that the head began."""
    if answer.forming is None:
        return b"]"
    return (b"," if answer.last > answer.first else b"") + encode(answer.forming) + b"]"


def ticker_fields(ticker: Ticker | None) -> bytes:
    """The fields of a ticker, each with a comma before it; nothing without a ticker."""
    return b"" if ticker is None else b"," + ticker_json(ticker)[1:-1]


def etag_of(head: AnswerPrefix, rest: bytes) -> str:
    """A weak ETag (RFC 9110, section 8.8.1): it does not depend on the timestamp of the answer."""
    return f'W/"{head.digest(rest)}"'


def not_modified(request: Request, etag: str, cache_control: str) -> Response | None:
    """A 304 if the client has this state already (RFC 9110, section 13.1.2: weak comparison), else None."""
    return Response(status_code=304, headers=_headers(etag, cache_control)) if is_known(request, etag) else None


def is_known(request: Request, etag: str) -> bool:
    """Whether `If-None-Match` names an ETag."""
    return names(request.headers.get("if-none-match", ""), etag)


def names(known: str, etag: str) -> bool:
    """Whether a value of `If-None-Match` names an ETag."""
    return known.strip() == "*" or etag in {tag.strip() for tag in known.split(",")}


async def reply(
    request: Request,
    head: AnswerPrefix,
    tail: bytes,
    gzip_min_bytes: int,
    etag: str | None = None,
    cache_control: str = "no-store",
) -> Response:
    """The answer, compressed if the client accepts gzip and it has at least `gzip_min_bytes`."""
    headers = _headers(etag, cache_control)
    if len(head.text) + len(tail) < gzip_min_bytes or not accepts_gzip(request.headers.get("accept-encoding", "")):
        return Response(head.text + tail, headers=headers, media_type="application/json")
    if not head.compressed:
        if len(head.text) <= INLINE_BYTES:
            head.compress()
        else:
            await asyncio.to_thread(head.compress)
    headers["content-encoding"] = "gzip"
    return Response(head.gzip(tail), headers=headers, media_type="application/json")


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether `Accept-Encoding` accepts gzip (RFC 9110, section 12.5.3): a named coding takes precedence over `*`."""
    weights: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        name, _, weight = parameter.partition("=")
        refused = name.strip() == "q" and weight.strip(" 0.") == ""
        weights[coding.strip()] = not refused
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


def raw_headers(etag: str | None, cache_control: str) -> list[tuple[bytes, bytes]]:
    """The headers of `reply` as ASGI has them, but for those of the content."""
    return [(name.encode(), value.encode()) for name, value in _headers(etag, cache_control).items()]


def lines_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as HTTP/1.1 has them behind CORS, which adds `Origin` to `vary`; for pages see `PageLines`."""
    return b"".join(b"%b: %b%b\r\n" % (name, value, b", Origin" if name == b"vary" else b"") for name, value in headers)


def _state_opening(cached: bool, stale_reason: str) -> bytes:
    reason = b',"reason":"%b"' % stale_reason.encode() if stale_reason else b""
    return b',"cached":%b,"stale":%b%b,"timestamp":' % (boolean(cached), boolean(bool(stale_reason)), reason)


def _headers(etag: str | None, cache_control: str) -> dict[str, str]:
    headers = {"cache-control": cache_control, "vary": "Accept-Encoding"}
    if etag is not None:
        headers["etag"] = etag
    return headers
