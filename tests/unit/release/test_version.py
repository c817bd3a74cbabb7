"""One version everywhere, and a changelog that has it."""

from __future__ import annotations

import datetime
import json
import shutil
import tomllib
from typing import TYPE_CHECKING

import kline_gateway_client
import pytest

import gateway
from scripts.release.changelog import ReleaseError, open_section, section
from scripts.release.version import ROOT, current, disagreeing, npm_packages, texts_for

if TYPE_CHECKING:
    from pathlib import Path

NEXT = "0.90.1"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """The files that name the version, and a package that depends on another one of ours."""
    for path in texts_for(current()):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    content = {
        "name": "dependent",
        "version": current(),
        "dependencies": {"other": "^1.0.0"},
        "peerDependencies": {"kline-gateway-client": f"^{current()}"},
    }
    folder = tmp_path / "clients" / "dependent"
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps(content, indent=2) + "\n")
    lock = {"name": "dependent", "version": current(), "packages": {"": content, "node_modules/other": {}}}
    (folder / "package-lock.json").write_text(json.dumps(lock, indent=2) + "\n")
    return tmp_path


def test_everything_that_names_the_version_names_the_same() -> None:
    assert disagreeing(gateway.__version__) == []
    assert kline_gateway_client.__version__ == gateway.__version__


@pytest.mark.parametrize("folder", [".", "clients/python"])
def test_the_packages_for_python_take_it_from_there(folder: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    named = (ROOT / folder / project["tool"]["hatch"]["version"]["path"]).read_text(encoding="utf-8")
    assert f'__version__ = "{gateway.__version__}"' in named


def test_a_new_version_is_written_everywhere(sources: Path) -> None:
    changed = disagreeing(NEXT, sources)
    assert set(changed) == {str(path.relative_to(sources)) for path in texts_for(NEXT, sources)}
    for path, text in texts_for(NEXT, sources).items():
        assert text.count(NEXT) >= 1
        path.write_text(text)
    assert (current(sources), disagreeing(NEXT, sources)) == (NEXT, [])


def test_our_own_packages_depend_on_each_other_by_it(sources: Path) -> None:
    (folder,) = [path for path in npm_packages(sources) if path.name == "dependent"]
    texts = texts_for(NEXT, sources)
    package = json.loads(texts[folder / "package.json"])
    assert package["peerDependencies"] == {"kline-gateway-client": f"^{NEXT}"}
    assert package["dependencies"] == {"other": "^1.0.0"}
    lock = json.loads(texts[folder / "package-lock.json"])
    assert lock["version"] == NEXT
    assert lock["packages"][""] == package
    assert lock["packages"]["node_modules/other"] == {}


@pytest.mark.parametrize("version", ["1.0", "v0.2.0", "0.2.0rc1", "0.2.0-rc.1", "0.02.0", ""])
def test_only_a_version_that_all_formats_read_alike_is_taken(version: str) -> None:
    with pytest.raises(ReleaseError, match="expected three numbers"):
        texts_for(version)


@pytest.mark.parametrize("text", ["", '__version__ = "0.1.0"\n__version__ = "0.1.0"\n'])
def test_a_file_without_the_version_is_named(sources: Path, text: str) -> None:
    name = "clients/python/kline_gateway_client/__init__.py"
    (sources / name).write_text(text)
    with pytest.raises(ReleaseError, match=name):
        texts_for(NEXT, sources)


class TestChangelog:
    TEXT = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- One.\n\n## [0.1.0] - 2026-01-02\n\n- Zero.\n"
    DAY = datetime.date(2026, 3, 4)

    def test_what_was_unreleased_becomes_the_release(self) -> None:
        opened = open_section(self.TEXT, "0.2.0", self.DAY)
        assert opened.startswith("# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-03-04\n\n### Added\n\n- One.\n")
        assert section(opened, "0.2.0") == "### Added\n\n- One.\n"
        assert section(opened, "0.1.0") == "- Zero.\n"

    def test_a_section_that_is_there_stays(self) -> None:
        assert open_section(self.TEXT, "0.1.0", self.DAY) == self.TEXT

    def test_a_release_without_a_section_is_refused(self) -> None:
        with pytest.raises(ReleaseError, match=r"no section ## \[0\.2\.0\]"):
            section(self.TEXT, "0.2.0")

    def test_a_release_of_nothing_is_refused(self) -> None:
        released = open_section(self.TEXT, "0.2.0", self.DAY)
        with pytest.raises(ReleaseError, match="says nothing"):
            open_section(released, "0.3.0", self.DAY)
        with pytest.raises(ReleaseError, match=r"no section ## \[Unreleased\]"):
            open_section("# Changelog\n", "0.3.0", self.DAY)

    def test_a_longer_version_is_another_one(self) -> None:
        with pytest.raises(ReleaseError):
            section("## [0.1.0] - 2026-01-02\n\n- Zero.\n", "0.1")

    def test_the_changelog_has_a_place_for_what_comes(self) -> None:
        assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
