"""The lock files say the same as `pyproject.toml` and as each other, and name packages and hashes only."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("build", "demo", "dev", "serve")
# What the server is tested with may differ in these: they run in environments of their own.
APART = ("collect", "docs", "fuzz")

each_lock = pytest.mark.parametrize("lock", LOCKS)


def text_of(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")


def locked(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text_of(lock), re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


SERVE = names(PROJECT["project"]["dependencies"])
DEMO = names(PROJECT["project"]["optional-dependencies"]["demo"])
BUILD = names(PROJECT["dependency-groups"]["build"])
ARCHIVE = names(PROJECT["project"]["optional-dependencies"]["archive"])
COLLECT = names(PROJECT["project"]["optional-dependencies"]["collect"])
DEV = names(PROJECT["dependency-groups"]["dev"])
DOCS = names(PROJECT["dependency-groups"]["docs"])
FUZZ = names(PROJECT["dependency-groups"]["fuzz"])


@pytest.mark.parametrize(
    ("lock", "declared"),
    [
        ("build", BUILD),
        ("serve", SERVE),
        ("archive", SERVE | ARCHIVE),
        ("demo", SERVE | DEMO | BUILD),
        ("dev", SERVE | DEMO | BUILD | DEV),
        ("docs", DOCS),
        ("fuzz", SERVE | DEMO | FUZZ),
        ("collect", SERVE | COLLECT),
    ],
    ids=["build", "serve", "archive", "demo", "dev", "docs", "fuzz", "collect"],
)
def test_everything_declared_is_locked(lock: str, declared: set[str]) -> None:
    assert declared - set(locked(lock)) == set(), "run `make lock`"


@each_lock
def test_tested_versions_are_those_served(lock: str) -> None:
    tested = locked("dev")
    assert {name: version for name, version in locked(lock).items() if tested.get(name) != version} == {}


def test_fuzzed_versions_are_those_served() -> None:
    served, fuzzed = locked("serve"), locked("fuzz")
    assert {name: version for name, version in served.items() if fuzzed.get(name) != version} == {}


def test_the_server_needs_no_test_dependency() -> None:
    assert not set(locked("serve")) & (DEV | DEMO | BUILD | FUZZ | COLLECT)


@pytest.mark.parametrize("lock", [*LOCKS, *APART])
def test_every_package_has_a_hash(lock: str) -> None:
    entries = re.split(r"^(?=[a-z])", text_of(lock), flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", [*LOCKS, *APART])
def test_no_registry_is_named_so_that_any_mirror_works(lock: str) -> None:
    assert "://" not in text_of(lock)


NPM_LOCKS = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*package-lock.json"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()


@pytest.mark.parametrize("lock", NPM_LOCKS)
def test_npm_packages_have_hashes_and_no_registry_is_named(lock: str) -> None:
    packages: dict[str, dict[str, Any]] = json.loads((ROOT / lock).read_text(encoding="utf-8"))["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert installed
    assert [name for name, package in installed.items() if not package["integrity"].startswith("sha512-")] == []
    assert [name for name, package in installed.items() if "resolved" in package] == []


@pytest.mark.parametrize("lock", NPM_LOCKS)
def test_npm_packages_are_locked_as_declared(lock: str) -> None:
    declared = json.loads((ROOT / lock).with_name("package.json").read_text(encoding="utf-8"))
    root = json.loads((ROOT / lock).read_text(encoding="utf-8"))["packages"][""]
    for group in ("dependencies", "devDependencies", "peerDependencies"):
        assert root.get(group) == declared.get(group), "run `make lock`"
