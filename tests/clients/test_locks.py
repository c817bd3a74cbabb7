"""What the client libraries are held by: hashes and no host, and the README names the versions that are tested."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest

from tests.clients.conftest import HERE, ROOT

PYTHON_LOCKS = sorted((ROOT / "requirements").glob("clients*.txt"))
CRATES: list[dict[str, Any]] = tomllib.loads((HERE / "rust" / "Cargo.lock").read_text(encoding="utf-8"))["package"]
POM = (HERE / "java" / "pom.xml").read_text(encoding="utf-8")
LIBRARIES = re.findall(r"<artifactId>([\w.-]+)</artifactId>\s*<version>([\d.]+)</version>\s*</dependency>", POM)
PACKAGES: dict[str, Any] = json.loads((HERE / "node" / "package-lock.json").read_text(encoding="utf-8"))["packages"]


@pytest.mark.parametrize("name", [path.stem for path in PYTHON_LOCKS])
def test_python_libraries_are_held_by_hash_and_name_no_host(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text
    wanted = re.findall(r"^([a-z-]+)", (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(wanted) <= {entry.partition("==")[0] for entry in entries}


def test_node_libraries_are_held_by_hash_and_name_no_host() -> None:
    own, *installed = PACKAGES.values()
    assert own["dependencies"] == json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
    assert [package for package in installed if "integrity" not in package or "resolved" in package] == []


def test_go_libraries_are_held_by_hash() -> None:
    modules = (HERE / "go" / "go.mod").read_text(encoding="utf-8")
    sums = (HERE / "go" / "go.sum").read_text(encoding="utf-8")
    wanted = re.findall(r"^(?:require |\t)(\S+) (v\S+)", modules, re.MULTILINE)
    assert len(wanted) >= 2
    assert [module for module, version in wanted if f"{module} {version} h1:" not in sums] == []
    assert "replace" not in modules


def test_rust_libraries_are_held_by_hash() -> None:
    manifest = tomllib.loads((HERE / "rust" / "Cargo.toml").read_text(encoding="utf-8"))
    assert set(manifest) == {"package", "bin", "dependencies", "profile"}
    assert re.fullmatch(r"=[\d.]+", manifest["dependencies"]["binance"])
    own, foreign = (
        [crate for crate in CRATES if "source" not in crate],
        [crate for crate in CRATES if "source" in crate],
    )
    assert [crate["name"] for crate in own] == ["client"]
    assert [crate["name"] for crate in foreign if "checksum" not in crate] == []
    # What Cargo calls the registry of all crates, whichever mirror they come from.
    assert {crate["source"] for crate in foreign} == {"registry+https://github.com/rust-lang/crates.io-index"}


def test_java_libraries_are_held_by_hash_and_name_no_host() -> None:
    assert "://" not in POM
    assert "repositor" not in POM.lower()
    assert [artifact for artifact, _ in LIBRARIES] == ["binance-connector-java"]
    assert len(LIBRARIES) == POM.count("<dependency>")
    lines = (HERE / "java" / "libraries.sha256").read_text(encoding="utf-8").splitlines()
    files = [re.fullmatch(r"[0-9a-f]{64}  ([\w.-]+\.jar)", line) for line in lines]
    assert None not in files
    jars = {found[1] for found in files if found}
    assert {f"{artifact}-{version}.jar" for artifact, version in LIBRARIES} <= jars


def test_readme_names_the_versions_that_are_tested() -> None:
    locks = "".join(path.read_text(encoding="utf-8") for path in PYTHON_LOCKS)
    locked = {*re.findall(r"^([a-z-]+)==([^\s;]+)", locks, re.MULTILINE)}
    locked |= {(path.removeprefix("node_modules/"), package.get("version", "")) for path, package in PACKAGES.items()}
    modules = (HERE / "go" / "go.mod").read_text(encoding="utf-8")
    locked |= {*re.findall(r"/(go-binance)/v2 v(\S+)", modules)}
    locked |= {(crate["name"], crate["version"]) for crate in CRATES}
    locked |= {*LIBRARIES}
    rows = re.findall(r"^\| (@?[a-z/-]+)[^|]*\| ([\d.]+) \|", (HERE / "README.md").read_text(), re.MULTILINE)
    assert len(rows) == 22
    assert set(rows) <= locked
