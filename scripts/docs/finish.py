"""The last step: a built site that needs nothing from other hosts and no inline script, and its compressed copies."""

from __future__ import annotations

import gzip
import re
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

INLINE = re.compile(r"(?s)<(script|style)>(.*?)</\1>")
LOADED = re.compile(r"<(?:script|img|source|iframe|link)\b[^>]*?\b(?:src|href)=\"((?:https?:)?//[^\"]+)\"")
CANONICAL = re.compile(r"<link rel=\"(?:canonical|next|prev)\"")
COMPRESSED = (".html", ".js", ".css", ".json", ".txt", ".md", ".svg", ".xml")
MIN_BYTES = 1024


def finish(site: Path) -> None:
    """Change the files of a site in place. Raises `ValueError` where a page would load something from another host."""
    (site / "404.html").unlink(missing_ok=True)
    (site / "sitemap.xml").unlink(missing_ok=True)
    scripts = site / "assets" / "javascripts"
    for path in site.rglob("*.html"):
        text = apart(path.read_text(encoding="utf-8"), scripts, "../" * len(path.relative_to(site).parts[:-1]))
        foreign = LOADED.findall(text)
        if foreign:
            raise ValueError(f"{path.relative_to(site)} would load {', '.join(foreign)}")
        path.write_text(text, encoding="utf-8")
    for path in list(site.rglob("*")):
        if path.suffix in COMPRESSED and path.is_file() and path.stat().st_size >= MIN_BYTES:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))


def apart(text: str, folder: Path, top: str) -> str:
    """A page with its inline scripts and styles in files of their own: its Content-Security-Policy admits no others.

    `top`: the way from the page to the site's root. The scripts run where they stood and in the same order.
    """

    def moved(match: re.Match[str]) -> str:
        kind, body = match.groups()
        suffix = "js" if kind == "script" else "css"
        name = f"inline.{blake2b(body.encode(), digest_size=4).hexdigest()}.min.{suffix}"
        (folder / name).write_text(body, encoding="utf-8")
        address = f"{top or './'}assets/javascripts/{name}"
        return f'<script src="{address}"></script>' if kind == "script" else f'<link rel="stylesheet" href="{address}">'

    return INLINE.sub(moved, text)
