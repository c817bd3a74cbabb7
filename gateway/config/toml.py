"""Settings as TOML text, for printing. Pure; `file.py` reads settings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def to_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Sections of numbers, strings, lists of these and nested sections, as a TOML document."""
    return "\n".join(_toml_section(name, keys) for name, keys in sections.items())


def _toml_section(name: str, keys: Mapping[str, Any]) -> str:
    deeper = {f"{name}.{_toml_key(key)}": value for key, value in keys.items() if isinstance(value, dict)}
    own = "".join(
        f"{_toml_key(key)} = {_toml_value(value)}\n" for key, value in keys.items() if not isinstance(value, dict)
    )
    return "\n".join([f"[{name}]\n{own}", *(_toml_section(*section) for section in deeper.items())])


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


def _toml_value(value: object) -> str:
    match value:
        case list() | tuple():
            return f"[{', '.join(map(_toml_value, value))}]"
        case bool():
            return str(value).lower()
        case str():
            # A JSON string is a basic string of TOML, except for one character that JSON does not escape.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return repr(value)
