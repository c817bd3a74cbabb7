"""The client: one connection to a gateway, and everything that is taken from it."""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, Literal, Self

from kline_gateway_client.connection import Link
from kline_gateway_client.errors import GatewayError, InvalidInterval
from kline_gateway_client.history import Archive, History
from kline_gateway_client.intervals import INTERVALS
from kline_gateway_client.queues import Closed, Latest
from kline_gateway_client.stream import Stream
from kline_gateway_client.subscriptions import Desk
from kline_gateway_client.values import Kline, Status, Ticker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from types import TracebackType

    from kline_gateway_client.queues import Inbox

_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}


class Client:
    """A gateway's client; use it as `async with Client("http://127.0.0.1:8000") as client`.

    It connects by itself, and again whenever the connection is lost; `status` says how that stands. `url` may have a
    path, where a proxy puts the gateway under one. `token` goes along as `Authorization: Bearer`; a function is asked
    for a new one at each connection. `compact` asks for the smaller variant of the stream: fewer bytes, and the 24 h
    figures every 5 s only. `timeout_s` bounds each handshake and each step of an HTTP request. Raises `ValueError` for
    a URL that is none.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        token: str | Callable[[], str] | None = None,
        compact: bool = False,
        timeout_s: float = 10.0,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ValueError(f"not the address of a gateway: {url!r}")
        base = urllib.parse.urlunsplit((_SCHEMES[parts.scheme], parts.netloc, parts.path.rstrip("/"), "", ""))
        self.archive = Archive(base, self._headers, timeout_s)
        self.closed = False
        self._token = token
        self._desk = Desk()
        stream_url = f"ws{base.removeprefix('http')}/v1/stream"
        self._link = Link(stream_url, self._desk, self._headers, compact=compact, timeout_s=timeout_s)
        self._running: asyncio.Task[None] | None = None
        self._wakers: dict[int, asyncio.Event] = {}

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._link.run(), name="gateway-client")
        self._running.add_done_callback(lambda _: self._wake_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the connection; streams end too. Nothing is left running."""
        self.closed = True
        self._wake_all()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    def klines(
        self,
        symbols: str | Iterable[str],
        interval: str,
        *,
        mode: Literal["latest", "closed"] = "latest",
        history: int = 0,
        after_ms: int | None = None,
        size: int = 1000,
    ) -> Stream[Kline]:
        """The bars of one or more symbols as they come.

        `latest`: the newest state of each bar; one that a newer has replaced before it was taken is never given.

        `closed`: every closed bar of each symbol once and in order, through reconnects and outages. It begins with the
        last `history` bars that are stored, or with the one after the open time `after_ms` (where a program left off),
        else with the next that closes. Up to `size` bars wait for a consumer that is slow; those after them are read
        from the gateway's history when it has caught up. Bars that the gateway does not have any more are announced by
        `MissedBars`, in their place; those that its source never had are not made up.

        Raises `InvalidInterval` for a name that is none; the iteration raises what the gateway says of the symbols.
        """
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        if interval not in INTERVALS:
            raise InvalidInterval(f"{interval!r} is none of {', '.join(INTERVALS)}")
        if mode not in ("latest", "closed"):
            raise ValueError(f"mode: {mode!r} is neither 'latest' nor 'closed'")
        if size < 1 or history < 0:
            raise ValueError("size and history count bars")
        if mode == "latest" and (history or after_ms is not None):
            raise ValueError("history and after_ms belong to mode='closed'")
        news = asyncio.Event()
        if mode == "closed":
            return self._stream(Closed(names, interval, news.set, size=size, first=history, after_ms=after_ms), news)
        return self._stream(Latest((f"kline:{symbol}:{interval}" for symbol in names), news.set), news)

    def tickers(self, symbols: str | Iterable[str]) -> Stream[Ticker]:
        """The newest ticker of each symbol whenever it has changed: latest wins."""
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        news = asyncio.Event()
        return self._stream(Latest((f"ticker:{symbol}" for symbol in names), news.set), news)

    async def history(
        self,
        symbol: str,
        interval: str,
        *,
        limit: int | None = None,
        start: datetime | int | None = None,
        end: datetime | int | None = None,
    ) -> History:
        """Stored bars by open time, both ends included (ms since the epoch, or a datetime with a time zone).

        With a start: the first `limit` from it, else the last ones; without a limit: as many as the gateway gives. The
        last one may still be forming. `.frame()` makes a pandas frame of it. Raises `GatewayError`.
        """
        return await self.archive.klines(symbol, interval, limit=limit, startTime=_ms(start), endTime=_ms(end))

    async def symbols(self) -> list[str]:
        """What the gateway knows of just now."""
        return (await self.archive.symbols())[0]

    async def intervals(self) -> list[str]:
        return (await self.archive.symbols())[1]

    @property
    def status(self) -> Status:
        """The worst of everything that is streamed."""
        return self.status_of(tuple(self._desk.names()))

    @property
    def failure(self) -> GatewayError | None:
        """Why it has given up for good; None: it has not. A bug in the client itself is raised."""
        if self._running is None or not self._running.done() or self._running.cancelled():
            return None
        error = self._running.exception()
        if error is not None and not isinstance(error, GatewayError):
            raise error
        return error

    def status_of(self, channels: tuple[str, ...]) -> Status:
        link = self._link
        age_s = None if link.heard_s is None else time.monotonic() - link.heard_s
        if self.closed or (failure := self.failure) is not None:
            return Status("ended", "closed" if self.closed else str(failure), None, age_s)
        if link.offline:
            state: Literal["connecting", "stale"] = "connecting" if link.heard_s is None else "stale"
            return Status(state, link.offline, link.offline_since_ms, age_s)
        return self._desk.status(channels)._replace(age_s=age_s)

    def release(self, inbox: Inbox) -> None:
        """Nobody reads it any more."""
        self._wakers.pop(id(inbox), None)
        self._desk.remove(inbox)
        self._link.wake()

    def _stream(self, inbox: Inbox, news: asyncio.Event) -> Stream[Any]:
        if self._running is None:
            # Nobody would ever be connected, and the loop over it would wait for good.
            raise RuntimeError("use it as `async with Client(...) as client`")
        self._wakers[id(inbox)] = news
        self._desk.add(inbox)
        self._link.wake()
        return Stream(self, inbox, news)

    def _wake_all(self) -> None:
        for news in self._wakers.values():
            news.set()

    def _headers(self) -> dict[str, str]:
        token = self._token() if callable(self._token) else self._token
        return {} if token is None else {"Authorization": f"Bearer {token}"}


def _ms(time: datetime | int | None) -> int | None:
    if time is None or isinstance(time, int):
        return time
    if time.tzinfo is None:
        raise ValueError("a datetime without a time zone could mean any hour")
    return int(time.timestamp() * 1000)
