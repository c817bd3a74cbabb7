"""What is refused before anything is built."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from scripts.release import __main__ as command
from scripts.release.changelog import ReleaseError
from scripts.release.checks import checked, git
from scripts.release.version import ROOT, current, texts_for

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "0.90.1"
WHO = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that can be released as `VERSION`."""
    for path in texts_for(current()):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for path, text in texts_for(VERSION, tmp_path).items():
        path.write_text(text)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\n## [{VERSION}] - 2026-01-02\n\n- One.\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def commit(repository: Path) -> None:
    git(repository, "add", "--all")
    git(repository, *WHO, "commit", "--quiet", "--no-gpg-sign", "--message=one", "--date=2026-01-02T03:04:05Z")


def test_a_commit_is_released_with_what_the_changelog_says_of_it(repository: Path) -> None:
    release = checked(repository, VERSION)
    assert (release.version, release.notes) == (VERSION, "- One.\n")
    assert release.commit == git(repository, "rev-parse", "HEAD")
    assert release.epoch_s == int(git(repository, "log", "-1", "--format=%ct"))


@pytest.mark.parametrize("name", ["Dockerfile", "new"])
def test_what_is_not_committed_is_refused(repository: Path, name: str) -> None:
    with (repository / name).open("a") as file:
        file.write("\n")
    with pytest.raises(ReleaseError, match=f"not committed:\n.*{name}"):
        checked(repository, VERSION)


def test_another_version_is_refused(repository: Path) -> None:
    with pytest.raises(ReleaseError, match=rf"of version {VERSION}: `make version VERSION=0\.90\.2`"):
        checked(repository, "0.90.2")
    with pytest.raises(ReleaseError, match="expected three numbers"):
        checked(repository, "next")


def test_a_file_of_another_version_is_refused(repository: Path) -> None:
    path = repository / "Dockerfile"
    path.write_text(path.read_text().replace(VERSION, "0.90.0"))
    commit(repository)
    with pytest.raises(ReleaseError, match=rf"not of version {VERSION}: Dockerfile;"):
        checked(repository, VERSION)


def test_a_version_without_a_section_is_refused(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n- One.\n")
    commit(repository)
    with pytest.raises(ReleaseError, match="CHANGELOG"):
        checked(repository, VERSION)


def test_without_node_nothing_is_released(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which("git")
    assert found is not None
    (repository / ".git" / "bin").mkdir()
    (repository / ".git" / "bin" / "git").symlink_to(found)
    monkeypatch.setenv("PATH", str(repository / ".git" / "bin"))
    with pytest.raises(ReleaseError, match="npm was not found"):
        checked(repository, VERSION)


def test_a_refusal_is_a_sentence_and_touches_nothing(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ROOT", repository)
    out = repository / "dist"
    out.mkdir()
    (out / "kept").write_text("")
    assert command.main([VERSION, "--out", str(out)]) == 1
    assert capsys.readouterr().err.startswith("Not released: there are changes that are not committed:\n")
    assert [path.name for path in out.iterdir()] == ["kept"]


def test_outside_of_a_repository_git_says_why(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="git status: fatal: not a git repository"):
        git(tmp_path, "status")
