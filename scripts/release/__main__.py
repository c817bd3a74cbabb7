"""`python -m scripts.release 0.2.0` (`make release VERSION=0.2.0`): all that a release consists of, in dist/.

Builds everything twice, out of two exports of the commit, and demands the same bytes. Publishes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from scripts.release.build import build, export
from scripts.release.changelog import ReleaseError
from scripts.release.checks import Release, checked
from scripts.release.image import build_image, builder
from scripts.release.published import name_repository
from scripts.release.sbom import bill_of_materials
from scripts.release.version import ROOT

NOTES = "NOTES.md"
SUMS = "SHA256SUMS"


def make(release: Release, out: Path, *, repository: str, image: bool) -> None:
    """Fill `out` with the files of the release; what was in it is removed. Raises `ReleaseError`."""
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        built = []
        # Paths of different lengths: a file that has one inside differs.
        for folder in (Path(name) / "a", Path(name) / "another"):
            (folder / "dist").mkdir(parents=True)
            export(release, folder / "source")
            if repository:
                name_repository(folder / "source", repository, release.version)
            say(f"Building {release.version} of {release.commit[:12]}")
            build(folder / "source", folder / "dist", release.epoch_s)
            text = bill_of_materials(release, folder / "source")
            (folder / "dist" / f"kline-gateway-{release.version}.cdx.json").write_text(text, encoding="utf-8")
            built.append(folder)
        files, again = (sums(folder / "dist") for folder in built)
        if differing := sorted(name for name, _ in set(files.items()) ^ set(again.items())):
            raise ReleaseError(f"built twice, these differ: {', '.join(dict.fromkeys(differing))}")
        say(f"Built twice, the same bytes: {len(files)} files")
        if not image:
            say("Without the image, as asked.")
        elif (program := builder()) is None:
            say("Without the image: neither docker, with its daemon running, nor podman was found.")
        else:
            build_image(program, release, built[0] / "source", built[0] / "dist")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(built[0] / "dist", out)
    (out / NOTES).write_text(release.notes, encoding="utf-8")
    lines = [f"{digest}  {name}\n" for name, digest in sums(out).items()]
    (out / SUMS).write_text("".join(lines), encoding="utf-8")


def sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Make a release; exit status."""
    parser = argparse.ArgumentParser(prog="make release")
    parser.add_argument("version", help="three numbers; the sources must be of this version")
    parser.add_argument("--repository", default="", help="where the packages say they are from: https://…")
    parser.add_argument("--no-image", dest="image", action="store_false", help="without the image")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder to fill")
    options = parser.parse_args(arguments)
    try:
        release = checked(ROOT, options.version)
        make(release, options.out, repository=options.repository.rstrip("/"), image=options.image)
    except ReleaseError as error:
        sys.stderr.write(f"Not released: {error}\n")
        return 1
    for path in sorted(options.out.iterdir()):
        say(f"{path.stat().st_size:>12,} {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
