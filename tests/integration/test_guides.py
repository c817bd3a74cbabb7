"""What the tutorial and the how-to guides tell the reader to type, typed: against a real gateway with a real server.

One gateway serves all guides. A guide that starts one of its own gets a port and an empty Redis of its own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from simulator.server import EmbeddedServer, free_port
from tests.snippets import GUIDES, ROOT, Snippet, snippets, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _pytest.mark.structures import ParameterSet

pytestmark = pytest.mark.timeout(120)

WAIT_S = 40.0
CLIENT = ROOT / "clients" / "web"
LANGUAGES = {"sh": ("bash", "-eu", "-c"), "python": (sys.executable, "-c"), "js": ("node", "--input-type=module", "-e")}
NOT_RUN = [
    ("how-to/operate.md", "needs Docker"),
    ("how-to/scale.md", "needs nginx; tests/integration/test_proxies.py runs it with nginx, HAProxy and Caddy"),
    ("tutorial.md", "the tests have a gateway running"),
    ("tutorial.md", "builds all packages, which other tests do"),
    ("tutorial.md", "downloads packages"),
    ("tutorial.md", "a browser test builds the page with Vite and looks at it"),
]


class Background:
    """A program that goes on while others run."""

    def __init__(self, command: tuple[str, ...], folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._text = ""
        self._news = threading.Condition()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def prints(self, text: str) -> None:
        """Wait until it has printed the text."""
        with self._news:
            assert self._news.wait_for(lambda: text in self._text, WAIT_S), self._text

    def stop(self) -> None:
        """End it, and whatever it has started."""
        os.killpg(self._process.pid, signal.SIGTERM)
        with self._process:
            self._reading.join(WAIT_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._text += line
                self._news.notify_all()


def environment() -> dict[str, str]:
    """That of a reader who has installed the gateway and the Python client."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    paths = [os.path.dirname(sys.executable), own["PATH"]]
    return {
        **own,
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": str(ROOT / "clients" / "python"),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of `gateway demo`, once it has data."""
    command = (sys.executable, "-m", "gateway", "demo", "--port", "0", "--symbols", "3", "--rate", "10")
    running = Background(command, tmp_path_factory.mktemp("demo"), environment() | {"PYTHONPATH": str(ROOT)})
    try:
        running.prints("Open http")
        found = re.search(r"http://(127\.0\.0\.1:\d+)", running._text)
        assert found is not None
        yield found[1]
    finally:
        running.stop()


class Reader:
    """Somebody who follows one guide, in a folder of their own."""

    def __init__(self, folder: Path, demo: str, redis: str, port: int) -> None:
        self._folder, self._environment = folder, environment()
        self._places = {"127.0.0.1:8000": demo, "127.0.0.1:6379": redis, "127.0.0.1:8001": f"127.0.0.1:{port}"}
        self._places["--port 8001"] = f"--port {port}"
        self._stack = ExitStack()

    def follow(self, snippet: Snippet) -> None:
        code = snippet.code
        for place, real in self._places.items():
            code = code.replace(place, real)
        if snippet.actions.keys() & {"file", "instead"}:
            written(self._folder, snippet, code)
        if not snippet.is_run:
            return
        command = (*LANGUAGES[snippet.language], code)
        if "background" in snippet.actions:
            running = Background(command, self._folder, self._environment)
            self._stack.callback(running.stop)
            running.prints(snippet.actions["background"])
            return
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == int(snippet.actions.get("ends", 0)), f"{snippet.place}\n{done.stdout}{done.stderr}"
        assert snippet.actions.get("prints", "") in done.stdout, f"{snippet.place}\n{done.stdout}{done.stderr}"

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the packages that the guides install with npm."""
    modules = tmp_path / "node_modules"
    modules.mkdir()
    (modules / "kline-gateway-client").symlink_to(CLIENT)
    (modules / "lightweight-charts").symlink_to(CLIENT / "node_modules" / "lightweight-charts")
    return tmp_path


def guides(*languages: str) -> list[ParameterSet]:
    """The guides that have code in one of the languages; all, where none is given. Some need Node, as pages do."""
    return [
        pytest.param(guide, marks=[pytest.mark.browser] if found & {"js", "ts"} else [])
        for guide in GUIDES
        if (found := {one.language for one in snippets(guide)}) & set(languages) or not languages
    ]


@pytest.mark.parametrize("guide", guides())
def test_every_step_works_in_its_order(guide: str, demo: str, project: Path) -> None:
    with EmbeddedServer() as server:
        reader = Reader(project, demo, f"127.0.0.1:{server.port}", free_port())
        try:
            for snippet in snippets(guide):
                reader.follow(snippet)
        finally:
            reader.close()


@pytest.mark.parametrize("guide", guides("ts"))
def test_typescript_compiles(guide: str, project: Path) -> None:
    for snippet in snippets(guide):
        if "instead" in snippet.actions:
            compiled(project)
        if snippet.actions.keys() & {"file", "instead"}:
            written(project, snippet, snippet.code)
    compiled(project)


def compiled(project: Path) -> None:
    """Check the types of all TypeScript in a folder, as strictly as the compiler does."""
    options = ("--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler")
    command = ("node", CLIENT / "node_modules" / "typescript" / "bin" / "tsc", *options, "--types", "")
    files = sorted(path.name for path in project.glob("*.ts"))
    done = subprocess.run((*command, *files), cwd=project, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stdout


def test_what_is_not_run_is_known_and_has_its_reason() -> None:
    found = [snippet for guide in GUIDES for snippet in snippets(guide) if "not run" in snippet.actions]
    assert [(snippet.guide.removeprefix("docs/"), snippet.actions["not run"]) for snippet in found] == NOT_RUN


def test_every_program_is_run_or_says_why_not() -> None:
    known = {*LANGUAGES, "ts", "html", "toml"}
    left = [one.place for guide in GUIDES for one in snippets(guide) if not one.is_run and not one.actions]
    assert left == []
    assert {one.language for guide in GUIDES for one in snippets(guide)} <= known
