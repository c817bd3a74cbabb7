"""The version: one constant in `gateway/__init__.py`, and copies where a format wants its own.

`python -m scripts.release.version 0.2.0` (`make version VERSION=0.2.0`) writes it everywhere and opens its section in
the changelog. The package for Python reads the constant; npm, Helm and the image cannot.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
from pathlib import Path
from typing import Any

from scripts.release.changelog import CHANGELOG, ReleaseError, open_section

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "gateway/__init__.py"
# Each group is the version, and stands in the file as often as is said here.
COPIES = {
    SOURCE: (r'^(__version__ = ")[^"]+(")$', 1),
    "clients/python/kline_gateway_client/__init__.py": (r'^(__version__ = ")[^"]+(")$', 1),
    "deploy/helm/Chart.yaml": (r'^((?:version|appVersion): "?)[^"\s]+("?)$', 2),
    "Dockerfile": (r'(org\.opencontainers\.image\.version=")[^"]+(")', 1),
}
# What PEP 440, Semantic Versioning, npm and Helm agree on.
PLAIN = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
RANGES = ("dependencies", "optionalDependencies", "peerDependencies")


def current(root: Path = ROOT) -> str:
    """The version that the sources in `root` are of."""
    found = re.search(r'^__version__ = "([^"]+)"$', (root / SOURCE).read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ReleaseError(f"{SOURCE}: no __version__")
    return found[1]


def texts_for(version: str, root: Path = ROOT) -> dict[Path, str]:
    """Every file that names the version, with the text that it has when it names this one.

    Raises `ReleaseError` where a file does not have the version where it should be, or the version is not plain.
    """
    if not PLAIN.fullmatch(version):
        raise ReleaseError(f"version {version}: expected three numbers, such as 0.2.0")
    texts = {root / name: _replaced(root / name, pattern, count, version) for name, (pattern, count) in COPIES.items()}
    packages = npm_packages(root)
    own = {_json(folder / "package.json")["name"] for folder in packages}
    for folder in packages:
        for path in (folder / "package.json", folder / "package-lock.json"):
            texts[path] = _npm_text(path, own, version)
    return texts


def npm_packages(root: Path = ROOT) -> list[Path]:
    """The folders of the packages for npm."""
    return sorted(path.parent for path in (root / "clients").glob("*/package.json"))


def disagreeing(version: str, root: Path = ROOT) -> list[str]:
    """Files that name another version, or depend on another one of our own packages."""
    texts = texts_for(version, root)
    return [str(path.relative_to(root)) for path, text in texts.items() if path.read_text(encoding="utf-8") != text]


def _replaced(path: Path, pattern: str, count: int, version: str) -> str:
    text, found = re.subn(pattern, rf"\g<1>{version}\g<2>", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if found != count:
        raise ReleaseError(f"{path}: the version stands there {found} times, expected {count}")
    return text


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _npm_text(path: Path, own: set[str], version: str) -> str:
    content = _json(path)
    content["version"] = version
    # A lock file repeats what package.json says of the package itself.
    described = [content, *([content["packages"][""]] if "packages" in content else [])]
    for package in described:
        package["version"] = version
        for kind in RANGES:
            for name in own & package.get(kind, {}).keys():
                package[kind][name] = f"^{version}"
    # As npm writes it.
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the version that is given; exit status."""
    if len(arguments) != 1:
        sys.stderr.write("Usage: make version VERSION=0.2.0\n")
        return 2
    try:
        texts = texts_for(arguments[0])
        changelog = ROOT / CHANGELOG
        today = datetime.datetime.now(datetime.UTC).date()
        texts[changelog] = open_section(changelog.read_text(encoding="utf-8"), arguments[0], today)
    except ReleaseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for path, text in texts.items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
