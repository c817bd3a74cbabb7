"""The gateway under test: started by its command line with the scenario's settings, measured from outside."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gateway.config import load_config
from loadtest.processes import Usage, cores, pinned, usage
from loadtest.swarm.tls_socket import client_context
from simulator import server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_READY_S = 20.0
_STOP_S = 15.0
_PORTS = range(10_000, 20_000)
_WORKER = re.compile(r'worker="\d+",?')


class GatewayError(Exception):
    """The gateway did not start or ended; the message has the end of its log."""


@dataclass
class Gateway:
    """A gateway. `pid` is None for one on another machine, whose CPU and memory are unknown."""

    host: str
    port: int
    pid: int | None = None
    _process: subprocess.Popen[bytes] | None = None
    _log: Path | None = None
    _files: list[Path] = field(default_factory=list)
    tls: bool = False

    @classmethod
    def start(cls, redis_url: str, overrides: Mapping[str, Mapping[str, Any]], *, checkout: Path | None = None) -> Self:
        """Start one on a free port of its own core, and wait until it is ready; the arguments are those of `launch`."""
        gateway = cls.launch(redis_url, overrides, checkout=checkout)
        try:
            gateway.wait()
        except BaseException:
            gateway.stop()
            raise
        return gateway

    @classmethod
    def launch(
        cls,
        redis_url: str,
        overrides: Mapping[str, Mapping[str, Any]],
        *,
        port: int | None = None,
        program: Sequence[str] = ("-m", "gateway"),
        log: Path | None = None,
        checkout: Path | None = None,
    ) -> Self:
        """Start one and do not wait.

        `program`: what Python runs. `log`: file to append its output to. `checkout`: folder of another version of the
        gateway, with its own `.venv`; its settings are checked by that version alone.
        """
        # All clients connect from one address and do in seconds what a thousand users do in minutes: no limits for it.
        overrides = {**overrides, "limits": {"exempt": ["127.0.0.0/8"], **overrides.get("limits", {})}}
        if checkout is None:
            load_config(None, {}, overrides)
        with tempfile.NamedTemporaryFile("w", prefix="loadtest-", suffix=".toml", delete=False) as settings:
            settings.write(_toml(overrides))
        files = [Path(settings.name)]
        if log is None:
            descriptor, name = tempfile.mkstemp(prefix="loadtest-", suffix=".log")
            os.close(descriptor)
            log = Path(name)
            files.append(log)
        port = port or free_port()
        python = sys.executable if checkout is None else str(checkout.absolute() / ".venv" / "bin" / "python")
        command = [python, *program, "serve", "--port", str(port), "--redis", redis_url]
        # Several workers need more than one core: they share all of them with the harness.
        several = overrides.get("server", {}).get("workers", 1) > 1
        with log.open("ab") as output, pinned(cores()[0] | cores()[1] if several else cores()[0]):
            process = subprocess.Popen(
                [*command, "--config", settings.name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=checkout,
            )
        tls = bool(overrides.get("server", {}).get("tls_certificate"))
        return cls("127.0.0.1", port, process.pid, process, log, files, tls)

    def usage(self) -> Usage | None:
        """CPU and memory; None without a pid. Raises `GatewayError` when the process has ended."""
        if self.pid is None:
            return None
        if self._process and self._process.poll() is not None:
            raise GatewayError(f"the gateway ended with status {self._process.returncode}:\n{self.log_tail()}")
        try:
            return usage(self.pid)
        except ProcessLookupError as error:
            raise GatewayError(str(error)) from error

    def metrics(self) -> dict[str, float]:
        """The gateway's metrics summed over its workers; empty without `/metrics`. A call costs the gateway some ms."""
        found: dict[str, float] = {}
        with suppress(OSError, http.client.HTTPException, ValueError):
            status, body = self.get("/metrics")
            if status == 200:
                for line in body.decode().splitlines():
                    if line and not line.startswith("#"):
                        name, _, value = line.rpartition(" ")
                        name = _WORKER.sub("", name).replace("{}", "")
                        found[name] = found.get(name, 0.0) + float(value)
        return found

    def get(self, target: str) -> tuple[int, bytes]:
        """Status and body of a GET request."""
        connection = (
            http.client.HTTPSConnection(self.host, self.port, timeout=5, context=client_context())
            if self.tls
            else http.client.HTTPConnection(self.host, self.port, timeout=5)
        )
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def log(self) -> str:
        """All that the process has logged; empty for one not started here."""
        return self._log.read_text(errors="replace") if self._log and self._log.is_file() else ""

    def log_tail(self) -> str:
        return self.log()[-3000:]

    @property
    def ended(self) -> bool:
        """Whether the process started here has ended, or there is none."""
        return self._process is None or self._process.poll() is not None

    def listens(self) -> bool:
        """Whether its port accepts connections: it has started."""
        with socket.socket() as probe:
            return not probe.connect_ex((self.host, self.port))

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as if the machine had lost power."""
        self.signal(signal.SIGKILL)
        self.stop()

    def stop(self) -> int | None:
        """Send SIGTERM and wait for the end; returns the exit status, None for a gateway not started here."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for path in self._files:
            path.unlink(missing_ok=True)
        self._files.clear()
        return process.returncode if process is not None else None

    def wait(self) -> None:
        """Wait until the gateway is ready. Raises `GatewayError` after 20 s, or when it ends before."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            self.usage()
            with suppress(OSError, http.client.HTTPException):
                status, body = self.get("/readyz")
                if status == 404 or (status == 200 and b'"away"' not in body and b'"ready":false' not in body):
                    return
            time.sleep(0.05)
        raise GatewayError(f"the gateway was not ready after {_READY_S:g} s:\n{self.log_tail()}")


def free_port() -> int:
    """A free port below those of the clients and of embedded servers. Raises `ServerError` without one."""
    return server.free_port(_PORTS)


def _toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """The settings as TOML. Numbers, strings and lists of them are written like JSON."""
    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"
