"""Every failure is `{error, code, details?}` with its status, readable from a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route

from gateway.history.service import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.http.errors import STATUS, Code, coded_route, error_response
from tests.unit.history.stage import stage
from tests.unit.http.client import client

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Message

PATH = "/v1/klines?symbol=BTCUSDT&interval=1m"


def test_every_code_has_a_status() -> None:
    assert set(STATUS) == set(Code)


def test_details_are_there_only_when_there_are_some() -> None:
    assert orjson.loads(error_response(Code.BAD_REQUEST, "why").body) == {"error": "why", "code": "BAD_REQUEST"}
    with_details = orjson.loads(error_response(Code.BAD_REQUEST, "why", {"field": "limit"}).body)
    assert with_details["details"] == {"field": "limit"}


@pytest.mark.parametrize(("wait_s", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (3.1, "4")])
def test_retry_after_is_whole_seconds_and_at_least_one(wait_s: float, header: str) -> None:
    answer = error_response(Code.RATE_LIMIT, "slower", retry_after_s=wait_s)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, header)


async def test_a_path_that_is_not_there_is_a_coded_404() -> None:
    async with client(stage()) as http:
        answer = await http.get("/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "BAD_REQUEST")
    assert "/v1/nothing" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", PATH, {"GET", "HEAD", "OPTIONS"}), ("GET", "/functions/v1/get-klines", {"POST", "OPTIONS"})],
)
async def test_the_wrong_method_is_a_coded_405_that_names_the_right_ones(
    method: str, path: str, allowed: set[str]
) -> None:
    async with client(stage()) as http:
        refused = await http.request(method, path)
        told = await http.options(path)
    assert (refused.status_code, refused.json()["code"]) == (405, "BAD_REQUEST")
    assert set(refused.headers["allow"].split(", ")) == allowed
    assert (told.status_code, set(told.headers["allow"].split(", "))) == (204, allowed)


async def test_head_is_get_without_the_body() -> None:
    async with client(stage()) as http:
        got = await http.get(PATH)
        head = await http.head(PATH)
    assert head.status_code == 200
    assert head.headers["etag"] == got.headers["etag"]


@pytest.mark.parametrize("path", [PATH, "/v1/klines?symbol=x&interval=1m", "/v1/nothing"])
async def test_pages_of_other_origins_may_read_answers_and_errors(path: str) -> None:
    async with client(stage()) as http:
        answer = await http.get(path, headers={"origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]


async def test_only_the_origins_set_may_read() -> None:
    async with client(stage(), cors_origins=("https://app.example",)) as http:
        ours = await http.get(PATH, headers={"origin": "https://app.example"})
        other = await http.get(PATH, headers={"origin": "https://evil.example"})
    assert ours.headers["access-control-allow-origin"] == "https://app.example"
    assert {"Accept-Encoding", "Origin"} <= set(ours.headers["vary"].split(", "))
    assert "access-control-allow-origin" not in other.headers


async def test_a_browsers_preflight_is_answered() -> None:
    headers = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type, authorization, apikey",
    }
    async with client(stage()) as http:
        answer = await http.options("/functions/v1/get-klines", headers=headers)
    assert answer.status_code == 200
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "apikey" in answer.headers["access-control-allow-headers"]


async def test_our_own_bug_is_a_coded_500_that_tells_nothing_of_the_inside() -> None:
    async def broken(request: Request) -> Response:
        raise RuntimeError("secret")

    async with client(stage(), more=(Route("/broken", broken),)) as http:
        answer = await http.get("/broken")
    assert (answer.status_code, answer.json()) == (
        500,
        {"error": "an error inside the gateway", "code": "INTERNAL"},
    )


async def test_a_client_that_hangs_up_is_no_bug_of_ours() -> None:
    async def reads(request: Request) -> Response:
        raise ClientDisconnect

    route = coded_route("/reads", reads, "POST")
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/reads", "headers": [], "query_string": b""}
    await route.handle(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_an_unknown_symbol_and_an_absent_store_have_their_codes_on_every_route() -> None:
    async def unknown(request: Request) -> Response:
        raise UnknownSymbol("FOOUSDT")

    async def absent(request: Request) -> Response:
        raise StoreUnavailable("timeout", 5, 2.0)

    more = (coded_route("/unknown", unknown, "GET"), coded_route("/absent", absent, "GET"))
    async with client(stage(), more=more) as http:
        answers = [await http.get(path) for path in ("/unknown", "/absent")]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (400, "INVALID_SYMBOL"),
        (503, "REDIS_ERROR"),
    ]
    assert answers[1].headers["retry-after"] == "2"
    assert answers[1].json()["details"] == {"reason": "timeout", "since": 5}
