"""The page of the native stream's messages, out of the AsyncAPI document that the gateway serves."""

from __future__ import annotations

import json
from typing import Any

from scripts.docs.http import fields
from scripts.docs.markdown import fence, page
from scripts.docs.pages import ROOT
from scripts.docs.schemas import resolved

INTRO = """\
A gateway serves this description at `/v1/asyncapi.json`. [The native protocol](../gateway/PROTOCOL.md) says how the
messages belong together."""


def messages() -> str:
    """The page."""
    document = json.loads((ROOT / "gateway" / "http" / "asyncapi.json").read_text(encoding="utf-8"))
    parts = ["# Stream messages"]
    parts += [
        INTRO,
    ]
    for channel in document["channels"].values():
        parts += [f"## {channel['title']}: `{channel['address']}`", channel.get("description", "")]
    operations = document["operations"].values()
    sent = {
        name for operation in operations if operation["action"] == "receive" for name in _names(operation["messages"])
    }
    found = document["components"]["messages"]
    parts.append("## What clients send")
    for name in found:
        if name in sent:
            parts += _message(document, found[name])
    parts.append("## What the gateway sends")
    for name in found:
        if name not in sent:
            parts += _message(document, found[name])
    return page(*parts)


def _names(references: list[dict[str, str]]) -> list[str]:
    return [reference["$ref"].rpartition("/")[2] for reference in references]


def _message(document: Any, message: Any) -> list[str]:
    message = resolved(document, message)
    parts = [f"### `{message['name']}`", message["summary"]]
    parts += [fence(json.dumps(one["payload"], ensure_ascii=False), "json") for one in message["examples"]]
    return [*parts, fields(document, message["payload"])]
