"""The page of the HTTP routes, out of the OpenAPI document that the gateway serves."""

from __future__ import annotations

import json
from typing import Any

from gateway.config import load_config
from gateway.history.query import QueryRules
from gateway.http.documents import openapi_document
from gateway.model.symbol import SymbolRule
from scripts.docs.markdown import code, fence, page, table
from scripts.docs.schemas import example, resolved, shape

HOST = "http://127.0.0.1:8000"

INTRO = """\
A gateway serves this description, with its own symbols and limits, at `/v1/openapi.json`. What Binance's REST API and
TradingView's UDF are for is in [Dialects, libraries, bots](../docs/clients.md)."""


def http() -> str:
    """The page."""
    document = openapi_document(rules(), "")
    parts = ["# HTTP routes", document["info"]["description"]]
    parts += [
        INTRO,
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += route(document, path, method, operation)
    return page(*parts)


def rules() -> QueryRules:
    """The limits of a gateway with the settings' defaults."""
    config = load_config(None, {}, {})
    return QueryRules(SymbolRule(config.market.symbol_pattern), config.market.intervals, config.stream.history_max)


def route(document: Any, path: str, method: str, operation: Any) -> list[str]:
    """One route: what it does, its parameters, an example, its answers."""
    parts = [f"## `{method.upper()} {path}`", f"{operation['summary']}.", operation.get("description", "")]
    given = [resolved(document, parameter) for parameter in operation.get("parameters", ())]
    queries = [one for one in given if one["in"] != "header"]
    if given:
        rows = [
            (
                code(one["name"]),
                one["in"],
                "yes" if one.get("required") else "",
                shape(document, one["schema"]),
                one.get("description", ""),
            )
            for one in given
        ]
        parts.append(table(("parameter", "in", "required", "value", "meaning"), rows))
    sent = operation.get("requestBody")
    body = None
    if sent:
        schema = resolved(document, sent)["content"]["application/json"]["schema"]
        body = example(document, schema)
        parts.append(fields(document, schema))
    parts.append(fence(request(document, path, queries, body), "sh"))
    answers = operation["responses"].items()
    parts.append(
        table(("status", "answer"), [(status, resolved(document, one)["description"]) for status, one in answers])
    )
    content = resolved(document, operation["responses"]["200"]).get("content", {}).get("application/json")
    if content:
        value = content.get("example") or example(document, content["schema"])
        parts += ["An answer looks like this:", fence(json.dumps(value, ensure_ascii=False, indent=2), "json")]
        parts.append(fields(document, content["schema"]))
    return parts


def request(document: Any, path: str, queries: list[Any], body: Any) -> str:
    """The command that asks for it."""
    asked = "&".join(f"{one['name']}={example(document, one)}" for one in queries if one.get("required"))
    address = f"'{HOST}{path}{'?' if asked else ''}{asked}'"
    if body is None:
        return f"curl -s {address}"
    return f"curl -s {address} -H 'content-type: application/json' -d '{json.dumps(body)}'"


def fields(document: Any, schema: Any) -> str:
    """The fields of an object as a table; nothing where there are none."""
    schema = resolved(document, schema)
    found = schema.get("properties", {})
    required = schema.get("required", ())
    rows = [
        (
            code(name),
            "yes" if name in required else "",
            shape(document, part),
            resolved(document, part).get("description", ""),
        )
        for name, part in found.items()
    ]
    return table(("field", "always there", "value", "meaning"), rows) if rows else ""
