"""What must hold before anything is built: one version, a changelog that has it, and nothing that is not committed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.release.changelog import CHANGELOG, ReleaseError, section
from scripts.release.version import current, disagreeing

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Release:
    """What is released: a commit of `root`, under a version."""

    root: Path
    version: str
    commit: str
    epoch_s: int
    """When the commit was made: the time that all files of the release have."""
    notes: str
    """What the changelog says of it."""


def checked(root: Path, version: str) -> Release:
    """The release of what is committed in `root`. Raises `ReleaseError` where that must not be released."""
    if (changed := git(root, "status", "--porcelain")) != "":
        raise ReleaseError(f"there are changes that are not committed:\n{changed}")
    differing = disagreeing(version, root)
    if (named := current(root)) != version:
        raise ReleaseError(f"the sources are of version {named}: `make version VERSION={version}`, commit, and again")
    if differing:
        raise ReleaseError(f"not of version {version}: {', '.join(differing)}; `make version VERSION={version}`")
    notes = section((root / CHANGELOG).read_text(encoding="utf-8"), version)
    if shutil.which("npm") is None:
        raise ReleaseError("Node with npm was not found: a release has the page and the packages for npm")
    commit, _, epoch_s = git(root, "log", "-1", "--format=%H %ct").partition(" ")
    return Release(root, version, commit, int(epoch_s), notes)


def git(root: Path, *arguments: str) -> str:
    """What git prints, without blank space around it. Raises `ReleaseError` where it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise ReleaseError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()
