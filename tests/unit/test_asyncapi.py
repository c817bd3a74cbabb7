"""The protocol's document for machines: sound in itself, and at one with the code that decodes commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import orjson
import pytest

import gateway
from gateway.model.errors import STREAM_CODES
from gateway.model.interval import INTERVALS
from gateway.model.symbol import SymbolRule
from gateway.protocol import compact, native
from gateway.protocol.native_commands import NativeCommands
from gateway.stream.native import PATHS

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(gateway.__file__).parent
DOCUMENT: dict[str, Any] = json.loads((PACKAGE / "http" / "asyncapi.json").read_text(encoding="utf-8"))
PROTOCOL = (PACKAGE / "PROTOCOL.md").read_text(encoding="utf-8")
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
STREAM = DOCUMENT["channels"]["stream"]


def resolve(pointer: str) -> Any:
    found: Any = DOCUMENT
    for step in pointer.removeprefix("#/").split("/"):
        found = found[step]
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def validator(message: str) -> jsonschema.Draft7Validator:
    schema = {"$ref": f"#/components/messages/{message}/payload", "components": DOCUMENT["components"]}
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def names(refs: list[dict[str, str]]) -> set[str]:
    return {ref["$ref"].removeprefix("#/channels/stream/messages/") for ref in refs}


COMMANDS = {
    name for op in DOCUMENT["operations"].values() if op["action"] == "receive" for name in names(op["messages"])
}


def test_every_reference_resolves() -> None:
    for pointer in set(references(DOCUMENT)):
        assert resolve(pointer) is not None


@pytest.mark.parametrize("name", MESSAGES)
def test_every_example_matches_its_message(name: str) -> None:
    examples = [example["payload"] for example in MESSAGES[name]["examples"]]
    assert examples
    for example in examples:
        validator(name).validate(example)


@pytest.mark.parametrize("name", sorted(set(MESSAGES) - {"compactUpdate"}))
def test_a_message_without_its_op_is_invalid(name: str) -> None:
    example = MESSAGES[name]["examples"][0]["payload"]
    assert not validator(name).is_valid({key: value for key, value in example.items() if key != "op"})


@pytest.mark.parametrize("name", sorted(set(MESSAGES) - COMMANDS - {"compactUpdate"}))
def test_every_field_the_gateway_sends_is_described(name: str) -> None:
    example = MESSAGES[name]["examples"][0]["payload"]
    assert not validator(name).is_valid(example | {"surprise": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([1732310070123], id="no news"),
        pytest.param([1732310070123, 17, [1, 2, 3]], id="a row of another length"),
        pytest.param([1732310070123, 17, [1732309980000, 1, 1, 1, 1, 1, 1, 1, 3]], id="no such state"),
        pytest.param([1732310070123, 17, "97123.45"], id="text"),
        pytest.param([1732310070123, 17, [97123.45, 1.5]], id="no such event time"),
    ],
)
def test_a_compact_update_with_a_wrong_row_is_invalid(wrong: list[Any]) -> None:
    assert not validator("compactUpdate").is_valid(wrong)


def test_every_message_belongs_to_one_operation_and_to_the_channel() -> None:
    used: list[str] = []
    for operation in DOCUMENT["operations"].values():
        used += names(operation["messages"])
        used += names(operation.get("reply", {}).get("messages", [])) - {"error"}
    assert sorted([*used, "error"]) == sorted(MESSAGES) == sorted(STREAM["messages"])


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_gateway_decodes_the_commands_of_the_examples(name: str) -> None:
    commands = NativeCommands(SymbolRule(), INTERVALS, 500)
    for example in MESSAGES[name]["examples"]:
        commands.decode(orjson.dumps(example["payload"]))


def test_it_contains_the_codes_and_names_of_the_implementation() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["errorCode"]["enum"] == [code.value for code in STREAM_CODES]
    assert all(f"|{name}" in schemas["channel"]["pattern"].replace("(", "|") for name in INTERVALS)
    assert MESSAGES["hello"]["payload"]["properties"]["protocol"] == {"const": native.PROTOCOL_VERSION}
    assert STREAM["address"] == PATHS[0]
    for words in (*PATHS[1:], native.SUBPROTOCOL, compact.SUBPROTOCOL):
        assert words in STREAM["description"]
        assert words in PROTOCOL


@pytest.mark.parametrize("name", sorted(set(MESSAGES) - {"compactUpdate"}))
def test_protocol_md_describes_every_message(name: str) -> None:
    assert f'"op":"{MESSAGES[name]["examples"][0]["payload"]["op"]}"' in PROTOCOL


@pytest.mark.parametrize("code", DOCUMENT["components"]["schemas"]["errorCode"]["enum"])
def test_protocol_md_describes_every_error_code(code: str) -> None:
    assert f"`{code}`" in PROTOCOL
