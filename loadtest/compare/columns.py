"""The servers of a comparison: this gateway, other versions or settings of it, and peers. Pure but for paths."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["gateway", "picows", "socketify", "nats"]
PEERS: tuple[Kind, ...] = ("picows", "socketify", "nats")
GATEWAY = "gateway"

DIALECTS: dict[Kind, str | None] = {"gateway": None, "picows": "plain", "socketify": "plain", "nats": "nats"}
"""What the clients of a server speak; None: what the scenario says."""


class ColumnError(Exception):
    """An option names a server that there is not, or cannot be read."""


@dataclass(frozen=True, slots=True)
class Column:
    """One server. `settings`: of a gateway, by section. `checkout`: folder of its version; None: this one."""

    name: str
    kind: Kind
    checkout: Path | None = None
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


def columns(wanted: Sequence[str], gateways: Sequence[str], settings: Sequence[str]) -> list[Column]:
    """The servers that options ask for. Raises `ColumnError`.

    `wanted`: names to be measured; all without any. `gateways`: `NAME=PATH` for each further gateway, where the path of
    this version is `.`. `settings`: `SECTION.KEY=VALUE` for all gateways, or `NAME:SECTION.KEY=VALUE` for one of them.
    """
    paths: dict[str, Path | None] = {GATEWAY: None}
    for text in gateways:
        name, equals, path = text.partition("=")
        if not (name and equals and path) or name in PEERS:
            raise ColumnError(f"--gateway {text}: expected NAME=PATH")
        paths[name] = None if path == "." else Path(path)
    by_name: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in paths}
    for text in settings:
        name, section, key, value = _setting(text)
        if name and name not in paths:
            raise ColumnError(f"--set {text}: no gateway {name}")
        for owner in [name] if name else paths:
            by_name[owner].setdefault(section, {})[key] = value
    found = [Column(name, "gateway", path, by_name[name]) for name, path in paths.items()]
    found += [Column(peer, peer) for peer in PEERS]
    if unknown := set(wanted) - {column.name for column in found}:
        raise ColumnError(f"no server {min(unknown)}; there are {' '.join(column.name for column in found)}")
    return [column for column in found if not wanted or column.name in wanted]


def _setting(text: str) -> tuple[str, str, str, Any]:
    """Name of the gateway (may be empty), section, key and value."""
    path, equals, written = text.partition("=")
    name, colon, rest = path.rpartition(":")
    section, dot, key = rest.partition(".")
    if not (equals and dot and section and key) or (colon and not name):
        raise ColumnError(f"--set {text}: expected SECTION.KEY=VALUE or NAME:SECTION.KEY=VALUE")
    try:
        value = tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        value = written
    return name, section, key, value
