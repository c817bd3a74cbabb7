"""Where a token may stand in a handshake or request. Never in the URL: those are logged by everything on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TOKEN_SUBPROTOCOL = "kline.token."
"""Before a token in `Sec-WebSocket-Protocol`: the only place where a browser's page can put one. Never answered."""

TOKEN_MAX = 8192


def token_of(header: Callable[[str], str | None], subprotocols: Iterable[str] = ()) -> str | None:
    """The first of `Authorization: Bearer`, `X-API-Key`, Binance's `X-MBX-APIKEY` and a subprotocol, if any."""
    scheme, _, token = (header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for name in ("x-api-key", "x-mbx-apikey"):
        if key := header(name):
            return key.strip()
    offered = (name for name in subprotocols if name.startswith(TOKEN_SUBPROTOCOL))
    return next((name.removeprefix(TOKEN_SUBPROTOCOL) for name in offered), None)
