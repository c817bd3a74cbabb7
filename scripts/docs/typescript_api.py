"""The page of the TypeScript client's API: the sources' exported declarations, by the entry point that exports them.

The compiler's declaration files (`.d.ts`) are read where the client has been built. They are plain enough to be split
by their `export` lines; no further tool is needed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from scripts.docs.markdown import fence, page
from scripts.docs.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = ROOT / "clients" / "web"
EXPORT = re.compile(r"export (?:type )?\{([^}]*)\} from \"([^\"]+)\";")
KINDS = "class|interface|function|const|type"
DECLARATION = re.compile(
    rf"(?ms)^((?:/\*\*(?:(?!\*/).)*\*/\n)?)(export (?:declare )?(?:abstract )?(?:{KINDS}) (\w+)\b.*?)"
    r"(?=^(?:export|/\*\*|import|declare)|\Z)"
)
NOT_BUILT = "The client had not been built when this page was made: `make build` needs Node."


def typescript_api() -> str:
    """The page."""
    parts = [
        "# TypeScript client: API",
        (
            "What each entry point of `kline-gateway-client` exports. How to use it is in"
            " [the client's own document](../clients/web/README.md)."
        ),
    ]
    entries = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))["exports"]
    if not (CLIENT / "dist" / "client" / "index.d.ts").is_file():
        return page(*parts, NOT_BUILT)
    for name, entry in entries.items():
        if isinstance(entry, dict):
            parts.append(f"## `{('kline-gateway-client' + name[1:])}`")
            for title, comment, text in exported(CLIENT / entry["types"]):
                parts += [f"### `{title}`", comment, fence(text, "ts")]
    return page(*parts)


def exported(path: Path) -> list[tuple[str, str, str]]:
    """Name, comment and declaration of everything that a declaration file exports, itself or from others."""
    text = path.read_text(encoding="utf-8")
    found = list(declarations(text).values())
    for names, target in EXPORT.findall(text):
        there = declarations((path.parent / target.replace(".ts", ".d.ts")).read_text(encoding="utf-8"))
        found += [there[name] for name in re.findall(r"\w+", re.sub(r"\btype\b", "", names))]
    return sorted(found, key=lambda one: one[0].lower())


def declarations(text: str) -> dict[str, tuple[str, str, str]]:
    """The declarations of one file by name."""
    return {
        name: (name, _plain(comment), re.sub(r"(?m)^    #private;\n", "", body).strip())
        for comment, body, name in DECLARATION.findall(text)
    }


def _plain(comment: str) -> str:
    """A comment without its marks."""
    lines = comment.strip().removeprefix("/**").removesuffix("*/").splitlines()
    return "\n".join(re.sub(r"^\s*\* ?", "", line).strip() for line in lines).strip()
