"""Below a dialect's path every answer has the dialect's shape and headers, whatever goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from gateway.history.service import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.http.mount import NothingYet, json_response, mount
from tests.unit.history.stage import stage
from tests.unit.http.client import client

if TYPE_CHECKING:
    import httpx
    from starlette.requests import Request
    from starlette.responses import Response


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
        "nothing": NothingYet(),
        "bug": RuntimeError("secret"),
    }
    raise failures[request.query_params["how"]]


async def ask(method: str, path: str) -> httpx.Response:
    routes = mount("/dialect", {"fine": fine, "deep/fine": fine, "failing": failing}, shaped, Refused, {"X-Its": "own"})
    async with client(stage(), more=tuple(routes)) as http:
        return await http.request(method, path)


@pytest.mark.parametrize("path", ["/dialect/fine", "/dialect/deep/fine"])
async def test_an_endpoint_answers_with_the_dialects_headers(path: str) -> None:
    answer = await ask("GET", path)
    assert (answer.status_code, answer.content, answer.headers["x-its"]) == (200, b"{}", "own")
    assert answer.headers["content-type"] == "application/json"
    assert (await ask("HEAD", path)).status_code == 200


@pytest.mark.parametrize(
    ("how", "text", "retry_after"),
    [
        ("refused", "GET Refused", None),
        ("unknown", "GET UnknownSymbol", None),
        ("away", "GET StoreUnavailable", "2"),
        ("nothing", "GET NothingYet", "1"),
        ("bug", "GET RuntimeError", None),
    ],
)
async def test_each_failure_is_shaped_and_never_kept(how: str, text: str, retry_after: str | None) -> None:
    answer = await ask("GET", f"/dialect/failing?how={how}")
    assert (answer.status_code, answer.text) == (418, text)
    assert (answer.headers["cache-control"], answer.headers["x-its"]) == ("no-store", "own")
    assert answer.headers.get("retry-after") == retry_after


@pytest.mark.parametrize("path", ["/dialect", "/dialect/", "/dialect/none", "/dialect/fine/", "/dialect//fine"])
async def test_a_path_that_is_not_there_is_shaped_and_not_redirected(path: str) -> None:
    answer = await ask("GET", path)
    assert (answer.status_code, answer.text, answer.headers["x-its"]) == (404, "GET HTTPException", "own")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
async def test_a_method_that_is_not_there_is_shaped_and_names_the_right_ones(method: str) -> None:
    answer = await ask(method, "/dialect/fine")
    assert (answer.status_code, answer.text) == (405, f"{method} HTTPException")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert (await ask(method, "/dialect")).status_code == 404


async def test_paths_beside_it_are_not_its_business() -> None:
    assert (await ask("GET", "/dialects")).json()["code"] == "BAD_REQUEST"
