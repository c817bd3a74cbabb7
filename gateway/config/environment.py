"""Environment variables as settings: `GATEWAY_<SECTION>__<KEY>`. Pure: the variables are an argument."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from gateway.config.nearest import nearest
from gateway.config.sections import Config, RedisConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "GATEWAY_"

_is_service_link = re.compile(
    rf"{PREFIX}(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
).fullmatch
"""What Kubernetes sets in every pod beside a Service named `gateway` (service links): no settings."""


def apply_environment(data: dict[str, Any], environ: Mapping[str, str]) -> Iterator[str]:
    """Override keys of `data` (by section) by variables; yields what is wrong with each variable that is refused."""
    for name, text in environ.items():
        if not name.startswith(PREFIX) or _is_service_link(name):
            continue
        path = name.removeprefix(PREFIX).lower().split("__")
        hint = _hint_of(path)
        if hint is None:
            yield f"{name}: no such setting{nearest(name, _names())}"
            continue
        try:
            value = _from_text(hint, text)
        except msgspec.ValidationError as error:
            yield f"{name}: {error}"
            continue
        table = data
        for section in path[:-1]:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                yield f"{section}: expected a section of keys"
                break
        else:
            table[path[-1]] = value


def _hint_of(path: list[str]) -> Any:
    """The type of a setting; `None` for what is none."""
    match path:
        case ["sources", _, key]:
            owner: Any = RedisConfig
        case [section, key] if section != "sources":
            owner = get_type_hints(Config).get(section)
        case _:
            return None
    return get_type_hints(owner, include_extras=True).get(key) if owner else None


def _names() -> list[str]:
    """The variables of all settings but those of sources, which have names of the operator's."""
    return [
        f"{PREFIX}{section}__{key}".upper()
        for section, owner in get_type_hints(Config).items()
        if section != "sources"
        for key in owner.__struct_fields__
    ]


def _from_text(hint: Any, text: str) -> Any:
    """A variable's text as a value of its key's type. Lists are comma-separated, tables `name=value,…`."""
    wanted = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    value: Any = text
    if get_origin(wanted) in (tuple, dict):
        value = [part.strip() for part in text.split(",") if part.strip()]
    if get_origin(wanted) is dict:
        value = {name.strip(): entry.strip() for name, _, entry in (part.partition("=") for part in value)}
    return msgspec.convert(value, hint, strict=False)
