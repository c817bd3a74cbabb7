"""Answers requests in the step in which they are parsed, where the answer is made already and nothing has to wait.

What `Guard` and the routes do to a request takes a task, two dozen calls and their messages, which cost more than an
answer that the cache has. A request that waits for nothing has the same checks here, in the same order, in one step
without `await`. Everything else is left to them: None.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from gateway.access.peers import group_of
from gateway.access.token_bucket import Rate
from gateway.delivery.load_meter import Cause
from gateway.http.guard import api_of, security_headers
from gateway.http.rate_headers import rate_lines
from gateway.http.reply import PageLines, lines_of
from gateway.http.weights import BINANCE, weigh

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.access.peers import Address
    from gateway.access.rate_limiter import RateLimiter
    from gateway.access.request_queue import RequestQueue
    from gateway.config import Config, HttpConfig
    from gateway.delivery.load_meter import LoadMeter
    from gateway.http.admission import Admission
    from gateway.http.kept_answers import Answer, Make
    from gateway.http.request_turns import RequestTurns
    from gateway.http.unread import UnreadAnswers

logger = logging.getLogger(__name__)

ROUTED = frozenset((b"content-length", b"transfer-encoding", b"expect"))
"""Requests with one of these headers may have a body."""

STATUS_LINES = {200: b"HTTP/1.1 200 OK\r\n", 304: b"HTTP/1.1 304 Not Modified\r\n"}


class Answered(NamedTuple):
    """An answer as it is written, but for what the server adds to every answer."""

    status_line: bytes
    lines: bytes
    """The headers, each with its end of line."""
    body: bytes
    group: str
    """Of the client, for `UnreadAnswers`."""


class _Path:
    """What is known of a path beforehand."""

    def __init__(self, path: str, make: Make) -> None:
        self.text = path
        self.make = make
        self.api = api_of(path)
        self.is_binance = path.startswith(BINANCE)


class AtOnce:
    """GET requests of some paths, of clients without tokens. Counts and limits them like `Guard`."""

    def __init__(
        self,
        config: Config,
        admission: Admission,
        rates: RateLimiter,
        meter: LoadMeter,
        requests: RequestQueue,
        turns: RequestTurns,
        unread: UnreadAnswers,
        makers: Mapping[str, Make],
    ) -> None:
        """`unread`: that of the guard. `makers`: by path."""
        limits = config.limits
        self.unread = unread
        self._admission = admission
        self._rates = rates
        self._meter = meter
        self._requests = requests
        self._turns = turns
        self._rate = Rate.per_minute(limits.http_per_min, limits.http_burst)
        self._security = lines_of(security_headers(tls=bool(config.server.tls_certificate)))
        self._page_lines = PageLines(config.http)
        possible = not (admission.authenticator.enabled or admission.authenticator.required or rates.shared)
        self._makers = {path.encode(): _Path(path, make) for path, make in makers.items()} if possible else {}

    def configure(self, config: HttpConfig) -> None:
        """Use new settings: the origins of pages."""
        self._page_lines = PageLines(config)

    def serves(self, path: bytes) -> bool:
        """Whether requests of a path may be answered at once. Costs next to nothing."""
        return path in self._makers

    def answer(
        self, path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]], peer: tuple[str, int] | None
    ) -> Answered | None:
        """The answer to a GET request, None for the application to answer it. Names of `headers` are in lower case.

        `peer`: address and port of the connection, None on a Unix socket.
        """
        if not self._turns.is_open() or not self._requests.is_open:
            return None
        origin = None
        for name, value in headers:
            if name in ROUTED or (name == b"origin" and origin is not None):
                return None
            if name == b"origin":
                origin = value
        self._meter.begin(Cause.HTTP)
        try:
            return self._answer(self._makers[path], query, headers, peer, origin)
        except Exception:
            # A bug. The parser, which calls this, would say that the request was invalid.
            logger.exception("cannot answer %s at once", path.decode("latin-1"))
            return None
        finally:
            self._meter.end()

    def _answer(
        self,
        path: _Path,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        peer: tuple[str, int] | None,
        origin: bytes | None,
    ) -> Answered | None:
        started_s = time.monotonic()
        # Before the request is counted: the application counts what it is given.
        answer = path.make(query, headers)
        if answer is None:
            return None
        address = self._admission.address_of(peer, headers)
        group = group_of(address)
        if self.unread.too_many(group):
            return None
        counted = self._count(path, address, group, weigh("GET", path.text, query).units)
        if counted is None:
            return None
        page = b"" if origin is None else self._page_lines(origin)
        lines = b"%b%b%b%b" % (_lines(answer), page, self._security, counted)
        status = answer.status
        self._admission.counters.count_response(path.api, status, time.monotonic() - started_s)
        return Answered(STATUS_LINES[status], lines, answer.body or b"", group)

    def _count(self, path: _Path, address: Address | None, group: str, units: int) -> bytes | None:
        """Count a request, and say so in the lines of its answer; None if there are too many, which changes nothing."""
        used, lines = units, b""
        if not self._admission.is_exempt(address, None):
            taken = self._rates.take_here(group, self._rate, units)
            if taken.wait_us:
                return None
            used = self._rate.burst - taken.left
            lines = rate_lines(self._rate, taken, time.time())
        if path.is_binance:
            return b"%bx-mbx-used-weight-1m: %d\r\n" % (lines, used)
        return lines


def _lines(answer: Answer) -> bytes:
    """The lines of the answer's own headers."""
    if answer.body is None:
        return answer.ending.lines
    return b"%b%bcontent-length: %d\r\ncontent-type: application/json\r\n" % (
        answer.ending.lines,
        b"content-encoding: gzip\r\n" if answer.compressed else b"",
        len(answer.body),
    )
