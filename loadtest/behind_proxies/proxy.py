"""A real nginx, HAProxy or Caddy with its file of `deploy/proxies` as it is, but for addresses."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

from loadtest.gateway_process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "deploy" / "proxies"
SYSTEM = "/usr/sbin:/usr/local/sbin"


class ProxyError(Exception):
    """The program is not there or has ended."""


@dataclass(frozen=True)
class Kind:
    """A proxy: its file, how it is run, and what is changed in the file beside the gateway's port."""

    file: str
    arguments: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]


KINDS = {
    "nginx": Kind(
        "nginx.conf",
        ("-p", "{folder}", "-c", "{folder}/nginx.conf", "-g", "daemon off;"),
        (
            ("listen 443 ssl", "listen 127.0.0.1:{port} ssl"),
            # What the package keeps below /var belongs to its own user.
            ("http {", "http {" + "".join(f" {name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi"))
             + " uwsgi_temp_path uwsgi; scgi_temp_path scgi;"),
        ),
    ),
    "haproxy": Kind(
        "haproxy.cfg",
        ("-db", "-f", "{folder}/haproxy.cfg"),
        # It refuses to start with fewer open files than its connections may need.
        (("bind :443", "bind 127.0.0.1:{port}"), ("    maxconn 40000", "    maxconn 100")),
    ),
    "caddy": Kind(
        "Caddyfile",
        ("run", "--config", "{folder}/Caddyfile", "--adapter", "caddyfile"),
        (
            ("https://localhost:443", "https://localhost:{port}"),
            # Else it would answer on port 80 too.
            ("admin off", "admin off\n\tauto_https disable_redirects"),
        ),
    ),
}  # fmt: skip


@dataclass
class Proxy:
    """A proxy that runs; `trust` is what its clients trust."""

    port: int
    trust: ssl.SSLContext
    process: subprocess.Popen[bytes]

    def listens(self) -> bool:
        """Whether it takes connections. Raises `ProxyError` when it has ended."""
        if self.process.poll() is not None:
            raise ProxyError(f"it has ended with status {self.process.returncode}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def proxied(name: str, folder: Path, gateway_port: int) -> Iterator[Proxy]:
    """Run a proxy in front of what listens on `gateway_port`; `folder` is for its files. Raises `ProxyError`."""
    kind, port = KINDS[name], free_port()
    text = (FOLDER / kind.file).read_text()
    for old, new in (*kind.changes, ("127.0.0.1:8000", f"127.0.0.1:{gateway_port}")):
        if text.count(old) != 1 and old != "127.0.0.1:8000":
            raise ProxyError(f"{kind.file}: expected {old!r} once")
        text = text.replace(old, new.replace("{port}", str(port)))
    (folder / kind.file).write_text(text)
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    (folder / "tls.key").write_bytes(certificate.private_key_pem.bytes())
    # HAProxy wants both in one file; the others do not mind.
    (folder / "tls.pem").write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    program = shutil.which(name, path=f"{os.environ['PATH']}:{SYSTEM}")
    if program is None:
        raise ProxyError(f"{name} was not found: scripts/proxies.sh installs it, make test PROXIES=0 goes without")
    with (folder / "proxy.log").open("wb") as log:
        arguments = [part.replace("{folder}", str(folder)) for part in kind.arguments]
        process = subprocess.Popen(
            [program, *arguments], cwd=folder, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)}
        )
    try:
        yield Proxy(port, trust, process)
    except BaseException:
        print((folder / "proxy.log").read_text())  # noqa: T201
        raise
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
