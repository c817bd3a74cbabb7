"""A peer under test: started in its own environment on the server's core, measured from outside like a gateway."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from loadtest.gateway_process import free_port
from loadtest.processes import Usage, cores, pinned, usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.compare.columns import Kind
    from loadtest.tested_server import Certificate

ENVIRONMENT = Path(sys.prefix) / "compare"
"""Where `make compare` installs the peers."""

_ROOT = Path(__file__).resolve().parents[2]
_READY_S = 15.0
_STOP_S = 5.0
_NATS = """
listen: "127.0.0.1:{bridge_port}"
ping_interval: "10m"
websocket {{
  listen: "127.0.0.1:{port}"
  {security}
}}
"""


class PeerError(Exception):
    """A peer did not start or ended; the message has the end of its log."""


def available(environment: Path) -> dict[str, tuple[str, str]]:
    """Peer -> its version, and why it cannot run; empty if it can."""
    python = environment / "bin" / "python"
    if not python.is_file():
        return {}
    answer = subprocess.run(
        [python, "-m", "loadtest.peers.available"], cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if answer.returncode:
        raise PeerError(f"{python}: {answer.stderr[-1000:]}")
    found: dict[str, tuple[str, str]] = {name: (of[0], of[1]) for name, of in json.loads(answer.stdout).items()}
    return found


@dataclass
class Peer:
    """A peer that runs. `helpers`: processes that it needs beside itself, on the other cores."""

    host: str
    port: int
    kind: Kind
    _log: Path
    _process: subprocess.Popen[bytes] | None = None
    _helpers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _files: list[Path] = field(default_factory=list)

    @classmethod
    def start(cls, kind: Kind, environment: Path, redis_url: str, certificate: Certificate | None) -> Self:
        """Start one on a free port, and wait until it takes connections. Raises `PeerError`."""
        descriptor, name = tempfile.mkstemp(prefix="loadtest-", suffix=".log")
        os.close(descriptor)
        peer = cls("127.0.0.1", free_port(), kind, Path(name))
        peer._files.append(peer._log)
        try:
            peer._start(environment, urlsplit(redis_url).port or 6379, certificate)
        except BaseException:
            peer.stop()
            raise
        return peer

    def usage(self) -> Usage | None:
        """CPU and memory of the server; CPU alone of its helpers. Raises `PeerError` when one of them has ended."""
        assert self._process is not None
        try:
            helper_s = sum(usage(helper.pid).cpu_s for helper in self._running(*self._helpers))
            (process,) = self._running(self._process)
            return replace(usage(process.pid), helper_s=helper_s)
        except ProcessLookupError as error:
            raise PeerError(f"{self.kind}: {error}") from error

    def metrics(self) -> dict[str, float]:
        """None: what is known of a peer is seen from outside."""
        return {}

    def log(self) -> str:
        """Empty: a peer has no load levels."""
        return ""

    def stop(self) -> int | None:
        """End it and its helpers, and remove its files."""
        process, self._process = self._process, None
        helpers, self._helpers = self._helpers, []
        for each in (process, *helpers):
            if each is not None:
                each.send_signal(signal.SIGTERM)
                try:
                    each.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    each.kill()
                    each.wait()
        for path in self._files:
            path.unlink(missing_ok=True)
        self._files.clear()
        return process.returncode if process is not None else None

    def _start(self, environment: Path, redis_port: int, certificate: Certificate | None) -> None:
        programs = environment / "bin"
        redis = ["--redis-port", str(redis_port)]
        files = ["--chain", str(certificate.chain), "--key", str(certificate.key)] if certificate else []
        if self.kind != "nats":
            module = f"loadtest.peers.{self.kind}_server"
            command = [str(programs / "python"), "-m", module, *redis, "--port", str(self.port), *files]
            self._process = self._launch(command, cores()[0])
            self._wait(self.port)
            return
        bridge_port = free_port()
        settings = Path(f"{self._log}.conf")
        self._files.append(settings)
        settings.write_text(nats_settings(self.port, bridge_port, certificate), encoding="utf-8")
        self._process = self._launch([str(programs / "nats-server"), "-c", str(settings)], cores()[0])
        self._wait(bridge_port)
        self._wait(self.port)
        bridge = [str(programs / "python"), "-m", "loadtest.peers.nats_bridge", *redis, "--port", str(bridge_port)]
        self._helpers.append(self._launch(bridge, cores()[1]))

    def _launch(self, command: Sequence[str], cpus: set[int]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output, pinned(cpus):
            return subprocess.Popen(
                command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def _running(self, *processes: subprocess.Popen[bytes]) -> tuple[subprocess.Popen[bytes], ...]:
        for process in processes:
            if process.poll() is not None:
                raise PeerError(
                    f"{self.kind} ended with status {process.returncode}:\n"
                    f"{self._log.read_text(errors='replace')[-2000:]}"
                )
        return processes

    def _wait(self, port: int) -> None:
        assert self._process is not None
        deadline_s = time.monotonic() + _READY_S
        while time.monotonic() < deadline_s:
            self._running(self._process)
            with suppress(OSError), socket.create_connection((self.host, port), timeout=1):
                return
            time.sleep(0.05)
        raise PeerError(f"{self.kind} took no connection within {_READY_S:g} s")


def nats_settings(port: int, bridge_port: int, certificate: Certificate | None) -> str:
    """The configuration of a NATS server with a WebSocket listener, whose first ping is later than the end of a run."""
    security = "no_tls: true"
    if certificate is not None:
        security = f'tls {{ cert_file: "{certificate.chain}", key_file: "{certificate.key}" }}'
    return _NATS.format(port=port, bridge_port=bridge_port, security=security)
