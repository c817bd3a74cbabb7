"""Virtual environments that packages are installed into, and a demo that runs out of one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
WAIT_S = 60.0
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


@dataclass(frozen=True)
class Environment:
    """A virtual environment in `folder`. Its programs are the only ones on PATH: no Node, no Redis."""

    folder: Path

    @classmethod
    def made(cls, folder: Path, python: str = sys.executable) -> Environment:
        """A new one, of that interpreter, with nothing in it."""
        subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True, timeout=WAIT_S)
        return cls(folder)

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    def install(self, *arguments: str | Path) -> None:
        """`pip install` into it, with the pip of whoever runs the tests."""
        command = [*PIP, "--python", self.bin / "python", "install", *arguments]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    def sees(self, *folders: str) -> None:
        """Modules in these folders can be imported too, after those that are installed."""
        (site,) = self.folder.glob("lib/python3*/site-packages")
        (site / "others.pth").write_text("".join(f"{folder}\n" for folder in folders))

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs to the end."""
        return subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder,
            env=self._environ(),
            text=True,
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )

    def python(self, code: str) -> str:
        """What the code prints."""
        done = self.run("python", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def demo(self) -> Iterator[str]:
        """`kline-gateway demo` on a free port; yields its address, and demands that SIGTERM ends it cleanly."""
        process = subprocess.Popen(
            [self.bin / "kline-gateway", "demo", "--port", "0", "--symbols", "2"],
            cwd=self.folder,
            env=self._environ(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                assert process.stdout is not None
                found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
                if found is None:
                    pytest.fail(f"no address; {process.communicate(timeout=WAIT_S)[1]}")
                yield found[0]
                process.terminate()
                errors = process.communicate(timeout=WAIT_S)[1]
                assert (process.returncode, "Traceback" in errors) == (0, False), errors
            finally:
                process.kill()

    def _environ(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "HOME": str(self.folder), "LANG": os.environ.get("LANG", "C.UTF-8")}


def wheel(project: Path, folder: Path) -> Path:
    """The wheel of a project, built offline as it stands in the work tree."""
    code = "import sys, hatchling.build as backend; print(backend.build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, cwd=project, text=True, capture_output=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return folder / str(done.stdout).strip()


def interpreter(minor: int) -> str | None:
    """A Python 3.`minor` of this machine that runs: on PATH, or of pyenv."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = shutil.which(f"python3.{minor}")
    found = [str(path) for path in sorted(versions.glob(f"3.{minor}.*/bin/python"), reverse=True)]
    code = "import sys, venv; print(sys.version_info[:2] == (3, int(sys.argv[1])))"
    for candidate in [named, *found] if named else found:
        done = subprocess.run([candidate, "-c", code, str(minor)], text=True, capture_output=True, check=False)
        if done.stdout == "True\n":
            return candidate
    return None
