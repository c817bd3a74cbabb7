"""Routes that answer for all workers: how their answers are combined, and what needs the token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.http.worker_operations import OperationsRoutes
from gateway.ops.counters import Counters
from gateway.ops.health import STARTING
from gateway.ops.metrics import Metrics
from gateway.server.worker_group import Answer, WorkerGroup, WorkerGroupError

if TYPE_CHECKING:
    from starlette.routing import Route


class Report:
    """A process that is neither ready nor fresh."""

    def not_ready_reasons(self) -> list[str]:
        return ["own"]

    def stale_reasons(self) -> list[str]:
        return ["feed: silent"]

    def details(self) -> dict[str, object]:
        return {}

    def data_details(self) -> dict[str, object]:
        return {"lanes": {}}


FRESH = Answer(200, b'{"ready":true,"reasons":[],"feed":"poll"}')
LATE = Answer(503, b'{"ready":false,"reasons":["flush: late"]}')
NEW = Answer(503, json.dumps({"ready": False, "reasons": [STARTING]}).encode())
FAILED = WorkerGroupError("Connection refused")


@pytest.fixture
def worker_group(monkeypatch: pytest.MonkeyPatch) -> WorkerGroup:
    monkeypatch.setattr(WorkerGroup, "ask_all", None)
    return WorkerGroup.create(2)[0]


def operations_routes(worker_group: WorkerGroup | None, token: str = "") -> OperationsRoutes:
    return OperationsRoutes(Report(), Metrics(Counters(), dict, dict), token, worker_group)


async def get(routes: list[Route], path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        return await http.get(path, headers=headers)


def set_answers(monkeypatch: pytest.MonkeyPatch, *answers: Answer | WorkerGroupError) -> list[str]:
    """Have the workers give these answers; returns the paths they are asked for."""
    asked: list[str] = []

    async def ask_all(_: WorkerGroup, path: str, *options: Any) -> dict[int, Answer | WorkerGroupError]:
        asked.append(path)
        numbers = options[1] if options else range(1, len(answers) + 1)
        return {number: answers[number - 1] for number in numbers}

    monkeypatch.setattr(WorkerGroup, "ask_all", ask_all)
    return asked


def trace_of(*read_ms: int) -> Answer:
    updates = [{"read": at} for at in read_ms]
    return Answer(200, json.dumps({"symbol": "BTCUSDT", "updates": updates, "timestamp": sum(read_ms)}).encode())


@pytest.mark.parametrize(
    ("answers", "status", "reasons"),
    [
        pytest.param((FRESH, FRESH), 200, [], id="both ready"),
        pytest.param((FRESH, FAILED), 200, [], id="one away"),
        pytest.param((FRESH, LATE), 503, ["worker 2: flush: late"], id="one late"),
        pytest.param((FRESH, NEW), 200, [f"worker 2: {STARTING}"], id="one starting"),
        pytest.param((NEW, FAILED), 503, [f"worker 1: {STARTING}"], id="nobody has started"),
        pytest.param((LATE, FAILED), 503, ["worker 1: flush: late"], id="nobody ready"),
        pytest.param((FAILED, FAILED), 503, ["no worker answers"], id="nobody"),
    ],
)
async def test_the_group_is_ready_if_a_worker_is_and_none_is_late(
    worker_group: WorkerGroup,
    monkeypatch: pytest.MonkeyPatch,
    answers: tuple[Answer | WorkerGroupError, ...],
    status: int,
    reasons: list[str],
) -> None:
    set_answers(monkeypatch, *answers)
    answer = await get(operations_routes(worker_group).routes(), "/readyz")
    body = json.loads(answer.content)
    assert (answer.status_code, body["ready"], body["reasons"]) == (status, status == 200, reasons)
    # The public routes show no more than that.
    answer = await get(operations_routes(worker_group).public_routes(), "/readyz")
    assert (answer.status_code, json.loads(answer.content)) == (status, {"ready": status == 200})


@pytest.mark.parametrize(
    ("answers", "status", "reasons"),
    [
        (("", ""), 200, []),
        (("", FAILED), 200, []),
        (("", "feed: prices"), 503, ["worker 2: feed: prices"]),
        ((FAILED, FAILED), 503, ["no worker answers"]),
    ],
    ids=["both fresh", "one away", "one stale", "nobody"],
)
async def test_the_data_of_the_group_is_fresh_if_that_of_every_answering_worker_is(
    worker_group: WorkerGroup,
    monkeypatch: pytest.MonkeyPatch,
    answers: tuple[str | WorkerGroupError, ...],
    status: int,
    reasons: list[str],
) -> None:
    def answer_of(reason: str) -> Answer:
        body = {"fresh": not reason, "reasons": [reason] if reason else []}
        return Answer(503 if reason else 200, json.dumps(body).encode())

    asked = set_answers(monkeypatch, *(answer_of(it) if isinstance(it, str) else it for it in answers))
    answer = await get(operations_routes(worker_group).routes(), "/v1/health/data")
    body = json.loads(answer.content)
    assert asked == ["/v1/health/data"]
    assert (answer.status_code, body["fresh"], body["reasons"]) == (status, status == 200, reasons)
    answer = await get(operations_routes(worker_group).public_routes(), "/v1/health/data")
    assert (answer.status_code, json.loads(answer.content)) == (status, {"fresh": status == 200})


async def test_a_process_says_whether_its_data_is_fresh_and_details_need_the_token() -> None:
    routes = operations_routes(None, "open sesame").routes()
    answer = await get(routes, "/v1/health/data")
    assert (answer.status_code, answer.json()) == (503, {"fresh": False})
    answer = await get(routes, "/v1/health/data", authorization="Bearer open sesame")
    assert answer.json() == {"fresh": False, "reasons": ["feed: silent"], "lanes": {}}
    answer = await get(operations_routes(None).public_routes(), "/v1/health/data")
    assert (answer.status_code, answer.json()) == (503, {"fresh": False})


async def test_details_and_metrics_need_the_token(worker_group: WorkerGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    set_answers(monkeypatch, FRESH, FAILED)
    routes = operations_routes(worker_group, "open sesame").routes()
    for path in ("/metrics", "/status.json", "/v1/status", "/v1/trace"):
        assert (await get(routes, path)).status_code == 401
    assert json.loads((await get(routes, "/readyz")).content) == {"ready": True}
    shown = json.loads((await get(routes, "/readyz", authorization="Bearer open sesame")).content)
    assert shown["workers"] == {"1": {"ready": True, "feed": "poll"}, "2": {"away": "Connection refused"}}


async def test_metrics_are_those_of_the_workers_that_answer(
    worker_group: WorkerGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_answers(monkeypatch, FAILED, Answer(200, b"# TYPE x gauge\nx 1\n"))
    lines = (await get(operations_routes(worker_group).routes(), "/metrics")).text.splitlines()
    assert {"gateway_workers 2", "gateway_workers_up 1", 'x{worker="2"} 1'} <= set(lines)


async def test_healthz_lists_which_workers_answer(worker_group: WorkerGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    set_answers(monkeypatch, FAILED, Answer(200, b""))
    assert json.loads((await get(operations_routes(worker_group).routes(), "/healthz")).content)["workers"] == {
        "1": False,
        "2": True,
    }
    assert "workers" not in json.loads((await get(operations_routes(worker_group).public_routes(), "/healthz")).content)


async def test_an_update_is_traced_by_each_worker(worker_group: WorkerGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = set_answers(monkeypatch, trace_of(1, 5), trace_of(4))
    body = json.loads(
        (await get(operations_routes(worker_group).routes(), "/v1/trace?symbol=BTCUSDT&count=2&x=%0d%0a%20y")).content
    )
    assert [(update["worker"], update["read"]) for update in body["updates"]] == [(1, 1), (2, 4), (1, 5)]
    assert (body["symbol"], body["workers"], body["away"], body["timestamp"]) == ("BTCUSDT", [1, 2], {}, 6)
    # Text from a client stays a query.
    assert asked == ["/v1/trace?symbol=BTCUSDT&count=2&x=%0D%0A+y"]


async def test_the_query_can_choose_the_worker_that_traces(
    worker_group: WorkerGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_answers(monkeypatch, trace_of(1), trace_of(4))
    body = json.loads(
        (await get(operations_routes(worker_group).routes(), "/v1/trace?symbol=BTCUSDT&worker=2")).content
    )
    assert (body["workers"], body["updates"]) == ([2], [{"worker": 2, "read": 4}])


async def test_a_trace_lists_workers_that_do_not_answer(
    worker_group: WorkerGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_answers(monkeypatch, trace_of(1), FAILED)
    body = json.loads((await get(operations_routes(worker_group).routes(), "/v1/trace?symbol=BTCUSDT")).content)
    assert (body["workers"], body["away"]) == ([1], {"2": "Connection refused"})


async def test_status_by_symbol_is_that_of_the_stalest_worker(
    worker_group: WorkerGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_answers(
        monkeypatch,
        Answer(200, b'{"reasons":[],"quiet":0,"symbols":[]}'),
        Answer(200, b'{"reasons":[],"quiet":4,"symbols":[]}'),
    )
    body = json.loads((await get(operations_routes(worker_group).routes(), "/v1/status")).content)
    assert (body["worker"], body["quiet"]) == (2, 4)


@pytest.mark.parametrize("path", ["/v1/trace", "/v1/status"])
@pytest.mark.parametrize(
    ("answers", "query", "status", "code"),
    [
        pytest.param((Answer(400, b'{"code":"INVALID_SYMBOL"}'), FAILED), "", 400, "INVALID_SYMBOL", id="refused"),
        pytest.param((FAILED, FAILED), "", 503, "OVERLOADED", id="nobody"),
        pytest.param((FAILED, FAILED), "?worker=3", 400, "BAD_REQUEST", id="no such worker"),
    ],
)
async def test_requests_without_an_answer_get_an_error_code(
    worker_group: WorkerGroup,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    answers: tuple[Answer | WorkerGroupError, ...],
    query: str,
    status: int,
    code: str,
) -> None:
    set_answers(monkeypatch, *answers)
    answer = await get(operations_routes(worker_group).routes(), f"{path}{query}")
    assert (answer.status_code, json.loads(answer.content)["code"]) == (status, code)


async def test_without_a_worker_group_the_process_answers() -> None:
    assert json.loads((await get(operations_routes(None).routes(), "/readyz")).content)["reasons"] == ["own"]


async def test_other_workers_get_this_workers_answer_with_the_secret(worker_group: WorkerGroup) -> None:
    routes = operations_routes(worker_group, "open sesame").worker_routes(worker_group)
    assert (await get(routes, "/metrics")).status_code == 401
    answer = await get(routes, "/readyz", authorization=f"Bearer {worker_group.secret}")
    assert json.loads(answer.content)["reasons"] == ["own"]
