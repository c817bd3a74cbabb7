"""The HTTP API in machine-readable form (OpenAPI 3.1) at `/v1/openapi.json`. The text is `openapi.json`, beside this
file; what depends on the settings is filled in here."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson

from gateway.history.encoded import AnswerPrefix
from gateway.history.query import TIME_MAX_MS
from gateway.http.errors import coded_route
from gateway.http.reply import LIVE, etag_of, not_modified, reply

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from gateway.history.query import QueryRules


def document(rules: QueryRules, version: str) -> dict[str, Any]:
    text: dict[str, Any] = orjson.loads(files("gateway.http").joinpath("openapi.json").read_bytes())
    text["info"]["version"] = version
    schemas = text["components"]["schemas"]
    schemas["Symbol"]["pattern"] = f"^(?:{rules.symbols.pattern})$"
    schemas["Interval"]["enum"] = rules.intervals
    schemas["Limit"].update(maximum=rules.limit_max, default=rules.limit_max)
    schemas["Time"]["maximum"] = TIME_MAX_MS
    return text


def routes(rules: QueryRules, version: str, gzip_min_bytes: int) -> list[Route]:
    head = AnswerPrefix(orjson.dumps(document(rules, version)))
    etag = etag_of(head, b"")

    async def openapi(request: Request) -> Response:
        return not_modified(request, etag, LIVE) or await reply(request, head, b"", gzip_min_bytes, etag, LIVE)

    return [coded_route("/v1/openapi.json", openapi, "GET")]
