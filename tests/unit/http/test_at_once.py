"""Requests that wait for nothing are checked, limited and counted as the guard does it; all others are left to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.access.rate_limiter import RateLimiter
from gateway.access.request_queue import RequestQueue
from gateway.config import Config, load_config
from gateway.delivery.load_level import Load
from gateway.delivery.load_meter import Cause, LoadMeter
from gateway.history.answer_prefix import Ending
from gateway.http.admission import Admission
from gateway.http.at_once import AtOnce
from gateway.http.kept_answers import Answer
from gateway.http.request_turns import REST_S, SLICE_S, RequestTurns
from gateway.http.unread import GROUP_MAX_BYTES, UnreadAnswers
from gateway.ops.counters import Counters
from tests.tokens import AUDIENCE, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable

PEER = ("192.0.2.1", 5)
NATIVE, BINANCE = b"/v1/klines", b"/api/v3/klines"
ENDING = Ending(None, "", b"]", [(b"etag", b"1")], b"etag: 1\r\n")


class World:
    """An `AtOnce` over one path of each kind; `answers`: what its makers return."""

    def __init__(self, **sections: dict[str, Any]) -> None:
        self.config: Config = load_config(None, {}, sections)
        self.counters = Counters()
        self.load = Load(self.config.stream.shed_above)
        self.admission = Admission(self.config, self.counters, self.load)
        self.now_s = 0.0
        self.meter = LoadMeter(self.clock)
        self.requests = RequestQueue(self.load, self.meter, self.clock)
        self.turns = RequestTurns(self.clock)
        self.unread = UnreadAnswers()
        limits = self.config.limits
        self.rates = RateLimiter(limits.tracked, self.config.redis if limits.shared else None, lambda: 0)
        self.answers: list[Answer | None] = []
        makers = {"/v1/klines": self.make, "/api/v3/klines": self.make}
        parts = self.admission, self.rates, self.meter, self.requests, self.turns, self.unread
        self.at_once = AtOnce(self.config, *parts, makers)

    def clock(self) -> float:
        return self.now_s

    def make(self, query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Answer | None:
        self.now_s += 0.001
        return self.answers.pop(0) if self.answers else Answer(ENDING, b"body")

    def ask(
        self,
        path: bytes = NATIVE,
        query: bytes = b"",
        *headers: tuple[bytes, bytes],
        peer: tuple[str, int] | None = PEER,
    ) -> tuple[bytes, dict[bytes, bytes], bytes] | None:
        """Status line, headers and body."""
        answer = self.at_once.answer(path, query, headers, peer)
        if answer is None:
            return None
        lines = answer.lines.removesuffix(b"\r\n").split(b"\r\n")
        named = dict(line.split(b": ", 1) for line in lines)
        assert len(named) == len(lines)
        return answer.status_line, named, answer.body


def test_an_answer_has_all_headers() -> None:
    answer = World().ask()
    assert answer is not None
    status_line, headers, body = answer
    assert int(headers.pop(b"x-ratelimit-reset")) > 0
    assert (status_line, body) == (b"HTTP/1.1 200 OK\r\n", b"body")
    assert headers == {
        b"etag": b"1",
        b"content-length": b"4",
        b"content-type": b"application/json",
        b"x-content-type-options": b"nosniff",
        b"x-ratelimit-limit": b"600",
        b"x-ratelimit-remaining": b"599",
        b"ratelimit": b'"burst";r=599;t=1',
        b"ratelimit-policy": b'"burst";q=600, "sustained";q=100;w=60',
    }


def test_compressed_answers_and_304_have_theirs() -> None:
    world = World()
    world.answers = [Answer(ENDING, b"zip", True), Answer(ENDING)]
    packed, unchanged = world.ask(), world.ask()
    assert packed is not None
    assert unchanged is not None
    assert (packed[1][b"content-encoding"], packed[2]) == (b"gzip", b"zip")
    assert (unchanged[0], unchanged[2]) == (b"HTTP/1.1 304 Not Modified\r\n", b"")
    assert not {b"content-length", b"content-type"} & unchanged[1].keys()
    assert dict(world.counters.responses) == {("native", 200): 1, ("native", 304): 1}


def test_binance_clients_see_their_weight_and_long_answers_weigh_more() -> None:
    world = World()
    weights = [world.ask(BINANCE, query) for query in (b"limit=1000", b"limit=1001", b"limit=5000")]
    assert [answer and answer[1][b"x-mbx-used-weight-1m"] for answer in weights] == [b"1", b"3", b"8"]
    assert [answer and answer[1][b"x-ratelimit-remaining"] for answer in weights] == [b"599", b"597", b"592"]


def test_exempt_clients_are_not_counted() -> None:
    world = World(limits={"exempt": ["192.0.2.0/24"]})
    answer = world.ask(BINANCE, b"limit=2000")
    assert answer is not None
    assert answer[1][b"x-mbx-used-weight-1m"] == b"2"
    assert b"x-ratelimit-limit" not in answer[1]


def test_what_is_too_much_is_left_to_the_guard_and_uses_up_nothing() -> None:
    world = World(limits={"http_per_min": 0.1, "http_burst": 2})
    assert [world.ask() is not None for _ in range(4)] == [True, True, False, False]
    assert world.ask(peer=("192.0.2.2", 5)) is not None, "another address has its own allowance"
    assert world.ask(NATIVE, b"", (b"x-forwarded-for", b"192.0.2.3")) is None, "not from a proxy that is trusted"


def test_addresses_behind_a_trusted_proxy_are_counted_apart() -> None:
    world = World(limits={"http_per_min": 0.1, "http_burst": 1}, access={"trusted_proxies": ["192.0.2.1"]})
    for address, admitted in ((b"192.0.2.7", True), (b"192.0.2.7", False), (b"192.0.2.8", True)):
        assert (world.ask(NATIVE, b"", (b"x-forwarded-for", address)) is not None) is admitted


def test_clients_of_a_unix_socket_share_an_allowance() -> None:
    world = World(limits={"http_per_min": 0.1, "http_burst": 1})
    assert [world.ask(peer=None) is not None for _ in range(2)] == [True, False]


@pytest.mark.parametrize("name", [b"content-length", b"transfer-encoding", b"expect"])
def test_requests_with_a_body_are_left_to_the_application(name: bytes) -> None:
    assert World().ask(NATIVE, b"", (b"host", b"x"), (name, b"1")) is None


def test_pages_of_other_origins_may_read_the_answer_if_the_settings_say_so() -> None:
    world = World(http={"cors_origins": ["https://app.example"]})
    origins = {b"https://app.example": b"https://app.example", b"https://other.example": None}
    for origin, allowed in origins.items():
        answer = world.ask(NATIVE, b"", (b"origin", origin))
        assert answer is not None
        assert answer[1].get(b"access-control-allow-origin") == allowed
        assert b"ETag" in answer[1][b"access-control-expose-headers"]
    world.at_once.configure(load_config(None, {}, {"http": {"cors_origins": ["*"]}}).http)
    answer = world.ask(NATIVE, b"", (b"origin", b"https://other.example"))
    assert answer is not None
    assert answer[1][b"access-control-allow-origin"] == b"*"
    assert world.ask(NATIVE, b"", (b"origin", b"a"), (b"origin", b"b")) is None


def test_what_cannot_be_made_is_left_to_the_application_and_not_counted() -> None:
    world = World()
    world.answers = [None]
    assert world.ask() is None
    answer = world.ask()
    assert answer is not None
    assert answer[1][b"x-ratelimit-remaining"] == b"599"
    assert sum(world.counters.responses.values()) == 1


def test_nothing_is_answered_outside_a_slice_or_while_requests_wait_for_their_share() -> None:
    world = World()
    assert world.ask() is not None
    world.now_s += SLICE_S
    assert world.ask() is None
    world.now_s += REST_S
    assert world.ask() is not None
    world.now_s += SLICE_S + REST_S
    world.load.levels[Cause.HTTP] = max(world.load.levels[Cause.HTTP].__class__)
    assert world.ask() is None


def test_who_has_much_to_read_is_left_to_the_guard() -> None:
    world = World()
    world.unread.add("192.0.2.1", GROUP_MAX_BYTES)
    assert world.ask() is None
    world.unread.remove("192.0.2.1", GROUP_MAX_BYTES)
    assert world.ask() is not None
    assert world.unread.total_bytes == 0


def test_the_time_is_charged_to_http() -> None:
    world = World()
    world.ask()
    world.meter.settle()
    assert world.meter.spent_s[Cause.HTTP] == pytest.approx(0.001)


def test_a_bug_is_logged_and_left_to_the_application(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    def fails(query: bytes, headers: object) -> Answer | None:
        raise ValueError("a bug")

    parts = world.admission, world.rates, world.meter, world.requests, world.turns, world.unread
    world.at_once = AtOnce(world.config, *parts, {"/v1/klines": fails})
    assert world.ask() is None
    assert "cannot answer /v1/klines at once" in caplog.text
    world.meter.settle()
    world.now_s += 1
    world.meter.settle()
    assert world.meter.spent_s[Cause.HTTP] == 0, "its charge has ended"


@pytest.mark.parametrize(
    "sections",
    [
        {"limits": {"shared": True}},
        {"tokens": {"jwt_algorithm": "HS256", "jwt_secret": SECRET, "audience": AUDIENCE}},
    ],
    ids=["shared limits", "tokens"],
)
def test_where_each_request_may_have_to_wait_nothing_is_served(sections: dict[str, dict[str, Any]]) -> None:
    assert World().at_once.serves(NATIVE)
    assert not World().at_once.serves(b"/v1/ticker")
    assert not World(**sections).at_once.serves(NATIVE)


def test_with_tls_browsers_are_told_to_come_back_with_tls() -> None:
    world = World(server={"tls_certificate": "a", "tls_key": "b"})
    answer = world.ask()
    assert answer is not None
    assert answer[1][b"strict-transport-security"] == b"max-age=31536000"
