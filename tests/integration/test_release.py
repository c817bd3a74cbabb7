"""A release of the sources as they stand: made as a maintainer makes it, and installed from what that leaves."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from typing import TYPE_CHECKING

import pytest

from scripts.release.version import npm_packages
from tests.integration.environments import ROOT, WAIT_S, Environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

VERSION = "0.90.1"
URL = "https://github.com/some/one"
VALIDATE = """
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open({path!r}).read()))
"""
WHO = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `make release` leaves, out of a repository with the files of this one."""
    if shutil.which("npm") is None:
        pytest.skip("no Node with npm on this machine")
    folder = tmp_path_factory.mktemp("sources")
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / name, follow_symlinks=False)
    run([sys.executable, "-m", "scripts.release.version", VERSION], folder)
    run(["git", "init", "--quiet"], folder)
    run(["git", "add", "--all"], folder)
    run(["git", *WHO, "commit", "--quiet", "--no-gpg-sign", f"--message={VERSION}"], folder)
    command = [sys.executable, "-m", "scripts.release", VERSION, "--repository", URL, "--no-image"]
    printed = run(command, folder)
    assert "Built twice, the same bytes" in printed
    assert run(["git", "status", "--porcelain"], folder) == ""
    yield folder / "dist"
    shutil.rmtree(folder)


def test_all_packages_are_there_with_their_sums(dist: Path) -> None:
    packages = [json.loads((folder / "package.json").read_text(encoding="utf-8")) for folder in npm_packages()]
    expected = {
        f"kline_gateway-{VERSION}-py3-none-any.whl",
        f"kline_gateway-{VERSION}.tar.gz",
        f"kline_gateway_client-{VERSION}-py3-none-any.whl",
        f"kline_gateway_client-{VERSION}.tar.gz",
        f"kline-gateway-{VERSION}.tgz",
        f"kline-gateway-{VERSION}.cdx.json",
        "NOTES.md",
        *(f"{package['name']}-{VERSION}.tgz" for package in packages),
    }
    assert {path.name for path in dist.iterdir()} == expected | {"SHA256SUMS"}
    sums = [line.split("  ") for line in (dist / "SHA256SUMS").read_text().splitlines()]
    assert {name: digest for digest, name in sums} == {
        name: hashlib.sha256((dist / name).read_bytes()).hexdigest() for name in expected
    }


def test_each_says_its_version_and_where_it_is_from(dist: Path) -> None:
    with zipfile.ZipFile(dist / f"kline_gateway-{VERSION}-py3-none-any.whl") as wheel:
        described = wheel.read(f"kline_gateway-{VERSION}.dist-info/METADATA").decode()
        assert "gateway/static/index.html" in wheel.namelist()
    assert f"Project-URL: Source, {URL}\n" in described
    assert f"]({URL}/raw/v{VERSION}/docs/images/page.png)" in described
    for folder in npm_packages():
        name = json.loads((folder / "package.json").read_text(encoding="utf-8"))["name"]
        with tarfile.open(dist / f"{name}-{VERSION}.tgz") as archive:
            member = archive.extractfile("package/package.json")
            assert member is not None
            package = json.load(member)
            names = archive.getnames()
        assert (package["version"], package["repository"]["url"]) == (VERSION, f"git+{URL}.git")
        assert any(entry.startswith("package/dist/") and entry.endswith(".d.ts") for entry in names)
        assert {"package/README.md", "package/LICENSE"} <= set(names)


def test_the_bill_of_materials_is_one(dist: Path, tmp_path: Path) -> None:
    environment = Environment.made(tmp_path / "environment")
    environment.install("cyclonedx-python-lib[json-validation]")
    code = VALIDATE.format(path=str(dist / f"kline-gateway-{VERSION}.cdx.json"))
    assert environment.python(code) == "None\n"


@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"], ids=["wheels", "sources"])
def test_it_installs_into_an_environment_with_nothing_in_it(dist: Path, tmp_path: Path, pattern: str) -> None:
    server, client = (next(dist.glob(f"{name}-{pattern}")) for name in ("kline_gateway", "kline_gateway_client"))
    environment = Environment.made(tmp_path / "environment")
    environment.install(f"{server}[demo]", client)
    assert environment.run("kline-gateway", "--version").stdout == f"kline-gateway, version {VERSION}\n"
    with environment.demo() as address:
        with urllib.request.urlopen(address, timeout=WAIT_S) as answer:
            assert b'<script type="module"' in answer.read()
        with urllib.request.urlopen(f"{address}/v1/klines?symbol=BTCUSDT&interval=1m", timeout=WAIT_S) as answer:
            assert len(json.load(answer)["klines"]) > 1
    assert environment.python("import kline_gateway_client as c; print(c.__version__)") == f"{VERSION}\n"


def test_packages_for_npm_install_and_are_imported_by_name(dist: Path, tmp_path: Path) -> None:
    packed = [path for path in dist.glob("*.tgz") if path.name != f"kline-gateway-{VERSION}.tgz"]
    (tmp_path / "package.json").write_text('{"type": "module"}')
    run(["npm", "install", "--no-fund", "--no-audit", "--silent", *map(str, packed)], tmp_path)
    code = "import * as all from 'kline-gateway-client'; console.log(Object.keys(all).length > 0)"
    assert run(["node", "--input-type=module", "--eval", code], tmp_path) == "true\n"


def test_the_notes_are_what_the_changelog_says(dist: Path) -> None:
    text = (dist.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    notes = (dist / "NOTES.md").read_text(encoding="utf-8")
    assert notes.startswith("### ")
    assert notes.strip() in text
