"""The page of all settings, out of the comments of config.toml and the types of `gateway.config.sections`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import groupby

from scripts.docs.markdown import cell, code, fence, page, table
from scripts.docs.pages import ROOT

SECTION = re.compile(r"^\[([a-z_]+)\]$")
KEY = re.compile(r"^([a-z_]+) = (.*)$")
MAX_DEFAULT = 60
"""Longer defaults stand below the table."""


@dataclass
class Key:
    """One setting: its default as config.toml writes it, and its comment."""

    name: str
    default: str
    comment: str


@dataclass
class Group:
    """One section, with the comments that belong to no single key."""

    name: str
    notes: list[str] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)


INTRO = """\
Every key is optional. A key is set in `config.toml` (`gateway serve --config FILE`), or by the environment
variable `GATEWAY_<SECTION>__<KEY>`, which goes before the file: `GATEWAY_REDIS__URL` is `url` of `[redis]`; lists
are comma-separated there. Unknown keys and impossible values are refused at the start, by name. `gateway check-config`
shows what is in force."""


def groups_of(text: str) -> list[Group]:
    """The sections of a config.toml in which comments stand behind a key, go on in further lines, or before keys."""
    groups: list[Group] = []
    notes: list[str] = []
    for line in text.splitlines():
        if found := SECTION.match(line):
            groups.append(Group(found[1], notes))
            notes = []
        elif line.startswith("#"):
            notes.append(line[1:].rstrip())
        elif found := KEY.match(line):
            groups[-1].notes += notes
            notes = []
            default, comment = split(found[2])
            groups[-1].keys.append(Key(found[1], default, comment))
        elif line.lstrip().startswith("#") and groups and groups[-1].keys:
            groups[-1].keys[-1].comment += " " + line.strip()[1:].strip()
        elif not line.strip():
            if groups and notes:
                groups[-1].notes += notes
            notes = []
    return groups


def split(text: str) -> tuple[str, str]:
    """A value and its comment; a # in quotes begins none."""
    quote = ""
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#":
            return text[:at].rstrip(), text[at + 1 :].strip()
    return text.strip(), ""


def configuration() -> str:
    """The page."""
    groups = groups_of((ROOT / "config.toml").read_text(encoding="utf-8"))
    parts = [
        "# Configuration",
        INTRO,
    ]
    for group in groups:
        long = [key for key in group.keys if len(key.default) > MAX_DEFAULT]
        rows = [
            (code(key.name), "below" if key in long else code(key.default), escaped(key.comment)) for key in group.keys
        ]
        parts += [
            f"## `[{group.name}]`",
            paragraphs(group.notes),
            table(("key", "default", "meaning"), rows) if rows else "",
        ]
        parts += [f"Default of `{key.name}`: {code(key.default)}" for key in long]
    return page(*parts)


def paragraphs(notes: list[str]) -> str:
    """Comment lines as Markdown; those that are indented are lines of a settings file."""
    parts: list[str] = []
    for indented, lines in groupby(notes, lambda line: line.startswith("  ")):
        found = list(lines)
        parts.append(fence("\n".join(line.strip() for line in found), "toml") if indented else escaped(" ".join(found)))
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """A comment as Markdown: what looks like markup is none."""
    parts = re.split(r"(`[^`]*`)", cell(text).replace("\\|", "|"))
    return "".join(
        part
        if part.startswith("`")
        else re.sub(r"([*_<>\[\]{}])", r"\\\1", part).replace("\\<", "&lt;").replace("\\>", "&gt;")
        for part in parts
    )
