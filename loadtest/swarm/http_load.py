"""HTTP requests beside the streams, in a process of their own: chart loads as browsers and bots make them.

On a fixed schedule a late answer delays the ones after it, and its time counts from when it was due: otherwise a slow
gateway would get fewer requests and look better (coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

from loadtest.protocol.ages import Ages
from loadtest.protocol.messages import HttpSample

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from loadtest.protocol.messages import Plan


RETRY_S = 1.0
"""How long a client waits after a 503."""


def request_bytes(template: str, symbol: str, host: str) -> bytes:
    """A GET request for a target, or for `POST path body` one that posts JSON."""
    text = template.replace("{symbol}", symbol)
    if text.startswith("POST "):
        _, path, body = text.split(" ", 2)
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()
    return f"GET {text} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


class HttpLoad:
    """Connections that send the scenario's requests in turn."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        scenario = plan.scenario
        host = f"{plan.host}:{plan.port}"
        names = scenario.symbols[: scenario.feed.kline_symbols or None]
        self._requests = [request_bytes(text, name, host) for name in names for text in scenario.http.requests]
        self._next = 0
        self._started_s = 0.0
        self._by_phase = {phase.name: phase.http for phase in scenario.phases}
        self._sends = asyncio.Event()
        self._reset()

    def _reset(self) -> None:
        self.began_s = time.monotonic()
        self.statuses: Counter[str] = Counter()
        self.took = Ages()
        self.bytes = 0

    def report(self, phase: str) -> HttpSample:
        """The figures since the last report."""
        sample = HttpSample(phase, time.monotonic() - self.began_s, dict(self.statuses), self.bytes, self.took)
        self._reset()
        return sample

    async def run(self, pipe: Connection) -> None:
        """Send requests from `start` until `stop`; answers each `phase` with the sample of the phase before."""
        phase = "warm-up"
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, pipe.poll, None)
        if pipe.recv().verb == "stop":
            return
        self._enter(self._plan.scenario.phases[0].name)
        self._started_s = time.monotonic()
        self._reset()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask()) for _ in range(self._plan.scenario.http.connections)]
            while True:
                await asyncio.sleep(0.02)
                if pipe.poll():
                    command = pipe.recv()
                    pipe.send(self.report(phase))
                    phase = command.phase
                    self._enter(phase)
                    if command.verb == "stop":
                        break
            for task in tasks:
                task.cancel()

    async def _ask(self) -> None:
        """Send requests on one connection, reopened when it ends."""
        while True:
            try:
                reader, writer = await asyncio.open_connection(self._plan.host, self._plan.port, limit=1 << 22)
            except OSError:
                self.statuses["no connection"] += 1
                await asyncio.sleep(0.1)
                continue
            try:
                while True:
                    request, due_s = await self._turn()
                    writer.write(request)
                    status, size = await read_answer(reader)
                    self.statuses[status] += 1
                    self.bytes += size
                    self.took.add(int((time.monotonic() - due_s) * 10_000))
                    if status == "503":
                        await asyncio.sleep(RETRY_S)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                self.statuses["broken"] += 1
            finally:
                writer.close()

    def _enter(self, phase: str) -> None:
        sends = self._by_phase.get(phase, self._sends.is_set())
        (self._sends.set if sends else self._sends.clear)()

    async def _turn(self) -> tuple[bytes, float]:
        """The next request and the monotonic time at which it is due."""
        await self._sends.wait()
        number = self._next
        self._next += 1
        request = self._requests[number % len(self._requests)]
        now_s = time.monotonic()
        if not (rate := self._plan.scenario.http.rate):
            return request, now_s
        due_s = self._started_s + number / rate
        await asyncio.sleep(max(0.0, due_s - now_s))
        return request, due_s


async def read_answer(reader: asyncio.StreamReader) -> tuple[str, int]:
    """Status and size of one response with a Content-Length; raises `ValueError` for one without."""
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, *fields = head.split(b"\r\n")
    status = status_line.split(b" ")[1].decode()
    if status == "304":
        return status, len(head)
    for line in fields:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            await reader.readexactly(int(value))
            return status, len(head) + int(value)
    raise ValueError("no Content-Length")


def main(plan: Plan, pipe: Connection) -> None:
    """Entry of the process."""
    load = HttpLoad(plan)
    pipe.send("ready")
    asyncio.run(load.run(pipe))
