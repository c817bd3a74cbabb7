"""Health, readiness, metrics, status and traces of all workers, whichever of them is asked.

Each worker answers for itself at its own socket; here the answers are put together, and nothing is judged but which of
them count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway import __version__
from gateway.http import operations
from gateway.http.errors import Code, coded_route, error_response
from gateway.http.operations import NO_STORE, bears
from gateway.http.status import TRACE_WAIT_MAX_S
from gateway.ops.by_worker import by_worker
from gateway.ops.metrics import gauge
from gateway.ops.status.combine import of_all, stalest, traces
from gateway.server.worker_group import ANSWER_S, Answer, WorkerGroupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from gateway.ops.metrics import Metrics
    from gateway.server.worker_group import WorkerGroup


class Surface:
    """What a gateway tells of itself, and of its crew where it has one: there the first route that fits answers."""

    def __init__(
        self,
        reasons: Callable[[], list[str]],
        details: Callable[[], Mapping[str, object]],
        metrics: Metrics,
        token: str,
        worker_group: WorkerGroup | None,
        more: Callable[[str], list[Route]] = lambda token: [],
    ) -> None:
        """`more`: what else a process tells to those who bear a token."""
        self._reasons, self._details, self._metrics = reasons, details, metrics
        self._token, self._worker_group, self._more = token, worker_group, more

    def whole(self) -> list[Route]:
        worker_group = routes(self._worker_group, self._token) if self._worker_group else []
        return [*worker_group, *self._of_process(self._token)]

    def public(self) -> list[Route]:
        """Without details."""
        worker_group = routes(self._worker_group, self._token, public=True) if self._worker_group else []
        return [*worker_group, *operations.public_routes(self._reasons)]

    def own(self, worker_group: WorkerGroup) -> list[Route]:
        """This worker's alone, for the others of its crew."""
        return self._of_process(worker_group.secret)

    def _of_process(self, token: str) -> list[Route]:
        return [*operations.routes(self._reasons, self._details, self._metrics, token), *self._more(token)]


def routes(worker_group: WorkerGroup, token: str, *, public: bool = False) -> list[Route]:
    """To stand before those of `operations.py`. `public`: only what a load balancer asks for, without details."""

    async def healthz(_: Request) -> Response:
        answers = await worker_group.ask_all("/healthz")
        alive = {str(number): isinstance(answer, Answer) for number, answer in answers.items()}
        body = {"status": "ok", "version": __version__}
        return JSONResponse(body if public else {**body, "workers": alive}, headers=NO_STORE)

    async def readyz(request: Request) -> Response:
        # A worker that is away gets no new clients, so the others stay ready; one that is there and serves stale data
        # would get its share of them.
        workers: dict[str, dict[str, Any]] = {}
        for number, answer in (await worker_group.ask_all("/readyz")).items():
            workers[str(number)] = orjson.loads(answer.body) if isinstance(answer, Answer) else {"away": str(answer)}
        there = [worker for worker in workers.values() if "away" not in worker]
        ready = bool(there) and all(worker["ready"] for worker in there)
        why = [f"worker {number}: {why}" for number, worker in workers.items() for why in worker.pop("reasons", [])]
        shown = {"reasons": why or ["no worker answers"] * (not there), "workers": workers}
        details = shown if not public and bears(request, token) else {}
        return JSONResponse({"ready": ready, **details}, 200 if ready else 503, headers=NO_STORE)

    async def scrape(request: Request) -> Response:
        if not bears(request, token):
            return error_response(Code.UNAUTHORIZED, "a token is needed", headers={"www-authenticate": "Bearer"})
        answers = await worker_group.ask_all("/metrics")
        texts = {number: answer.body.decode() for number, answer in answers.items() if isinstance(answer, Answer)}
        whole = gauge("workers", worker_group.count) + gauge("workers_up", len(texts))
        return Response(whole + by_worker(texts), headers=NO_STORE, media_type="text/plain; version=0.0.4")

    async def everything(request: Request) -> Response:
        told, _ = _told(await worker_group.ask_all("/status.json"))
        if not told:
            return error_response(Code.OVERLOADED, "no worker answers")
        return JSONResponse(of_all(told, worker_group.count, request.query_params.get("worker", "")), headers=NO_STORE)

    async def status(request: Request) -> Response:
        answers = await _each(request, "/v1/status", ANSWER_S)
        told, refusal = _told(answers)
        if not told:
            return refusal
        number = stalest(told)
        return JSONResponse({**told[number], "worker": number}, headers=NO_STORE)

    async def trace(request: Request) -> Response:
        answers = await _each(request, "/v1/trace", TRACE_WAIT_MAX_S + ANSWER_S)
        told, refusal = _told(answers)
        if not told:
            return refusal
        away = {str(number): str(answer) for number, answer in answers.items() if isinstance(answer, WorkerGroupError)}
        body = {"symbol": request.query_params.get("symbol"), "updates": traces(told), "workers": list(told)}
        timestamp = max(worker["timestamp"] for worker in told.values())
        return JSONResponse({**body, "away": away, "timestamp": timestamp}, headers=NO_STORE)

    async def _each(request: Request, path: str, within_s: float) -> dict[int, Answer | WorkerGroupError]:
        """What each worker answers to the same question, or the one that `worker` names."""
        query = dict(request.query_params)
        chosen = query.pop("worker", None)
        numbers = [number for number in range(1, worker_group.count + 1) if chosen in (None, str(number))]
        return await worker_group.ask_all(f"{path}?{urlencode(query)}", within_s, numbers)

    def guarded(endpoint: operations.Endpoint) -> operations.Endpoint:
        return operations.guarded(endpoint, token)

    found: list[Route] = [Route("/healthz", healthz), Route("/readyz", readyz)]
    details = [
        Route("/metrics", scrape),
        Route("/status.json", guarded(everything)),
        coded_route("/v1/status", guarded(status), "GET"),
        coded_route("/v1/trace", guarded(trace), "GET"),
    ]
    return found if public else [*found, *details]


def _told(answers: Mapping[int, Answer | WorkerGroupError]) -> tuple[dict[int, Any], Response]:
    """What the workers say, and what is to be said where none of them has an answer."""
    there = {number: answer for number, answer in answers.items() if isinstance(answer, Answer)}
    told = {number: orjson.loads(answer.body) for number, answer in there.items() if answer.status == 200}
    for answer in there.values():
        if answer.status != 200:
            return told, Response(answer.body, answer.status, NO_STORE, "application/json")
    if not answers:
        return told, error_response(Code.BAD_REQUEST, "there is no such worker")
    return told, error_response(Code.OVERLOADED, "no worker answers")
