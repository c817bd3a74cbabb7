"""The API documents: OpenAPI 3.1 at `/v1/openapi.json`, AsyncAPI 3.0 at `/v1/asyncapi.json`.

The texts are the JSON files beside this one; values that depend on the settings are filled in here.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

from gateway.history.answer_prefix import AnswerPrefix
from gateway.history.query import TIME_MAX_MS
from gateway.http.errors import coded_route
from gateway.http.functions import LIMIT_MAX
from gateway.http.reply import LIVE, etag_of, not_modified, reply

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.history.query import QueryRules


def openapi_document(rules: QueryRules, version: str) -> dict[str, Any]:
    """The OpenAPI document with this gateway's symbols, intervals and limits."""
    document: dict[str, Any] = orjson.loads(_file("openapi.json"))
    document["info"]["version"] = version
    schemas = document["components"]["schemas"]
    schemas["Symbol"]["pattern"] = f"^(?:{rules.symbols.pattern})$"
    schemas["Interval"]["enum"] = rules.intervals
    for name, limited in (("Limit", rules), ("BodyLimit", rules.up_to(LIMIT_MAX))):
        schemas[name].update(maximum=limited.limit_max, default=limited.limit_default)
    schemas["Time"]["maximum"] = TIME_MAX_MS
    return document


def routes(rules: QueryRules, version: str, gzip_min_bytes: int) -> list[Route]:
    """Both documents."""
    head = AnswerPrefix(orjson.dumps(openapi_document(rules, version)))
    etag = etag_of(head, b"")
    asyncapi_text = _file("asyncapi.json")

    async def openapi(request: Request) -> Response:
        return not_modified(request, etag, LIVE) or await reply(request, head, b"", gzip_min_bytes, etag, LIVE)

    async def asyncapi(_: Request) -> Response:
        return Response(asyncapi_text, media_type="application/json")

    return [coded_route("/v1/openapi.json", openapi, "GET"), Route("/v1/asyncapi.json", asyncapi)]


def _file(name: str) -> bytes:
    return files("gateway.http").joinpath(name).read_bytes()
