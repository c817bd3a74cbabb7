"""Stored klines and the lists of symbols and intervals, over HTTP: the standard library's client, run in threads."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from kline_gateway_client.codec import decode_json, kline_from_fields
from kline_gateway_client.errors import Forbidden, GatewayError, RateLimited, Unauthorized, Unreachable, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pandas as pd

    from kline_gateway_client.values import Kline

ANSWER_MAX_BYTES = 64 << 20
_BY_STATUS: dict[int, type[GatewayError]] = {401: Unauthorized, 403: Forbidden, 429: RateLimited}


class History(list["Kline"]):
    """Klines in ascending order; the last one may still be forming."""

    def __init__(self, klines: Iterable[Kline], *, stale: bool = False, beginning: bool = False) -> None:
        super().__init__(klines)
        self.beginning = beginning
        """Of a page of older klines: the gateway has said that there are none before."""
        self.stale = stale
        """Whether the gateway's source is disconnected: the klines may be out of date."""

    def frame(self) -> pd.DataFrame:
        """A pandas frame of the klines, indexed by open time (UTC); prices and volumes become floats. Needs pandas."""
        import pandas as pd

        columns = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "closed")
        rows = {name: [getattr(kline, name) for kline in self] for name in columns}
        times = pd.to_datetime([kline.open_time_ms for kline in self], unit="ms", utc=True)
        frame = pd.DataFrame(rows, index=pd.DatetimeIndex(times, name="open_time"))
        return frame.astype(dict.fromkeys(columns[:6], float) | {"trades": "int64", "closed": bool})


class HttpApi:
    """The gateway's HTTP API. Raises `GatewayError` with its codes; those that are `temporary` can be retried.

    `headers` is called for each request; `timeout_s` bounds each step of one.
    """

    def __init__(self, base_url: str, headers: Callable[[], Mapping[str, str]], timeout_s: float) -> None:
        self._base_url = base_url
        self._headers = headers
        self._timeout_s = timeout_s

    async def klines(self, symbol: str, interval: str, **query: int | None) -> History:
        """`GET /v1/klines`; `query` holds the endpoint's other parameters, None meaning absent."""
        answer = await self._get("klines", {"symbol": symbol, "interval": interval, **query})
        rows = (kline_from_fields(symbol, interval, fields) for fields in answer["klines"])
        return History(rows, stale=answer.get("stale", False))

    async def older(self, symbol: str, interval: str, before_ms: int, limit: int | None) -> History:
        """The last closed klines that opened before a time."""
        page = await self.klines(symbol, interval, limit=limit, endTime=before_ms - 1)
        # A source that is away says nothing about what it has.
        return History(
            (kline for kline in page if kline.closed), stale=page.stale, beginning=not page and not page.stale
        )

    async def symbols(self) -> tuple[list[str], list[str]]:
        """`GET /v1/symbols`: the symbols and the intervals that the gateway serves."""
        answer = await self._get("symbols", {})
        return answer["symbols"], answer["intervals"]

    async def _get(self, path: str, query: Mapping[str, str | int | None]) -> dict[str, Any]:
        given = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
        request = urllib.request.Request(f"{self._base_url}/v1/{path}?{given}")
        request.add_header("Accept-Encoding", "gzip")
        for name, value in self._headers().items():
            # The token is meant for this host, not for one that it redirects to.
            request.add_unredirected_header(name, value)
        status, body = await asyncio.to_thread(self._exchange, request)
        try:
            answer = decode_json(body)
        except ValueError:
            answer = None
        if status == 200 and isinstance(answer, dict):
            return answer
        if isinstance(answer, dict) and "code" in answer:
            raise error_of(answer["code"], str(answer.get("error", "")))
        raise _BY_STATUS.get(status, Unreachable)(f"{request.full_url} answered with HTTP status {status}")

    def _exchange(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                return response.status, _body(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _body(error)
        except (OSError, EOFError, http.client.HTTPException) as error:
            raise Unreachable(f"{request.full_url}: {error}") from error


def _body(response: http.client.HTTPResponse | urllib.error.HTTPError) -> bytes:
    body = response.read(ANSWER_MAX_BYTES)
    return gzip.decompress(body) if response.headers.get("Content-Encoding") == "gzip" else body
