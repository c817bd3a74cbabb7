"""One worker of the supervisor: its membership, its signals, and when it is killed. Processes are fakes."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.server import workers
from gateway.server.worker_group import Answer, WorkerGroup, WorkerGroupError
from gateway.server.workers import PROBES_MISSED_MAX, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


class FakeProcess:
    """A process that ends when it is told how; its standard input is a list of what was written."""

    pid = 71

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.signals: list[signal.Signals] = []
        self.stdin = self
        self.stdout = asyncio.StreamReader()
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def send_signal(self, number: signal.Signals) -> None:
        if self._status.done():
            raise ProcessLookupError
        self.signals.append(number)
        if number == signal.SIGKILL:
            self.end(-number)

    def serve(self) -> None:
        self.stdout.feed_data(b"Serving on http://127.0.0.1:8000\n")

    def end(self, status: int) -> None:
        self.stdout.feed_eof()
        self._status.set_result(status)

    async def wait(self) -> int:
        return await self._status


@asynccontextmanager
async def running(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[Worker, FakeProcess, asyncio.Task[tuple[int, str, float]]]]:
    process = FakeProcess()

    async def start(*_: object, **__: object) -> FakeProcess:
        return process

    monkeypatch.setattr("asyncio.create_subprocess_exec", start)
    worker = Worker(WorkerGroup.create(2)[1], ["command"], 0.01)
    task = asyncio.create_task(worker.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        yield worker, process, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_worker_gets_its_membership_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as (_, process, _):
        (line,) = process.written
        assert line.endswith(b"\n")
        assert json.loads(line)["number"] == 2


async def test_a_worker_serves_from_its_first_line_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as (worker, process, task):
        assert not worker.serves.is_set()
        process.serve()
        await worker.serves.wait()
        process.end(3)
        pid, why, served_s = await task
        assert (pid, why) == (71, "ended with status 3")
        assert served_s > 0
        assert not worker.serves.is_set()


async def test_a_worker_that_ends_without_a_line_has_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as (_, process, task):
        process.end(-signal.SIGKILL)
        assert await task == (71, "was killed by SIGKILL", 0.0)


async def test_a_worker_that_does_not_serve_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "START_S", 0.01)
    async with running(monkeypatch) as (_, process, task):
        assert await task == (71, "was killed by SIGKILL", 0.0)
        assert process.signals == [signal.SIGKILL]


async def test_a_terminated_worker_that_does_not_end_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as (worker, process, task):
        worker.terminate()
        await task
        assert process.signals == [signal.SIGTERM, signal.SIGKILL]


async def test_a_reload_waits_until_the_worker_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as (worker, process, _):
        worker.reload()
        assert process.signals == []
        process.serve()
        await worker.serves.wait()
        assert process.signals == [signal.SIGHUP]
        worker.reload()
        assert process.signals == [signal.SIGHUP, signal.SIGHUP]


async def test_a_signal_for_a_process_that_has_ended_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as (worker, process, task):
        process.end(0)
        worker.send(signal.SIGTERM)
        await task
        worker.send(signal.SIGTERM)
        assert process.signals == []


async def test_a_worker_that_misses_several_probes_in_a_row_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False] * (PROBES_MISSED_MAX - 1) + [True] + [False] * PROBES_MISSED_MAX

    async def ask(*_: object) -> Answer:
        if answers.pop(0):
            return Answer(200, b"")
        raise WorkerGroupError("no answer in time")

    monkeypatch.setattr(WorkerGroup, "ask", ask)
    monkeypatch.setattr(workers, "PROBE_S", 0.001)
    async with running(monkeypatch) as (worker, process, task):
        watching = asyncio.create_task(worker.watch())
        await asyncio.sleep(0.01)
        assert len(answers) == 2 * PROBES_MISSED_MAX, "a worker that does not serve yet is not probed"
        process.serve()
        await task
        watching.cancel()
        assert process.signals == [signal.SIGKILL]
        assert answers == []
