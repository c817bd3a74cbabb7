"""The HTTP side of an answer made of a kept beginning and a live end: revalidation, compression, cross-origin rules."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from gateway.protocol.native import kline_json, ticker_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.config import HttpConfig
    from gateway.history.encoded import AnswerPrefix
    from gateway.history.service import KlinesAnswer
    from gateway.model.ticker import Ticker

INLINE_BYTES = 8192
"""Up to here compressing takes less than a trip to a thread and back."""

LIVE = "public, no-cache"
"""May be kept, but must be asked about each time: with an ETag that costs no body."""

SETTLED = "public, max-age=60"
"""For bars that are past: as long as the gateway itself keeps them."""


def cors(config: HttpConfig) -> Middleware:
    """Outermost, so that errors carry the headers too: a page can read an error only with them."""
    return Middleware(
        CORSMiddleware,
        allow_origins=config.cors_origins,
        allow_methods=("GET", "HEAD", "POST", "OPTIONS"),
        allow_headers=("*",),
        expose_headers=(
            *("ETag", "Retry-After", "X-Gateway-State", "X-MBX-USED-WEIGHT-1M"),
            *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
        ),
    )


def boolean(value: bool) -> bytes:
    return b"true" if value else b"false"


def state_json(cached: bool, stale: bool, now_ms: int) -> bytes:
    """The fields every native answer ends with, from the comma before them to the closing brace."""
    return b',"cached":%s,"stale":%s,"timestamp":%d}' % (boolean(cached), boolean(stale), now_ms)


def klines_state(answer: KlinesAnswer, now_ms: int) -> bytes:
    """The same for klines: what was made of others and what is missing is said, where there is any."""
    words = b',"derived":true' if answer.encoded.derived else b""
    if gaps := answer.gaps:
        words += b',"gaps":[%b]' % b",".join(b'{"from":%d,"to":%d}' % gap for gap in gaps)
    return words + state_json(answer.cached, answer.stale, now_ms)


def live_end(answer: KlinesAnswer) -> bytes:
    """The forming bar, where there is one, and the end of the list of bars that the head has begun."""
    if answer.forming is None:
        return b"]"
    return (b"," if answer.last > answer.first else b"") + kline_json(answer.forming) + b"]"


def ticker_fields(ticker: Ticker | None) -> bytes:
    """The ticker's fields, each with a comma before it."""
    return b"" if ticker is None else b"," + ticker_json(ticker)[1:-1]


def etag_of(head: AnswerPrefix, rest: bytes) -> str:
    """Weak: the answer's time stamp is not part of it."""
    return f'W/"{head.digest(rest)}"'


def not_modified(request: Request, etag: str, cache_control: str) -> Response | None:
    """The 304, where the client holds this very state (RFC 9110, 13.1.2: weak comparison)."""
    held = request.headers.get("if-none-match", "")
    if held.strip() != "*" and etag not in {tag.strip() for tag in held.split(",")}:
        return None
    return Response(status_code=304, headers=_headers(etag, cache_control))


async def reply(
    request: Request,
    head: AnswerPrefix,
    tail: bytes,
    gzip_min_bytes: int,
    etag: str | None = None,
    cache_control: str = "no-store",
) -> Response:
    """The answer, compressed where that pays and the client takes it."""
    headers = _headers(etag, cache_control)
    if len(head.text) + len(tail) < gzip_min_bytes or not takes_gzip(request.headers.get("accept-encoding", "")):
        return Response(head.text + tail, headers=headers, media_type="application/json")
    if not head.compressed:
        if len(head.text) <= INLINE_BYTES:
            head.compress()
        else:
            await asyncio.to_thread(head.compress)
    headers["content-encoding"] = "gzip"
    return Response(head.gzip(tail), headers=headers, media_type="application/json")


def takes_gzip(accept_encoding: str) -> bool:
    """RFC 9110, 12.5.3. A named coding goes before `*`."""
    weights: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        name, _, weight = parameter.partition("=")
        refused = name.strip() == "q" and weight.strip(" 0.") == ""
        weights[coding.strip()] = not refused
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


def _headers(etag: str | None, cache_control: str) -> dict[str, str]:
    headers = {"cache-control": cache_control, "vary": "Accept-Encoding"}
    if etag is not None:
        headers["etag"] = etag
    return headers
