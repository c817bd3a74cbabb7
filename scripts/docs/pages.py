"""The pages of the site (docs/site.toml), and their texts with links that are right in the site."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "docs" / "site.toml"
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z][a-z+.-]*:)([^)\s]+)\)")
FENCE = re.compile(r"(?ms)^(?: {0,3})(`{3,}|~{3,}).*?^(?: {0,3})\1[ \t]*$|^(?: {4}|\t).*?$|`[^`\n]+`")
GENERATED = "generated:"


@dataclass(frozen=True)
class Page:
    """One page: where it is in the site, and what it is made of."""

    path: str
    source: str
    title: str

    @property
    def generator(self) -> str | None:
        """The name of what generates it, or None where its source is a document."""
        return self.source.removeprefix(GENERATED) if self.source.startswith(GENERATED) else None

    @property
    def address(self) -> str:
        """Where it is served, relative to the site."""
        folder, _, name = self.path.rpartition("/")
        stem = name.removesuffix(".md")
        return (
            "/".join(filter(None, (folder, "" if stem == "index" else stem))) + "/" if self.path != "index.md" else ""
        )


@dataclass(frozen=True)
class Section:
    """A part of the navigation."""

    title: str
    summary: str
    pages: tuple[Page, ...]


@dataclass(frozen=True)
class Site:
    """The whole site as docs/site.toml describes it."""

    name: str
    description: str
    sections: tuple[Section, ...]

    @property
    def pages(self) -> tuple[Page, ...]:
        """All pages in the order of the navigation."""
        return tuple(page for section in self.sections for page in section.pages)


def read_site(path: Path = SETTINGS) -> Site:
    """The site that a settings file describes."""
    settings: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    sections = tuple(
        Section(section["title"], section["summary"], tuple(Page(*page) for page in section["pages"]))
        for section in settings["sections"]
    )
    return Site(settings["name"], settings["description"], sections)


class Links:
    """Turns the links of the repository's documents into links of the site."""

    def __init__(self, site: Site, root: Path = ROOT) -> None:
        self._root = root
        self._by_source = {page.source: page.path for page in site.pages}
        self.images: dict[str, Path] = {}
        """Files that pages show, by their path in the site."""

    def rewritten(self, page: Page, text: str) -> str:
        """The text of a page. A link to what is not in the site becomes its text."""
        base = (self._root / (page.source if page.generator is None else page.path)).parent
        kept: list[str] = []

        def set_aside(match: re.Match[str]) -> str:
            kept.append(match[0])
            return f"\x00{len(kept) - 1}\x00"

        def turned(match: re.Match[str]) -> str:
            image, label, target = match.groups()
            if target.startswith("#"):
                return match[0]
            name, mark, anchor = target.partition("#")
            found = (base / name).resolve()
            if not found.is_relative_to(self._root):
                raise ValueError(f"{page.source}: {target} leads out of the repository")
            source = found.relative_to(self._root).as_posix()
            if image:
                path = f"images/{found.name}"
                self.images[path] = found
                return f"![{label}]({_relative(path, page.path)})"
            if source in self._by_source:
                return f"[{label}]({_relative(self._by_source[source], page.path)}{mark}{anchor})"
            if not found.exists():
                raise ValueError(f"{page.source}: {target} leads nowhere")
            return label

        # Code is left as it is; code spans inside of link texts are put back before links are looked for.
        aside = FENCE.sub(lambda match: match[0] if _is_span(match[0]) else set_aside(match), text)
        return re.sub(r"\x00(\d+)\x00", lambda match: kept[int(match[1])], LINK.sub(turned, aside))


def _is_span(code: str) -> bool:
    return code.startswith("`") and not code.startswith("```")


def _relative(path: str, page: str) -> str:
    return PurePosixPath(os.path.relpath(path, PurePosixPath(page).parent)).as_posix()
