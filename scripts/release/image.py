"""The image of the gateway, where there is something to build images with."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from typing import TYPE_CHECKING

from scripts.release.build import run

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.release.checks import Release

NAME = "kline-gateway"


def builder() -> str | None:
    """The program that builds images here: docker with a running daemon, else podman; None without one."""
    for program in ("docker", "podman"):
        if shutil.which(program) is not None:
            done = subprocess.run([program, "info"], capture_output=True, check=False)
            if done.returncode == 0:
                return program
    return None


def build_image(program: str, release: Release, source: Path, out: Path) -> Path:
    """Build the image of the sources and save it, compressed, for `docker load`. Raises `ReleaseError`.

    Its bytes are not the same every time: what its base images have changes without us.
    """
    tag = f"{NAME}:{release.version}"
    labels = ("--label", f"org.opencontainers.image.revision={release.commit}")
    run([program, "build", "--pull", "--tag", tag, *labels, "."], source, release.epoch_s)
    saved = out / "image.tar"
    run([program, "save", "--output", str(saved), tag], source, release.epoch_s)
    image = out / f"{NAME}-{release.version}-image.tar.gz"
    with saved.open("rb") as plain, image.open("wb") as file, gzip.GzipFile("", "wb", mtime=0, fileobj=file) as packed:
        shutil.copyfileobj(plain, packed)
    saved.unlink()
    return image
