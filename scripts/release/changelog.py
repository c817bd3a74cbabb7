"""The changelog by release: what stands under a version, and how a version gets its section."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime

CHANGELOG = "CHANGELOG.md"
UNRELEASED = "## [Unreleased]"


class ReleaseError(Exception):
    """What is there cannot be released; the message says why, and what to do."""


def section(text: str, version: str) -> str:
    """What the changelog says of a release, without the heading. Raises `ReleaseError` if it says nothing."""
    heading = re.compile(rf"^## \[{re.escape(version)}\](?: .*)?$", re.MULTILINE)
    found = heading.search(text)
    if found is None:
        raise ReleaseError(f"{CHANGELOG}: no section ## [{version}]; `make version VERSION={version}` makes it")
    rest = text[found.end() :]
    following = re.search(r"^## ", rest, re.MULTILINE)
    body = rest[: following.start() if following else None].strip()
    if not re.search(r"^[^#\s]", body, re.MULTILINE):
        raise ReleaseError(f"{CHANGELOG}: the section ## [{version}] says nothing")
    return body + "\n"


def open_section(text: str, version: str, day: datetime.date) -> str:
    """The changelog after what was unreleased has become `version`; the same text if that has its section already.

    Raises `ReleaseError` if nothing is unreleased.
    """
    if re.search(rf"^## \[{re.escape(version)}\]", text, re.MULTILINE):
        return text
    before, heading, after = text.partition(f"\n{UNRELEASED}\n")
    if not heading:
        raise ReleaseError(f"{CHANGELOG}: no section {UNRELEASED}")
    opened = f"{before}\n{UNRELEASED}\n\n## [{version}] - {day.isoformat()}\n{after}"
    section(opened, version)
    return opened
