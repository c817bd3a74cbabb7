"""Builds all packages out of a folder of sources. The same sources, time and tools give the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from scripts.release.changelog import ReleaseError
from scripts.release.chart import pack_chart
from scripts.release.version import npm_packages

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scripts.release.checks import Release

NPM = ("npm", "--no-fund", "--no-audit", "--no-update-notifier", "--loglevel=error")
PAGE = "gateway/static/index.html"
SDIST = "import sys, hatchling.build as backend; print(backend.build_sdist(sys.argv[1]))"
WHEEL = "import sys, hatchling.build as backend; print(backend.build_wheel(sys.argv[1]))"


def export(release: Release, folder: Path) -> None:
    """The sources of the release's commit, and nothing that happens to lie beside them."""
    archive = folder.with_suffix(".tar")
    run(["git", "archive", f"--output={archive}", release.commit], release.root, release.epoch_s)
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="tar")
    archive.unlink()


def build(source: Path, out: Path, epoch_s: int) -> None:
    """Build the page and all packages of `source` into `out`. Raises `ReleaseError`."""
    install = [*NPM, "ci", "--prefer-offline"]
    run(install, source / "web", epoch_s)
    run([*NPM, "run", "--silent", "build"], source / "web", epoch_s)
    for project in (source, source / "clients" / "python"):
        python_packages(project, out, epoch_s)
    for folder in in_order(npm_packages(source)):
        run(install, folder, epoch_s)
        run([*NPM, "pack", "--silent", "--pack-destination", str(out)], folder, epoch_s)
    pack_chart(source / "deploy" / "helm", out, epoch_s)


def python_packages(project: Path, out: Path, epoch_s: int) -> None:
    """The source distribution, and a wheel that is made of it alone: whoever builds it anew gets the same."""
    sdist = out / run([sys.executable, "-c", SDIST, str(out)], project, epoch_s).split()[-1]
    unpacked = out / "unpacked"
    with tarfile.open(sdist) as opened:
        opened.extractall(unpacked, filter="data")
    (content,) = unpacked.iterdir()
    wheel = out / run([sys.executable, "-c", WHEEL, str(out)], content, epoch_s).split()[-1]
    run(["rm", "-r", str(unpacked)], out, epoch_s)
    with zipfile.ZipFile(wheel) as archive:
        if (project / PAGE).exists() and PAGE not in archive.namelist():
            raise ReleaseError(f"{wheel.name} is without the page")


def in_order(folders: Iterable[Path]) -> list[Path]:
    """Packages for npm, each after those of ours that it needs."""
    packages = {}
    for folder in folders:
        package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        kinds = ("dependencies", "devDependencies", "peerDependencies")
        packages[package["name"]] = (folder, {name for kind in kinds for name in package.get(kind, {})})
    graph = {name: needed & packages.keys() for name, (_, needed) in packages.items()}
    return [packages[name][0] for name in TopologicalSorter(graph).static_order()]


def run(command: list[str], folder: Path, epoch_s: int) -> str:
    """What a command prints. Its surroundings are the same on every machine. Raises `ReleaseError` where it fails."""
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch_s), "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=folder, env=environ, text=True, capture_output=True, umask=0o022, check=False)
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(command)} failed in {folder}:\n{done.stdout}{done.stderr}")
    return done.stdout
