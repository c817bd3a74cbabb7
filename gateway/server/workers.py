"""The supervisor of `serve --workers N`: starts gateways on one port, replaces those that end or hang.

Must not know markets or clients: a worker is a command that writes a line once it serves, and answers at its socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from gateway.server.listening import address_of, bind
from gateway.server.worker_group import WorkerGroup, WorkerGroupError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from gateway.config import Config, ServerConfig

logger = logging.getLogger(__name__)

START_S = 60.0
"""Longest time until a worker must serve."""

STEADY_S = 30.0
"""A worker that has served for this long did not fail for the same reason as the one before it."""

RETRY_S = (0.1, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before a worker is restarted, by the number of failures in a row; the last one repeats."""

FAILURES_MAX = 5
"""Failures in a row after which the supervisor gives up if no worker serves."""

PROBE_S = 5.0
PROBES_MISSED_MAX = 3
"""A worker that misses this many probes in a row, each with a timeout of `PROBE_S`, hangs and is killed."""

KILL_AFTER_S = 3.0
"""Time after `server.shutdown_s` at which a worker that still runs is killed."""


class WorkersError(Exception):
    """The workers cannot serve; the message says why."""


class Workers:
    """All workers. `command` starts one; `config` gives the port, their number, and how long a shutdown may take."""

    def __init__(self, config: Config, command: Sequence[str]) -> None:
        self._config = config.server
        self._workers = [
            Worker(member, command, self._shutdown_s) for member in WorkerGroup.create(config.server.workers)
        ]
        self._ending = asyncio.Event()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Run the workers until SIGTERM or SIGINT, then end them. Raises `WorkersError` if they cannot serve."""
        with self._signals():
            keeping = [asyncio.create_task(self._keep(worker)) for worker in self._workers]
            watching = [asyncio.create_task(worker.watch()) for worker in self._workers]
            starting = asyncio.create_task(self._announce(on_ready))
            ending = asyncio.create_task(self._ending.wait())
            try:
                await asyncio.wait([*keeping, ending], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._ending.set()
                for worker in self._workers:
                    worker.terminate()
                for task in (starting, ending, *watching):
                    task.cancel()
                results = await asyncio.gather(*keeping, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    @property
    def _shutdown_s(self) -> float:
        return self._config.shutdown_s + KILL_AFTER_S

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        await asyncio.gather(*(worker.serves.wait() for worker in self._workers))
        on_ready()

    async def _keep(self, worker: Worker) -> None:
        """Start it, and restart it whenever it ends. The first start must succeed: restarting would not help."""
        number, failures, first = worker.number, 0, True
        while not self._ending.is_set():
            pid, why, served_s = await worker.run()
            if self._ending.is_set():
                return
            if first and not served_s:
                raise WorkersError(f"worker {number} {why} before it served")
            first = False
            failures = 1 if served_s > STEADY_S else failures + 1
            if failures >= FAILURES_MAX and not any(other.serves.is_set() for other in self._workers):
                raise WorkersError(f"no worker serves, and worker {number} {why} {failures} times in a row")
            wait_s = RETRY_S[min(failures, len(RETRY_S)) - 1]
            # Its clients reconnect to the others. It is an error nevertheless, and the line to alert on.
            logger.error("worker %d (pid %d) %s; restarting in %g s", number, pid, why, wait_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), wait_s)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def end() -> None:
            if self._ending.is_set():
                # The second signal ends them at once.
                for worker in self._workers:
                    worker.send(signal.SIGINT)
            self._ending.set()

        def reload() -> None:
            for worker in self._workers:
                worker.reload()

        handlers = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: reload}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)


class Worker:
    """One member of the group, and the process that runs it now."""

    def __init__(self, worker_group: WorkerGroup, command: Sequence[str], shutdown_s: float) -> None:
        self.number = worker_group.number
        self.serves = asyncio.Event()
        self._worker_group = worker_group
        self._command = command
        self._shutdown_s = shutdown_s
        self._process: asyncio.subprocess.Process | None = None
        self._terminated = asyncio.Event()
        self._reload_pending = False

    async def run(self) -> tuple[int, str, float]:
        """Start a process and wait for its end. Returns its id, how it ended, and for how many seconds it served."""
        process = self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C must reach only the supervisor, which passes it on.
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(self._worker_group) + b"\n")
        serving = asyncio.create_task(self._serving(process))
        killing = asyncio.create_task(self._kill_late())
        try:
            status = await process.wait()
        finally:
            self.serves.clear()
            self._process = None
            killing.cancel()
        began_s = await serving
        why = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return process.pid, why, time.monotonic() - began_s if began_s else 0.0

    def terminate(self) -> None:
        """End the process; it is killed if that takes too long."""
        self.send(signal.SIGTERM)
        self._terminated.set()

    def reload(self) -> None:
        """Have it read its settings again, once it serves: before that a SIGHUP would end it."""
        if self.serves.is_set():
            self.send(signal.SIGHUP)
        else:
            self._reload_pending = True

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process if it runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def watch(self) -> None:
        """Kill a process that serves and has stopped answering: it would not handle another signal."""
        missed = 0
        while True:
            await asyncio.sleep(PROBE_S)
            if not self.serves.is_set():
                missed = 0
                continue
            try:
                await self._worker_group.ask(self.number, "/healthz", PROBE_S)
            except WorkerGroupError:
                missed += 1
            else:
                missed = 0
            if missed >= PROBES_MISSED_MAX:
                logger.error("worker %d does not answer; killing it", self.number)
                self.send(signal.SIGKILL)

    async def _serving(self, process: asyncio.subprocess.Process) -> float:
        """When it began to serve; 0 if it never did. Reads its output to the end: a full pipe would block it."""
        assert process.stdout is not None
        began_s = 0.0
        try:
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
        except TimeoutError:
            logger.error("worker %d does not serve after %g s; killing it", self.number, START_S)
            self.send(signal.SIGKILL)
            return began_s
        if line:
            began_s = time.monotonic()
            self.serves.set()
            logger.info("worker %d (pid %d) serves", self.number, process.pid)
            if self._reload_pending:
                self._reload_pending = False
                self.send(signal.SIGHUP)
            while await process.stdout.read(4096):
                pass
        return began_s

    async def _kill_late(self) -> None:
        await self._terminated.wait()
        await asyncio.sleep(self._shutdown_s)
        logger.error("worker %d has not ended in time; killing it", self.number)
        self.send(signal.SIGKILL)


def reserve(config: ServerConfig) -> socket.socket:
    """A socket that reserves the port for the workers: bound, never listening.

    Raises `OSError` if another process has the port, unless `server.reuse_port` permits that.
    """
    if not config.reuse_port:
        bind(config.host, config.port).close()
    return bind(config.host, config.port, share=True)


async def supervise(config: Config, options: Sequence[str], on_ready: Callable[[str], None]) -> None:
    """Run `server.workers` gateways until a signal ends them; `options` are passed to their command line.

    Raises `OSError` if the address cannot be bound, `WorkersError` if they cannot serve.
    """
    if sys.platform != "linux":
        raise WorkersError("server.workers: needs Linux, which distributes connections over the processes of a port")
    with contextlib.closing(reserve(config.server)) as sock:
        host, port = sock.getsockname()[:2]
        command = [sys.executable, "-m", "gateway", "serve", "--worker", "--host", host, "--port", str(port), *options]
        address = address_of(sock, "https" if config.server.tls_certificate else "http")
        await Workers(config, command).run(lambda: on_ready(f"{address} with {config.server.workers} workers"))
