"""The code blocks of the tutorial and the how-to guides, and what is to be done with each.

A block in one of the languages below is run, in the order of its page, in a folder of the page. HTML comments above it
say otherwise, or more:

- `<!-- prints: TEXT -->`: its output has to contain the text
- `<!-- ends: STATUS -->`: it ends with this exit status; 0 where nothing is said
- `<!-- background: TEXT -->`: it goes on until the end of the page; the next block runs once it has printed the text
- `<!-- file: NAME -->`: it is a file of this name
- `<!-- instead: NAME, BEGIN -->`: it replaces the last statement of that file, which begins so
- `<!-- not run: REASON -->`: it cannot be run here
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [
    path.relative_to(ROOT).as_posix()
    for path in (*sorted((ROOT / "docs" / "how-to").glob("*.md")), ROOT / "docs" / "tutorial.md")
]
RUN = ("sh", "python", "js")
ACTIONS = ("prints", "ends", "background", "file", "instead", "not run")
BLOCK = re.compile(r"(?ms)((?:^<!-- [^\n]* -->\n)*)^```(\w*)\n(.*?)^```$")
COMMENT = re.compile(r"<!-- ([a-z ]+): (.*) -->")


@dataclass(frozen=True)
class Snippet:
    """One code block of a guide."""

    guide: str
    line: int
    language: str
    code: str
    actions: dict[str, str]

    @property
    def place(self) -> str:
        """Where it is, as editors understand it."""
        return f"{self.guide}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether it is a program."""
        return self.language in RUN and not self.actions.keys() & {"file", "instead", "not run"}


def snippets(guide: str) -> list[Snippet]:
    """All code blocks of a guide, in order. Raises `ValueError` for an unknown action."""
    text = (ROOT / guide).read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        comments, language, code = match.groups()
        actions = dict(COMMENT.findall(comments))
        if unknown := actions.keys() - set(ACTIONS):
            raise ValueError(f"{guide}: {', '.join(unknown)}")
        found.append(Snippet(guide, text.count("\n", 0, match.start(2)) + 1, language, code, actions))
    return found


def written(folder: Path, snippet: Snippet, code: str) -> Path:
    """Write a snippet that is a file, or a part of one, into a folder."""
    if "file" in snippet.actions:
        path = folder / snippet.actions["file"]
        path.write_text(code, encoding="utf-8")
        return path
    name, _, begin = snippet.actions["instead"].partition(", ")
    path = folder / name
    text = path.read_text(encoding="utf-8")
    place = text.index(f"\n{begin}") + 1
    path.write_text(text[:place] + code, encoding="utf-8")
    return path
