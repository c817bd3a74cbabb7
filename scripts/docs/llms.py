"""Plain texts for programs that read the site: `llms.txt`, `llms-full.txt`, and the Markdown of each page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.docs.pages import Site

LEFT_OUT = ("changelog.md", "contributing.md", "in-depth/load-test.md")
"""Pages that `llms-full.txt` does not have: they tell nothing about using a gateway."""


def write_plain_texts(site: Site, texts: dict[str, str], folder: Path) -> None:
    """Write them into a built site. `texts`: the Markdown of each page by its path."""
    lines = [f"# {site.name}", "", f"> {site.description}", ""]
    whole = [*lines]
    for section in site.sections:
        lines += [f"## {section.title}", ""]
        for page in section.pages:
            lines.append(f"- [{page.title}]({page.address}index.md)")
            (folder / page.address / "index.md").write_text(texts[page.path], encoding="utf-8")
            if page.path not in LEFT_OUT:
                whole += [f"<!-- {page.path} -->", "", texts[page.path].strip(), ""]
        lines.append("")
    lines += ["## Optional", "", "- [All of it in one file](llms-full.txt)", ""]
    (folder / "llms.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "llms-full.txt").write_text("\n".join(whole), encoding="utf-8")
