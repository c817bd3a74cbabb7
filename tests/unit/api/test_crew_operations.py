from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.api.crew_operations import Surface
from gateway.crew import Answer, Crew, CrewError
from gateway.ops.counters import Counters
from gateway.ops.metrics import Metrics

if TYPE_CHECKING:
    from starlette.routing import Route

FRESH = Answer(200, b'{"ready":true,"reasons":[],"feed":"poll"}')
STALE = Answer(503, b'{"ready":false,"reasons":["feed: redis"]}')
AWAY = CrewError("Connection refused")


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Crew:
    monkeypatch.setattr(Crew, "ask_all", None)
    return Crew.gather(2)[0]


def surface(crew: Crew | None, token: str = "") -> Surface:
    return Surface(lambda: ["own"], dict, Metrics(Counters(), dict, dict), token, crew)


async def get(routes: list[Route], path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        return await http.get(path, headers=headers)


def told(monkeypatch: pytest.MonkeyPatch, *answers: Answer | CrewError) -> None:
    async def ask_all(*_: Any) -> dict[int, Answer | CrewError]:
        return dict(enumerate(answers, 1))

    monkeypatch.setattr(Crew, "ask_all", ask_all)


@pytest.mark.parametrize(
    ("answers", "status", "reasons"),
    [
        pytest.param((FRESH, FRESH), 200, [], id="both fresh"),
        pytest.param((FRESH, AWAY), 200, [], id="one away"),
        pytest.param((FRESH, STALE), 503, ["worker 2: feed: redis"], id="one stale"),
        pytest.param((STALE, AWAY), 503, ["worker 1: feed: redis"], id="nobody fresh"),
        pytest.param((AWAY, AWAY), 503, ["no worker answers"], id="nobody"),
    ],
)
async def test_all_are_ready_when_nobody_gets_stale_data(
    crew: Crew,
    monkeypatch: pytest.MonkeyPatch,
    answers: tuple[Answer | CrewError, ...],
    status: int,
    reasons: list[str],
) -> None:
    told(monkeypatch, *answers)
    answer = await get(surface(crew).whole(), "/readyz")
    body = json.loads(answer.content)
    assert (answer.status_code, body["ready"], body["reasons"]) == (status, status == 200, reasons)
    # The public learns no more than that.
    answer = await get(surface(crew).public(), "/readyz")
    assert (answer.status_code, json.loads(answer.content)) == (status, {"ready": status == 200})


async def test_details_and_metrics_need_the_token(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, FRESH, AWAY)
    routes = surface(crew, "open sesame").whole()
    assert (await get(routes, "/metrics")).status_code == 401
    assert json.loads((await get(routes, "/readyz")).content) == {"ready": True}
    shown = json.loads((await get(routes, "/readyz", authorization="Bearer open sesame")).content)
    assert shown["workers"] == {"1": {"ready": True, "feed": "poll"}, "2": {"away": "Connection refused"}}


async def test_metrics_are_those_of_who_answers(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, AWAY, Answer(200, b"# TYPE x gauge\nx 1\n"))
    lines = (await get(surface(crew).whole(), "/metrics")).text.splitlines()
    assert {"gateway_workers 2", "gateway_workers_up 1", 'x{worker="2"} 1'} <= set(lines)


async def test_health_tells_who_is_there(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, AWAY, Answer(200, b""))
    assert json.loads((await get(surface(crew).whole(), "/healthz")).content)["workers"] == {"1": False, "2": True}
    assert "workers" not in json.loads((await get(surface(crew).public(), "/healthz")).content)


async def test_alone_a_gateway_speaks_for_itself() -> None:
    assert json.loads((await get(surface(None).whole(), "/readyz")).content)["reasons"] == ["own"]


async def test_to_its_crew_a_worker_speaks_for_itself_and_wants_the_secret(crew: Crew) -> None:
    routes = surface(crew, "open sesame").own(crew)
    assert (await get(routes, "/metrics")).status_code == 401
    answer = await get(routes, "/readyz", authorization=f"Bearer {crew.secret}")
    assert json.loads(answer.content)["reasons"] == ["own"]
