"""The generated pages: nothing that the sources have is missing in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import kline_gateway_client
import pytest

from gateway.cli import main
from gateway.config import load_config
from gateway.http.documents import openapi_document
from gateway.ops.metrics import DESCRIPTIONS
from scripts.docs import typescript_api
from scripts.docs.command_line import command_line
from scripts.docs.configuration import configuration, groups_of, split
from scripts.docs.http import http, rules
from scripts.docs.messages import messages
from scripts.docs.metrics import metrics
from scripts.docs.python_api import python_api
from scripts.docs.schemas import example

ROOT = Path(__file__).parents[3]
HTTP = ROOT / "gateway" / "http"

TOML = """
# Of the whole file.

# Before the section.
[redis]
url = "redis://a#b"   # where it is; a "#"
# Before some keys.
prefix = ""           # stands before names,
                      # all of them
"""


def test_a_comment_belongs_to_its_key_and_goes_on_in_the_next_line() -> None:
    (group,) = groups_of(TOML)
    assert [(key.name, key.default, key.comment) for key in group.keys] == [
        ("url", '"redis://a#b"', 'where it is; a "#"'),
        ("prefix", '""', "stands before names, all of them"),
    ]
    assert [note.strip() for note in group.notes] == ["Before the section.", "Before some keys."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"#"  # a', ('"#"', "a")),
        ("'[#\"]'", ("'[#\"]'", "")),
        ("1", ("1", "")),
        ('["a", "#b"] # c', ('["a", "#b"]', "c")),
    ],
)
def test_a_value_ends_where_its_comment_begins(text: str, expected: tuple[str, str]) -> None:
    assert split(text) == expected


def test_every_setting_is_there_with_its_default() -> None:
    page, config = configuration(), load_config(None, {}, {})
    sections = dict(re.findall(r"(?ms)^## `\[(\w+)\]`$(.*?)(?=^## |\Z)", page))
    for name in config.__struct_fields__:
        section = getattr(config, name)
        for key in getattr(section, "__struct_fields__", ()):
            assert f"| `{key}` |" in sections[name], f"{name}.{key}"
    assert "| `port` | `8000` |" in sections["server"]


def test_every_command_is_there_with_its_options() -> None:
    page = command_line()
    for name, command in main.commands.items():
        assert f"## `gateway {name}`" in page
        for option in command.params:
            if option.param_type_name == "option" and not getattr(option, "hidden", False):
                assert option.opts[0] in page, f"{name} {option.opts}"


def test_every_route_has_a_request() -> None:
    page = http()
    for path, methods in json.loads((HTTP / "openapi.json").read_text())["paths"].items():
        for method in methods:
            assert re.search(rf"(?ms)^## `{method.upper()} {path}`$.*?^curl -s 'http://127.0.0.1:8000{path}", page), (
                path
            )


def test_examples_are_what_their_schemas_describe() -> None:
    document = openapi_document(rules(), "0")
    for name in document["components"]["schemas"]:
        whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.Draft202012Validator(whole).validate(example(document, whole))
    assert "symbol=BTCUSDT&interval=1m" in http()


def test_notes_of_a_section_stay_with_it_and_keep_their_lines() -> None:
    page = configuration()
    assert "## `[sources]`\n\nSeveral collectors for the same market" in page
    assert '```toml\n[sources.main]\nurl = "redis://main.example:6379/0"' in page


def test_every_message_has_an_example() -> None:
    page = messages()
    for message in json.loads((HTTP / "asyncapi.json").read_text())["components"]["messages"].values():
        assert re.search(rf"(?ms)^### `{message['name']}`\n\n[^\n]+\n\n```json\n[{{\[]", page), message["name"]


def test_every_metric_is_there_with_its_meaning() -> None:
    page = metrics()
    for name, meaning in DESCRIPTIONS.items():
        assert re.search(rf"(?m)^\| `gateway_{name}` \|.*\| {re.escape(meaning)} \|$", page), name
    assert "| `gateway_lane_live` | `lane` | gauge |" in page


def test_every_public_name_of_the_python_client_is_there() -> None:
    page = python_api()
    for name in kline_gateway_client.__all__:
        assert name == "__version__" or f"## `{name}`" in page, name
    assert "### `Client.klines`" in page
    assert "_connection" not in page


DECLARED = """import type { Other } from "./other.ts";
/** What it is. */
export interface Options {
    /** Of a field. */
    readonly url: string;
}
/**
 * Does it,
 * and more.
 */
export declare function run(options: Options): void;
export declare class Service {
    #private;
    constructor(options: Options);
}
"""


def test_a_typescript_declaration_comes_with_its_comment(tmp_path: Path) -> None:
    (tmp_path / "service.d.ts").write_text(DECLARED)
    (tmp_path / "index.d.ts").write_text('export { type Options, run } from "./service.ts";\n')
    found = typescript_api.exported(tmp_path / "index.d.ts")
    assert [(name, comment) for name, comment, _ in found] == [
        ("Options", "What it is."),
        ("run", "Does it,\nand more."),
    ]
    assert found[0][2].endswith("readonly url: string;\n}")
    whole = typescript_api.exported(tmp_path / "service.d.ts")
    assert [name for name, _, _ in whole] == ["Options", "run", "Service"]
    assert "#private" not in whole[2][2]
