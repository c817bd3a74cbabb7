"""Health, readiness, metrics, status and traces of all workers, whichever of them gets the request.

Each worker answers for itself at its own socket; this file combines the answers.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway import __version__
from gateway.http import operations
from gateway.http.errors import coded_route, error_response
from gateway.http.operations import NO_STORE, has_token, probe_answer
from gateway.http.shared import Shared
from gateway.http.status import TRACE_WAIT_MAX_S
from gateway.model.errors import ErrorCode
from gateway.ops.health import STARTING
from gateway.ops.metrics import gauge, label_by_worker
from gateway.ops.status.combine import combine_status, combine_traces, stalest
from gateway.server.worker_group import ANSWER_S, Answer, WorkerGroupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from gateway.http.operations import HealthReport
    from gateway.ops.metrics import Metrics
    from gateway.server.worker_group import WorkerGroup

PROBED_S = 0.1
"""Age up to which the health of the workers is sent again: a flood of probes must not multiply by their number."""


class OperationsRoutes:
    """The routes for operators: of this process, preceded by those of the worker group if there is one."""

    def __init__(
        self,
        health: HealthReport,
        metrics: Metrics,
        token: str | None,
        worker_group: WorkerGroup | None,
        more: Callable[[str | None], list[Route]] = lambda token: [],
    ) -> None:
        """`more`: further routes of a process, made for the token that they require."""
        self._health, self._metrics = health, metrics
        self._token, self._worker_group, self._more = token, worker_group, more

    def routes(self) -> list[Route]:
        """All routes, with details."""
        worker_group = group_routes(self._worker_group, self._token) if self._worker_group else []
        return [*worker_group, *self._of_process(self._token)]

    def public_routes(self) -> list[Route]:
        """What load balancers need: `/healthz`, `/readyz` and `/v1/health/data` without details."""
        worker_group = group_routes(self._worker_group, self._token, public=True) if self._worker_group else []
        return [*worker_group, *operations.probes(self._health, None)]

    def worker_routes(self, worker_group: WorkerGroup) -> list[Route]:
        """The routes of this process alone, for the other workers of its group."""
        return self._of_process(worker_group.secret)

    def _of_process(self, token: str | None) -> list[Route]:
        return [*operations.routes(self._health, self._metrics, token), *self._more(token)]


def group_routes(worker_group: WorkerGroup, token: str | None, *, public: bool = False) -> list[Route]:
    """Routes that answer for all workers; they replace those of `operations.py` of the same paths.

    `public`: only `/healthz`, `/readyz` and `/v1/health/data`, without details.
    """

    async def all_metrics() -> bytes:
        answers = await worker_group.ask_all("/metrics")
        texts = {number: answer.body.decode() for number, answer in answers.items() if isinstance(answer, Answer)}
        own = gauge("workers", worker_group.count) + gauge("workers_up", len(texts))
        return (own + label_by_worker(texts)).encode()

    async def all_statuses() -> dict[int, Any]:
        return _decode(await worker_group.ask_all("/status.json"))[0]

    probed = ("/healthz", "/readyz", "/v1/health/data")
    probes = {path: Shared(partial(worker_group.ask_all, path), PROBED_S) for path in probed}
    metrics, statuses_of_all = Shared(all_metrics), Shared(all_statuses)

    async def healthz(_: Request) -> Response:
        answers = await probes["/healthz"].get()
        alive = {str(number): isinstance(answer, Answer) for number, answer in answers.items()}
        body = {"status": "ok", "version": __version__}
        return JSONResponse(body if public else {**body, "workers": alive}, headers=NO_STORE)

    async def readyz(request: Request) -> Response:
        # A worker that does not answer, or is starting, gets no new clients, so the others stay ready; one that is late
        # would get its share of them.
        return await ask_probe(request, "/readyz", "ready", passed_over=STARTING)

    async def data(request: Request) -> Response:
        return await ask_probe(request, "/v1/health/data", "fresh", passed_over=None)

    async def ask_probe(request: Request, path: str, name: str, passed_over: str | None) -> Response:
        """Combine a probe's answers. Workers whose only reason is `passed_over` count like those away."""
        workers: dict[str, dict[str, Any]] = {}
        for number, answer in (await probes[path].get()).items():
            workers[str(number)] = orjson.loads(answer.body) if isinstance(answer, Answer) else {"away": str(answer)}
        counting = [
            worker for worker in workers.values() if "away" not in worker and worker.get("reasons") != [passed_over]
        ]
        why = [f"worker {number}: {why}" for number, worker in workers.items() for why in worker.pop("reasons", [])]
        good = bool(counting) and all(worker[name] for worker in counting)
        shown = {"reasons": why or ["no worker answers"] * (not counting), "workers": workers}
        return probe_answer(name, not good, shown if not public and has_token(request, token) else {})

    async def scrape(request: Request) -> Response:
        if not has_token(request, token):
            return error_response(ErrorCode.UNAUTHORIZED, "a token is needed", headers={"www-authenticate": "Bearer"})
        return Response(await metrics.get(), headers=NO_STORE, media_type="text/plain; version=0.0.4")

    async def all_status(request: Request) -> Response:
        statuses = await statuses_of_all.get()
        if not statuses:
            return error_response(ErrorCode.OVERLOADED, "no worker answers")
        return JSONResponse(
            combine_status(statuses, worker_group.count, request.query_params.get("worker", "")), headers=NO_STORE
        )

    async def status(request: Request) -> Response:
        answers = await _ask_workers(request, "/v1/status", ANSWER_S)
        statuses, refusal = _decode(answers)
        if not statuses:
            return refusal
        number = stalest(statuses)
        return JSONResponse({**statuses[number], "worker": number}, headers=NO_STORE)

    async def trace(request: Request) -> Response:
        answers = await _ask_workers(request, "/v1/trace", TRACE_WAIT_MAX_S + ANSWER_S)
        statuses, refusal = _decode(answers)
        if not statuses:
            return refusal
        failures = {
            str(number): str(answer) for number, answer in answers.items() if isinstance(answer, WorkerGroupError)
        }
        body = {
            "symbol": request.query_params.get("symbol"),
            "updates": combine_traces(statuses),
            "workers": list(statuses),
        }
        timestamp = max(worker["timestamp"] for worker in statuses.values())
        return JSONResponse({**body, "away": failures, "timestamp": timestamp}, headers=NO_STORE)

    async def _ask_workers(request: Request, path: str, within_s: float) -> dict[int, Answer | WorkerGroupError]:
        """The answer of each worker to the same request, or only of the one that the query's `worker` names."""
        query = dict(request.query_params)
        chosen = query.pop("worker", None)
        numbers = [number for number in range(1, worker_group.count + 1) if chosen in (None, str(number))]
        return await worker_group.ask_all(f"{path}?{urlencode(query)}", within_s, numbers)

    def guarded(endpoint: operations.Endpoint) -> operations.Endpoint:
        return operations.guarded(endpoint, token)

    health: list[Route] = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/v1/health/data", data)]
    details = [
        Route("/metrics", scrape),
        Route("/status.json", guarded(all_status)),
        coded_route("/v1/status", guarded(status), "GET"),
        coded_route("/v1/trace", guarded(trace), "GET"),
    ]
    return health if public else [*health, *details]


def _decode(answers: Mapping[int, Answer | WorkerGroupError]) -> tuple[dict[int, Any], Response]:
    """The JSON of each worker that answers, and the response to send if there is none."""
    received = {number: answer for number, answer in answers.items() if isinstance(answer, Answer)}
    statuses = {number: orjson.loads(answer.body) for number, answer in received.items() if answer.status == 200}
    for answer in received.values():
        if answer.status != 200:
            return statuses, Response(answer.body, answer.status, NO_STORE, "application/json")
    if not answers:
        return statuses, error_response(ErrorCode.BAD_REQUEST, "unknown worker")
    return statuses, error_response(ErrorCode.OVERLOADED, "no worker answers")
