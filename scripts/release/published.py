"""What packages say of where they come from: known only when they are published, since forks publish too.

PyPI shows the README without the files that it links to, and npm's proof of origin asks for the repository.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from scripts.release.version import npm_packages

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = (".", "clients/python")
# The forge whose registry has the image under the name of the repository.
FORGE, REGISTRY = "https://github.com/", "ghcr.io/"
LINK = re.compile(r"(!?)(\[[^\]]*\])\((?![a-z]+:|#)([^)\s]+)\)")


def name_repository(source: Path, repository: str, version: str) -> None:
    """Write into the sources of a release that they are of `repository`, a URL such as https://github.com/own/er."""
    for project in PYTHON:
        folder = source / project
        readme = folder / "README.md"
        base = "" if project == "." else f"{project}/"
        readme.write_text(
            absolute(readme.read_text(encoding="utf-8"), repository, f"v{version}", base), encoding="utf-8"
        )
        with (folder / "pyproject.toml").open("a", encoding="utf-8") as described:
            described.write(
                f'\n[project.urls]\nSource = "{repository}"\nChangelog = "{repository}/blob/v{version}/CHANGELOG.md"\n'
            )
    for folder in npm_packages(source):
        path = folder / "package.json"
        package = json.loads(path.read_text(encoding="utf-8"))
        directory = folder.relative_to(source).as_posix()
        package["repository"] = {"type": "git", "url": f"git+{repository}.git", "directory": directory}
        path.write_text(json.dumps(package, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if repository.startswith(FORGE):
        values = source / "deploy" / "helm" / "values.yaml"
        image = f"{REGISTRY}{repository.removeprefix(FORGE).lower()}"
        text = re.sub(r"(?m)^(  repository: )\S+.*$", rf"\g<1>{image}", values.read_text(encoding="utf-8"))
        values.write_text(text, encoding="utf-8")


def absolute(text: str, repository: str, tag: str, base: str = "") -> str:
    """The Markdown with each relative link, which is relative to the folder `base`, as one into the repository."""

    def link(found: re.Match[str]) -> str:
        image, label, target = found.groups()
        kind = "raw" if image else "blob"
        return f"{image}{label}({repository}/{kind}/{tag}/{base}{target})"

    return LINK.sub(link, text)
