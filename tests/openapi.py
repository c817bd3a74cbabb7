"""What the OpenAPI document has against an answer."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator


def described(document: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any]:
    """The schemas of an answer by content type, each with the document's components."""
    response = document["paths"][path][method]["responses"][str(status)]
    if reference := response.get("$ref"):
        response = document["components"]["responses"][reference.rpartition("/")[2]]
    components = {"components": document["components"]}
    return {kind: components | found["schema"] for kind, found in response["content"].items()}


def violations(schema: dict[str, Any], value: object) -> list[str]:
    """Where a value violates a schema."""
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]
