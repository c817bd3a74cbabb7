"""What packages say of where they come from, and the order in which they are made."""

from __future__ import annotations

import json
import shutil
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml

from scripts.release.build import in_order
from scripts.release.published import absolute, name_repository
from scripts.release.version import ROOT, npm_packages

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://example.org/some/one"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/a.md)", f"[a]({URL}/blob/v1/docs/a.md)"),
        ("![a b](docs/a.png)", f"![a b]({URL}/raw/v1/docs/a.png)"),
        ("[a](docs/a.md#part) and [b](b)", f"[a]({URL}/blob/v1/docs/a.md#part) and [b]({URL}/blob/v1/b)"),
        ("[a](https://example.org/x)", "[a](https://example.org/x)"),
        ("[a](#part)", "[a](#part)"),
    ],
)
def test_a_link_leads_into_the_repository(text: str, expected: str) -> None:
    assert absolute(text, URL, "v1") == expected


@pytest.mark.parametrize(
    ("url", "image"), [(URL, "kline-gateway"), ("https://github.com/Some/One", "ghcr.io/some/one")]
)
def test_every_package_names_the_repository(tmp_path: Path, url: str, image: str) -> None:
    names = [
        "README.md",
        "pyproject.toml",
        "clients/python/README.md",
        "clients/python/pyproject.toml",
        "deploy/helm/values.yaml",
    ]
    for name in [*names, *(f"clients/{folder.name}/package.json" for folder in npm_packages())]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    name_repository(tmp_path, url, "0.90.1")
    for project in (".", "clients/python"):
        described = tomllib.loads((tmp_path / project / "pyproject.toml").read_text(encoding="utf-8"))
        assert described["project"]["urls"]["Source"] == url
    readme = (tmp_path / "clients" / "python" / "README.md").read_text(encoding="utf-8")
    assert f"]({url}/blob/v0.90.1/clients/python/" in readme
    for folder in npm_packages(tmp_path):
        package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        expected = {"type": "git", "url": f"git+{url}.git", "directory": f"clients/{folder.name}"}
        assert package["repository"] == expected
    values = yaml.safe_load((tmp_path / "deploy" / "helm" / "values.yaml").read_text(encoding="utf-8"))
    assert values["image"]["repository"] == image


def test_a_package_is_made_after_those_that_it_needs(tmp_path: Path) -> None:
    for name, needed in {"a": ["b", "other"], "b": ["c"], "c": []}.items():
        (tmp_path / name).mkdir()
        content = {"name": name, "peerDependencies": dict.fromkeys(needed, "^1")}
        (tmp_path / name / "package.json").write_text(json.dumps(content))
    assert [folder.name for folder in in_order(sorted(tmp_path.iterdir()))] == ["c", "b", "a"]
