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


SAMPLES: dict[str, Json] = {
    "symbol": "BTCUSDT",
    "interval": "1m",
    "timeframe": "1m",
    "limit": 1,
    "count": 1,
    "openTime": 1796073420000,
    "open": 97130.23,
    "high": 97252.67,
    "low": 97126.39,
    "close": 97188.77,
    "volume": 13.36212,
    "closeTime": 1796073479999,
    "quoteVolume": 1298794.44,
    "trades": 229,
    "isClosed": True,
    "c": 97188.77,
    "o": 95602.1,
    "h": 97559.81,
    "l": 94842.5,
    "v": 20241.7,
    "q": 1954321098.31,
    "p": 1586.67,
    "P": 1.66,
    "n": 1204233,
    "E": 1796073479950,
    "price": 97188.77,
    "priceChangePercent": 1.66,
    "high24h": 97559.81,
    "low24h": 94842.5,
    "stale": False,
    "cached": False,
    "latency": 2,
    "timestamp": 1796073480012,
    "version": "0.1.0",
    "since": 1796073420000,
    "from": 1796073300000,
    "to": 1796073360000,
    "event": 1796073479950,
    "age_ms": 62,
    "known": 300,
    "quiet_after_ms": 60000,
    "ready": True,
    "live": True,
    "reasons": [],
    "reason": "repair",
    "refused": "",
    "name": "An exchange",
    "url": "https://exchange.example",
    "terms": "https://exchange.example/terms",
}
"""Values for fields of these names, where a schema has no example: one market at one moment."""


def example(document: Json, schema: Json, name: str = "") -> Json:
    """A value of a schema: the example it gives, a sample by its name, or one made of the parts that it requires or
    that have a sample."""
    if name not in SAMPLES and "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2].lower()
    schema = resolved(document, schema)
    for key in ("example", "const"):
        if key in schema:
            return schema[key]
    if schema.get("examples"):
        return schema["examples"][0]
    if name in SAMPLES:
        return SAMPLES[name]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return example(document, schema[several][0], name)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        required = schema.get("required", ())
        shown = {one: part for one, part in schema.get("properties", {}).items() if one in required or one in SAMPLES}
        return {one: example(document, part, one) for one, part in shown.items()}
    if kind == "array":
        items = schema.get("items", [])
        parts = items if isinstance(items, list) else [items]
        return [example(document, part) for part in schema.get("prefixItems", parts)]
    return {"integer": schema.get("minimum", 1), "number": 1, "boolean": False, "string": "text"}.get(kind)
