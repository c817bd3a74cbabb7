"""A running gateway for client libraries, and what runs them. What is missing fails, with the command that mends it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.browser.world import World
from tests.clients.recording import Recording
from tests.clients.tls import TlsFront

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT_S = 25


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    subprocess.run([python("clients"), HERE / "scripts" / "certificate.py", path], check=True, timeout=LIMIT_S)
    return path


@pytest.fixture(scope="module")
def front(world: World, certificate: Path) -> Iterator[TlsFront]:
    behind = urlsplit(world.url)
    assert behind.hostname is not None
    assert behind.port is not None
    with TlsFront(certificate, behind.hostname, behind.port) as front:
        yield front


@pytest.fixture
def run(world: World, front: TlsFront, certificate: Path) -> Callable[[Sequence[str | Path]], Recording]:
    """Runs a client and says what it heard."""

    def ran(command: Sequence[str | Path]) -> Recording:
        # The gateway is next door: no proxy between. Each kind of client has its own variable for who is trusted.
        plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        trust = dict.fromkeys(("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), str(certificate))
        try:
            done = subprocess.run(
                [*command, urlsplit(world.url).netloc, front.address],
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                env=plain | trust,
            )
        except subprocess.TimeoutExpired as error:
            pytest.fail(f"the client never had enough; its words: {error.stderr!r}")
        assert done.returncode == 0, done.stderr
        return Recording.of(json.loads(done.stdout.splitlines()[-1]))

    return ran


def python(environment: str) -> Path:
    """The interpreter of one of the clients' environments."""
    found = ROOT / ".venv" / environment / "bin" / "python"
    if not found.is_file():
        pytest.fail(
            f"{environment} is not set up: python -m venv .venv/{environment} && "
            f".venv/{environment}/bin/pip install --require-hashes -r requirements/{environment}.txt"
        )
    return found


def node() -> str:
    found = shutil.which("node")
    if found is None or not (HERE / "node" / "node_modules").is_dir():
        pytest.fail("the clients need Node and their packages: cd tests/clients/node && npm ci")
    return found


def go() -> Path:
    """The program that uses Go's library."""
    return _built("clients-go/client")


def rust() -> Path:
    """The program that uses Rust's library."""
    return _built("clients-rust/debug/client")


def java() -> list[str | Path]:
    """The command that runs the program that uses Java's library."""
    classes = _built("clients-java/Client.class").parent
    return ["java", "-classpath", f"{classes / 'lib' / '*'}{os.pathsep}{classes}", "Client"]


def _built(name: str) -> Path:
    """A file that the Makefile builds below `.venv`."""
    found = ROOT / ".venv" / name
    if not found.is_file():
        pytest.fail(f"a client is not built: make .venv/{name}")
    return found
