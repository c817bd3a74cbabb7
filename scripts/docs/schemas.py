"""JSON Schemas as short text, and examples that follow them."""

from __future__ import annotations

from typing import Any

Json = Any


def resolved(document: Json, value: Json) -> Json:
    """What a reference within the document refers to; anything else as it is."""
    while isinstance(value, dict) and "$ref" in value:
        found = document
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = found[name.replace("~1", "/").replace("~0", "~")]
        value = found
    return value


def shape(document: Json, schema: Json) -> str:
    """What a value has to be, in a few words."""
    schema = resolved(document, schema)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(shape(document, one) for one in schema[several]))
    kind = schema.get("type", "any")
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    items = schema.get("items")
    if text == "array" and isinstance(items, dict):
        text = f"array of {shape(document, items)}"
    elif text == "array" and isinstance(items, list):
        text = f"[{', '.join(shape(document, one) for one in items)}]"
    limits = [
        f"{word} {schema[key]:,}" if isinstance(schema[key], int) else f"{word} {schema[key]}"
        for key, word in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"), ("default", "default"))
        if key in schema
    ]
    if "pattern" in schema:
        limits.append(f"like `{schema['pattern']}`")
    return f"{text} ({', '.join(limits)})" if limits else text


def example(document: Json, schema: Json, depth: int = 0) -> Json:
    """A value that the schema itself gives as an example, or one made of its parts' examples."""
    schema = resolved(document, schema)
    for key in ("example", "const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return example(document, schema[several][0], depth)
    if "allOf" in schema:
        parts = [example(document, one, depth) for one in schema["allOf"]]
        return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        fields = schema.get("properties", {})
        return {name: example(document, part, depth + 1) for name, part in fields.items()} if depth < 6 else {}
    if kind == "array":
        items = schema.get("items", [])
        parts = items if isinstance(items, list) else [items]
        return [example(document, part, depth + 1) for part in schema.get("prefixItems", parts)]
    return {"integer": schema.get("minimum", 1), "number": 1, "boolean": False, "string": "…"}.get(kind)
