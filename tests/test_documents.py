"""The documents: what they link to is there, and the README stays a front page."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    if (ROOT / name).is_file()
]
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]+))?\)")
FRONT_PAGE_WORDS = 900


@cache
def anchors(path: Path) -> set[str]:
    """The names by which the headings of a document can be reached, as forges make them."""
    headings = re.findall(r"(?m)^#+ (.*)$", path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "")).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    document = ROOT / name
    for target, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        place = (document.parent / target).resolve() if target else document
        assert place.exists(), f"{name}: {target}"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), f"{name}: {target}#{anchor}"


def test_the_readme_is_a_front_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= FRONT_PAGE_WORDS
