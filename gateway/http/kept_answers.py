"""Answers that the history's cache has, without Starlette's routing: bytes made before, and the few that are new.

A route that has checked a query remembers its raw text (`Plans`). The same text again needs no parsing, and while the
cache has what it asks for, no waiting. Whatever is different (a first request, an error, a read of the store) is left
to the route, whose answers have the same bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from starlette.middleware import Middleware

from gateway.http.reply import accepts_gzip, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from gateway.history.answer import KlinesAnswer
    from gateway.history.answer_prefix import AnswerPrefix, Ending
    from gateway.model.kline import Kline

Headers = list[tuple[bytes, bytes]]

P = TypeVar("P")

PLANS_MAX = 1024
"""Queries remembered by each route, the oldest are dropped; some 600 bytes each."""

QUERY_MAX_BYTES = 256
"""Longer queries are not remembered: none that is correct needs as many."""

GZIP = ((b"content-encoding", b"gzip"),)
JSON = (b"content-type", b"application/json")


class Answer(NamedTuple):
    """What is sent. Without a body it is a 304."""

    ending: Ending
    body: bytes | None = None
    compressed: bool = False

    @property
    def status(self) -> int:
        """Of HTTP."""
        return 304 if self.body is None else 200

    @property
    def headers(self) -> Headers:
        """In the order of Starlette's responses."""
        if self.body is None:
            return self.ending.headers
        return [
            *self.ending.headers,
            *(GZIP if self.compressed else ()),
            (b"content-length", b"%d" % len(self.body)),
            JSON,
        ]


class Make(Protocol):
    """Makes the answer to a request of a path at once; None leaves the request to the route. Does not raise."""

    def __call__(self, query: bytes, headers: Iterable[tuple[bytes, bytes]], /) -> Answer | None: ...


class Plans(Generic[P]):
    """What the queries of one route mean, by their raw text. Only what is remembered is returned."""

    def __init__(self, most: int = PLANS_MAX) -> None:
        self._most = most
        self._plans: dict[bytes, P] = {}
        self.get = self._plans.get

    def __len__(self) -> int:
        return len(self._plans)

    def remember(self, query: bytes, plan: P) -> None:
        """Keep the meaning of a query that is correct. Drops the oldest one where there are too many."""
        if len(query) > QUERY_MAX_BYTES or query in self._plans:
            return
        if len(self._plans) >= self._most:
            del self._plans[next(iter(self._plans))]
        self._plans[query] = plan


class Asked(NamedTuple):
    """The arguments of `History.klines`."""

    symbol: str
    interval: str
    limit: int
    start_ms: int | None = None
    end_ms: int | None = None


class Plan(NamedTuple):
    """What a correct query for klines asks for, and how its answers begin."""

    asked: Asked
    opening: bytes
    encode: Callable[[Kline], bytes] | None = None
    """Makes the rows of the dialect; None: the native one."""


class Conditions(NamedTuple):
    """What the headers of a request say about its answer."""

    gzip: bool
    known: bytes | None
    """`If-None-Match`."""


def conditions(headers: Iterable[tuple[bytes, bytes]], other: bytes = b"") -> Conditions | None:
    """The conditions of a request; None where it has a header named `other`, or one of them twice: the route knows."""
    encoding = known = None
    for name, value in headers:
        if name == b"accept-encoding":
            if encoding is not None:
                return None
            encoding = value
        elif name == b"if-none-match":
            if known is not None:
                return None
            known = value
        elif name == other:
            return None
    return Conditions(encoding is not None and _accepts_gzip(encoding), known)


def klines_maker(
    cached: Callable[[str, str, int, int | None, int | None], KlinesAnswer | None],
    plans: Plans[Plan],
    ending_of: Callable[[AnswerPrefix, KlinesAnswer, Plan], Ending],
    gzip_min_bytes: int,
    stamp: Callable[[], bytes] = bytes,
    other: bytes = b"",
) -> Make:
    """Makes answers that are the encoded klines, an ending, and what `stamp` returns at this instant.

    `cached`: `History.cached_klines`. `ending_of`: called when the forming kline, or the reason to be stale, is another
    one. `other`: a header that only the route knows.
    """

    def make(query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Answer | None:
        plan, asked = plans.get(query), conditions(headers, other)
        if plan is None or asked is None:
            return None
        answer = cached(*plan.asked)
        if answer is None:
            return None
        encoded = answer.encoded if plan.encode is None else answer.encoded.encoded_by(plan.encode)
        prefix = encoded.prefix(plan.opening, answer.first, answer.last)
        ending = prefix.ending
        if ending is None or not ending.suits(answer.forming, answer.stale_reason):
            ending = prefix.ending = ending_of(prefix, answer, plan)
        if ending.etag and asked.known is not None and names(asked.known.decode("latin-1"), ending.etag):
            return Answer(ending)
        tail = ending.text + stamp()
        if not asked.gzip or len(prefix.text) + len(tail) < gzip_min_bytes:
            return Answer(ending, prefix.text + tail)
        # Otherwise the prefix would have to be compressed first, which the route does in a thread.
        return Answer(ending, prefix.gzip(tail), True) if prefix.compressed else None

    return make


class KeptAnswers:
    """ASGI middleware, the innermost. GET requests of some paths are answered at once where that is possible."""

    def __init__(self, app: ASGIApp, makers: Mapping[str, Make]) -> None:
        """`makers`: by path."""
        self._app = app
        self._makers = makers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        make = self._makers.get(scope["path"])
        if make is None or scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        answer = make(scope["query_string"], scope["headers"])
        if answer is None:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body or b""})


def kept_answers(makers: Mapping[str, Make]) -> Middleware:
    """The middleware for `makers`."""
    return Middleware(KeptAnswers, makers)


@lru_cache(maxsize=64)
def _accepts_gzip(value: bytes) -> bool:
    return accepts_gzip(value.decode("latin-1"))
