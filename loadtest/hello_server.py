"""`python -m loadtest.hello_server PORT`: a bare Starlette application on uvicorn with the gateway's settings of it.

`/hello` answers a short JSON text, `/<n>` n bytes. No middleware, nothing counted: the least that an answer costs.
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

_BYTES = bytes(100_000)


async def hello(request: object) -> Response:
    """A short JSON text."""
    return Response(b'{"hello":"world"}', media_type="application/json")


def _body(size: int) -> Route:
    content = _BYTES[:size]

    async def body(request: object) -> Response:
        return Response(content, media_type="application/json")

    return Route(f"/{size}", body)


def main() -> None:
    """Serve until a signal ends it."""
    app = Starlette(routes=[Route("/hello", hello), _body(20_000), _body(90_000)])
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
