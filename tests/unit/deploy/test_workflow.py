"""The workflow that publishes: it runs nothing that can change under it, and may do no more than it has to."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
PERMISSIONS = {
    "build": {"contents": "read"},
    "install": {},
    "pypi": {"id-token": "write"},
    "npm": {"id-token": "write"},
    "image": {"contents": "read", "id-token": "write", "packages": "write"},
    "release": {"attestations": "write", "contents": "write", "id-token": "write"},
}


def commands() -> str:
    return "\n".join(step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step)


def needs(job: str) -> set[str]:
    """The jobs that have succeeded before this one runs."""
    direct = JOBS[job].get("needs", [])
    direct = [direct] if isinstance(direct, str) else direct
    return {*direct, *(name for other in direct for name in needs(other))}


def test_it_runs_for_a_version_only_and_only_where_it_is_enabled() -> None:
    # YAML 1.1 reads the key `on` as true.
    assert WORKFLOW[True] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}
    assert JOBS["build"]["if"] == "vars.RELEASES == 'true'"
    assert all("build" in needs(job) for job in JOBS if job != "build")


def test_nothing_is_published_that_does_not_install() -> None:
    assert all("install" in needs(job) for job in JOBS if job not in ("build", "install"))
    assert needs("release") == JOBS.keys() - {"release"}


def test_a_job_may_do_what_it_has_to_and_no_more() -> None:
    assert WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in JOBS.items()} == PERMISSIONS
    assert all(job["timeout-minutes"] <= 30 for job in JOBS.values())


def test_each_action_is_one_that_cannot_change() -> None:
    used = re.findall(r"uses: (\S+)(.*)", TEXT)
    assert len(used) > 10
    for action, comment in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    assert len({action for action, _ in used}) == len({action.partition("@")[0] for action, _ in used})


def test_no_secret_is_kept_and_no_text_of_others_becomes_a_command() -> None:
    assert "secrets." not in TEXT
    assert "${{" not in commands()


def test_the_targets_that_it_makes_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    made = re.findall(r"\bmake ([a-z-]+)", commands())
    assert made == ["release"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in made)
    for variable in re.findall(r"\b([A-Z]+)=", next(line for line in commands().splitlines() if "make " in line)):
        assert f"$({variable})" in makefile, variable


def test_every_python_that_is_promised_installs_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = JOBS["install"]["strategy"]["matrix"]["python"]
    assert f">={versions[0]}" == project["requires-python"]
    assert versions == [f"3.{minor}" for minor in range(11, 11 + len(versions))]


@pytest.mark.parametrize("job", ["pypi", "npm"])
def test_a_registry_asks_a_person_first(job: str) -> None:
    assert JOBS[job]["environment"] == job
