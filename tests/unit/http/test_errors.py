"""Every failure has a code and a status in the native shape, or the shape of its dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from gateway.history.series_reader import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.http.errors import NoDataYet, coded_route, error_response, mount_dialect
from gateway.http.reply import json_response
from gateway.model.errors import ErrorCode
from tests.unit.history.stage import stage
from tests.unit.http.client import client

if TYPE_CHECKING:
    import httpx
    from starlette.responses import Response
    from starlette.types import Message
    from starlette.websockets import WebSocket

PATH = "/v1/klines?symbol=BTCUSDT&interval=1m"


async def stream(_: WebSocket) -> None:
    """Stands at the paths of streams."""


STREAMS = tuple(
    WebSocketRoute(path, stream) for path in ("/v1/stream", "/ws", "/ws/{rest:path}", "/stream", "/replay/{rest:path}")
)


def test_details_are_present_only_if_there_are_any() -> None:
    assert orjson.loads(error_response(ErrorCode.BAD_REQUEST, "why").body) == {"error": "why", "code": "BAD_REQUEST"}
    with_details = orjson.loads(error_response(ErrorCode.BAD_REQUEST, "why", {"field": "limit"}).body)
    assert with_details["details"] == {"field": "limit"}


@pytest.mark.parametrize(("wait_s", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (3.1, "4")])
def test_retry_after_is_whole_seconds_and_at_least_one(wait_s: float, header: str) -> None:
    answer = error_response(ErrorCode.RATE_LIMIT, "slower", retry_after_s=wait_s)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, header)


async def test_an_unknown_path_is_a_404_with_a_code() -> None:
    async with client(stage()) as http:
        answer = await http.get("/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert "/v1/nothing" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v1/stream", "/ws", "/ws/btcusdt@trade", "/stream?streams=x", "/replay/0/1x/ws"])
async def test_a_request_for_a_stream_without_a_websocket_says_so(path: str) -> None:
    async with client(stage(), more=STREAMS) as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.json()["code"], answer.headers["upgrade"]) == (426, "BAD_REQUEST", "websocket")
    assert "ws://" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v1/streams", "/wsx", "/v1/stream/more"])
async def test_what_only_begins_like_a_stream_is_an_unknown_path(path: str) -> None:
    async with client(stage(), more=STREAMS) as http:
        assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", PATH, {"GET", "HEAD", "OPTIONS"}), ("GET", "/functions/v1/get-klines", {"POST", "OPTIONS"})],
)
async def test_a_wrong_method_is_a_405_that_lists_the_right_ones(method: str, path: str, allowed: set[str]) -> None:
    async with client(stage()) as http:
        refused = await http.request(method, path)
        options = await http.options(path)
    assert (refused.status_code, refused.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert set(refused.headers["allow"].split(", ")) == allowed
    assert (options.status_code, set(options.headers["allow"].split(", "))) == (204, allowed)


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


async def test_only_configured_origins_may_read() -> None:
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


async def test_a_bug_is_a_500_that_reveals_nothing() -> None:
    async def broken(request: Request) -> Response:
        raise RuntimeError("secret")

    async with client(stage(), more=(Route("/broken", broken),)) as http:
        answer = await http.get("/broken")
    assert (answer.status_code, answer.json()) == (
        500,
        {"error": "Internal error.", "code": "INTERNAL"},
    )


async def test_a_client_that_hangs_up_is_not_an_internal_error() -> None:
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


async def test_unknown_symbol_and_unavailable_store_have_codes_on_every_route() -> None:
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


# Dialects under a path of their own.


class Refused(Exception):
    pass


def shaped(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 418
    return PlainTextResponse(f"{request.method} {type(error).__name__}", status)


async def fine(request: Request) -> Response:
    return json_response(b"{}")


async def failing(request: Request) -> Response:
    failures: dict[str, Exception] = {
        "refused": Refused(),
        "unknown": UnknownSymbol("FOO"),
        "away": StoreUnavailable("timeout", 5, 1.2),
        "nothing": NoDataYet(),
        "bug": RuntimeError("secret"),
    }
    raise failures[request.query_params["how"]]


async def ask(method: str, path: str) -> httpx.Response:
    routes = mount_dialect("/dialect", {"fine": fine, "deep/fine": fine, "failing": failing}, shaped, Refused)
    async with client(stage(), more=tuple(routes)) as http:
        return await http.request(method, path)


@pytest.mark.parametrize("path", ["/dialect/fine", "/dialect/deep/fine"])
async def test_an_endpoint_of_a_dialect_answers_get_and_head(path: str) -> None:
    answer = await ask("GET", path)
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert answer.headers["content-type"] == "application/json"
    assert (await ask("HEAD", path)).status_code == 200


@pytest.mark.parametrize(
    ("how", "text", "retry_after"),
    [
        ("refused", "GET Refused", None),
        ("unknown", "GET UnknownSymbol", None),
        ("away", "GET StoreUnavailable", "2"),
        ("nothing", "GET NoDataYet", "1"),
        ("bug", "GET RuntimeError", None),
    ],
)
async def test_each_failure_has_the_dialects_shape_uncached(how: str, text: str, retry_after: str | None) -> None:
    answer = await ask("GET", f"/dialect/failing?how={how}")
    assert (answer.status_code, answer.text) == (418, text)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get("retry-after") == retry_after


@pytest.mark.parametrize("path", ["/dialect", "/dialect/", "/dialect/none", "/dialect/fine/", "/dialect//fine"])
async def test_an_unknown_path_has_the_dialects_shape_and_is_not_redirected(path: str) -> None:
    answer = await ask("GET", path)
    assert (answer.status_code, answer.text) == (404, "GET HTTPException")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
async def test_a_wrong_method_has_the_dialects_shape_and_lists_the_right_ones(method: str) -> None:
    answer = await ask(method, "/dialect/fine")
    assert (answer.status_code, answer.text) == (405, f"{method} HTTPException")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert (await ask(method, "/dialect")).status_code == 404


async def test_other_paths_have_the_native_shape() -> None:
    assert (await ask("GET", "/dialects")).json()["code"] == "NOT_FOUND"
