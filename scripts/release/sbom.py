"""What is inside: a CycloneDX bill of materials, made of the lock files.

It describes the gateway with its extras and the packages that are built into its page. The same commit gives the same
bytes: whatever a lock file does not say (licences, who needs whom) is read from the installed packages of that version.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
import tomllib
import uuid
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.release.checks import Release

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
SPACE = uuid.UUID("0c9a7b8e-7f43-4d0e-9a43-2f2b6d0f6a51")
LOCKED = re.compile(r"^([a-z0-9-]+)==([^\s;]+)(?: ; (.+?))?(?: \\)?$", re.MULTILINE)
# Where the page's sources are, and what they bring in.
PAGE_SOURCES = ("web/src", "clients/web/src/client")
IMPORTED = re.compile(r"""(?:from|import|import\(|url\()\s*["']((?:@[\w.-]+/)?[\w-][\w.-]*)(?:/[^"']*)?["']""")
Component = dict[str, Any]


def bill_of_materials(release: Release, source: Path) -> str:
    """The document, as text. `source`: the sources of the release."""
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    root = f"pkg:pypi/{project['name']}@{release.version}"
    components = {component["bom-ref"]: component for component in python_components(source, project)}
    direct = [Requirement(text) for text in project["dependencies"]]
    for requirements in project["optional-dependencies"].values():
        direct += [Requirement(text) for text in requirements]
    needs = {root: {ref for requirement in direct for ref in refs_of(requirement, components)}}
    needs |= python_edges(direct, components)
    for component, needed in page_components(source):
        components[component["bom-ref"]] = component
        needs[component["bom-ref"]] = needed
        needs[root].add(component["bom-ref"])
    made = datetime.datetime.fromtimestamp(release.epoch_s, datetime.UTC)
    document = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(SPACE, f"{release.version} {release.commit}").urn,
        "version": 1,
        "metadata": {
            "timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycles": [{"phase": "build"}],
            "component": {
                "bom-ref": root,
                "type": "application",
                "name": project["name"],
                "version": release.version,
                "purl": root,
                "licenses": [{"expression": project["license"]}],
            },
        },
        "components": [components[ref] for ref in sorted(components)],
        "dependencies": [
            {"ref": ref, **({"dependsOn": sorted(needs[ref])} if needs.get(ref) else {})}
            for ref in sorted({root, *components})
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def locked(source: Path, lock: str) -> dict[tuple[str, str], str]:
    """Name and version of what is locked, each with its condition: "" where it is always needed."""
    text = (source / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return {(name, version): condition for name, version, condition in LOCKED.findall(text)}


def python_components(source: Path, project: dict[str, Any]) -> Iterator[Component]:
    """What the gateway needs, and what each of its extras adds."""
    serve, build = locked(source, "serve"), locked(source, "build")
    for (name, version), condition in serve.items():
        yield _python(name, version, condition)
    for extra, requirements in project["optional-dependencies"].items():
        if (source / "requirements" / f"{extra}.txt").exists():
            added = list(locked(source, extra).items())
        else:
            named = {canonicalize_name(Requirement(text).name) for text in requirements}
            added = [(key, condition) for key, condition in locked(source, "dev").items() if key[0] in named]
        for key, condition in added:
            if key not in serve and key not in build:
                yield _python(*key, condition, extra)


def python_edges(direct: list[Requirement], components: dict[str, Component]) -> dict[str, set[str]]:
    """Who needs whom, as far as the installed packages are the locked ones."""
    edges: dict[str, set[str]] = {}
    asked: set[tuple[str, frozenset[str]]] = set()
    waiting = list(direct)
    while waiting:
        requirement = waiting.pop()
        extras = frozenset(requirement.extras)
        for ref in refs_of(requirement, components):
            if (ref, extras) in asked or (found := installed(components[ref])) is None:
                continue
            asked.add((ref, extras))
            for text in found.requires or []:
                needed = Requirement(text)
                if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                    edges.setdefault(ref, set()).update(refs_of(needed, components))
                    waiting.append(needed)
    return edges


def refs_of(requirement: Requirement, components: dict[str, Component]) -> list[str]:
    """The components that a requirement means: those of an extra only where the gateway has none of that name."""
    name = canonicalize_name(requirement.name)
    refs = [ref for ref in components if ref.startswith(f"pkg:pypi/{name}@")]
    return [ref for ref in refs if components[ref]["scope"] == "required"] or refs


def installed(component: Component) -> metadata.Distribution | None:
    """The installed package, if it has the version of the component."""
    try:
        found = metadata.distribution(component["name"])
    except metadata.PackageNotFoundError:
        return None
    return found if found.version == component["version"] else None


def page_components(source: Path) -> Iterator[tuple[Component, set[str]]]:
    """What is built into the page: packages that its sources name, and what those need. With whom each needs."""
    packages = json.loads((source / "web" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    own = json.loads((source / "clients" / "web" / "package.json").read_text(encoding="utf-8"))["name"]
    waiting = {
        name
        for folder in PAGE_SOURCES
        for path in (source / folder).rglob("*")
        if path.suffix in {".css", ".ts"}
        for name in IMPORTED.findall(path.read_text(encoding="utf-8"))
        if name != own
    }
    done: set[str] = set()
    while waiting:
        name = waiting.pop()
        done.add(name)
        package = packages[f"node_modules/{name}"]
        needed = set(package.get("dependencies", {}))
        waiting |= needed - done
        yield _npm(name, package), {_npm_ref(other, packages[f"node_modules/{other}"]) for other in needed}


def _python(name: str, version: str, condition: str, extra: str = "") -> Component:
    ref = f"pkg:pypi/{name}@{version}"
    component: Component = {"bom-ref": ref, "type": "library", "name": name, "version": version, "purl": ref}
    component["scope"] = "optional" if extra else "required"
    properties = {"kline-gateway:extra": extra, "kline-gateway:condition": condition}
    if any(properties.values()):
        component["properties"] = [{"name": name, "value": value} for name, value in properties.items() if value]
    if (found := installed(component)) is not None:
        if expression := found.metadata["License-Expression"]:
            component["licenses"] = [{"expression": expression}]
        elif (named := found.metadata["License"]) and "\n" not in named:
            component["licenses"] = [{"license": {"name": named}}]
    return component


def _npm(name: str, package: dict[str, Any]) -> Component:
    ref = _npm_ref(name, package)
    algorithm, _, digest = package["integrity"].partition("-")
    return {
        "bom-ref": ref,
        "type": "library",
        "name": name,
        "version": package["version"],
        "purl": ref,
        "scope": "required",
        "hashes": [{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": base64.b64decode(digest).hex()}],
        "licenses": [{"expression": package["license"]}],
    }


def _npm_ref(name: str, package: dict[str, Any]) -> str:
    return f"pkg:npm/{quote(name, safe='/')}@{package['version']}"
