"""The client: one connection to a gateway, its streams and its HTTP API."""

from __future__ import annotations

import asyncio
import math
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, Literal, Self

from kline_gateway_client.connection import Connection
from kline_gateway_client.errors import GatewayError, InvalidInterval
from kline_gateway_client.history import History, HttpApi
from kline_gateway_client.intervals import INTERVALS
from kline_gateway_client.queues import ClosedQueue, LatestQueue
from kline_gateway_client.replay import Replay
from kline_gateway_client.stream import Stream
from kline_gateway_client.subscriptions import Subscriptions
from kline_gateway_client.values import Kline, Status, Ticker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from types import TracebackType

    from kline_gateway_client.queues import Queue

_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}


class Client:
    """A client of one gateway; use it as `async with Client("http://127.0.0.1:8000") as client`.

    It connects, and reconnects whenever the connection is lost; see `status`. `url` may have a path, for a gateway
    behind a proxy. `token` is sent as `Authorization: Bearer`; a function is called for a new one at each connection.
    `compact` asks for the compact dialect: fewer bytes, and the 24 h figures every 5 s only. `max_rate` is the most
    updates a second of each channel. `latency_ms` up to 1 asks for every update at once, where the gateway offers it;
    see `interval_ms`. `event_times` gives values their `event_time_ms` and `age_ms`, for some twenty bytes an update.
    `timeout_s` bounds each handshake and each step of an HTTP request. Raises `ValueError` for an invalid URL, rate or
    latency.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        token: str | Callable[[], str] | None = None,
        compact: bool = False,
        max_rate: float | None = None,
        latency_ms: float | None = None,
        event_times: bool = True,
        timeout_s: float = 10.0,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ValueError(f"not the address of a gateway: {url!r}; expected http(s)://HOST or ws(s)://HOST")
        base = urllib.parse.urlunsplit((_SCHEMES[parts.scheme], parts.netloc, parts.path.rstrip("/"), "", ""))
        self._base, self._timeout_s = base, timeout_s
        self.http = HttpApi(base, self._headers, timeout_s)
        self.closed = False
        self._token = token
        self._subscriptions = Subscriptions(_settings(max_rate, latency_ms, event_times=event_times))
        self._connection = Connection(
            f"ws{base.removeprefix('http')}/v1/stream",
            self._subscriptions,
            self._headers,
            compact=compact,
            timeout_s=timeout_s,
        )
        self._task: asyncio.Task[None] | None = None
        self._ready_events: dict[int, asyncio.Event] = {}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._connection.run(), name="gateway-client")
        self._task.add_done_callback(lambda _: self._wake_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection and end all streams. No task is left running."""
        self.closed = True
        self._wake_all()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

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
        """A stream of the klines of one or more symbols.

        `latest`: the newest state of each kline; a state that a newer one has replaced is never returned.

        `closed`: every closed kline of each symbol once and in order, across reconnects and outages. The stream begins
        with the last `history` klines that are stored, or with the one after the open time `after_ms` (where a program
        stopped), otherwise with the next that closes. Up to `size` klines are queued for a slow consumer; those after
        them are read from the gateway's history once it has caught up. Klines that the gateway no longer has raise
        `MissedKlines` in their place; klines that the source never had are not invented.

        Raises `InvalidInterval` for an unknown interval; the iteration raises the gateway's errors about the symbols.
        """
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        if interval not in INTERVALS:
            raise InvalidInterval(f"{interval!r} is none of {', '.join(INTERVALS)}")
        if mode not in ("latest", "closed"):
            raise ValueError(f"mode: {mode!r} is neither 'latest' nor 'closed'")
        if size < 1 or history < 0:
            raise ValueError(f"size must be at least 1 and history at least 0, not {size} and {history}")
        if mode == "latest" and (history or after_ms is not None):
            raise ValueError("history and after_ms need mode='closed'")
        ready = asyncio.Event()
        if mode == "latest":
            return self._stream(LatestQueue((f"kline:{symbol}:{interval}" for symbol in names), ready.set), ready)
        closed = ClosedQueue(names, interval, ready.set, max_klines=size, first=history, after_ms=after_ms)
        return self._stream(closed, ready)

    def tickers(self, symbols: str | Iterable[str]) -> Stream[Ticker]:
        """A stream of the newest ticker of each symbol that has changed."""
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        ready = asyncio.Event()
        return self._stream(LatestQueue((f"ticker:{symbol}" for symbol in names), ready.set), ready)

    async def history(
        self,
        symbol: str,
        interval: str,
        *,
        limit: int | None = None,
        start: datetime | int | None = None,
        end: datetime | int | None = None,
        before: datetime | int | None = None,
    ) -> History:
        """Stored klines by open time, both ends included (ms since the epoch, or a datetime with a time zone).

        With a start: the first `limit` klines from it, otherwise the last ones; without a limit: as many as the gateway
        returns at most. The last one may still be forming. `before` is an end that is not included, for paging back:
        the closed klines before the first one of the page before, until `.beginning` says that there are none.
        `.frame()` converts to a pandas frame. Raises `GatewayError`.
        """
        before_ms = _ms(before)
        if before_ms is not None:
            if start is not None or end is not None:
                raise ValueError("before goes with neither start nor end")
            return await self.http.older(symbol, interval, before_ms, limit)
        return await self.http.klines(symbol, interval, limit=limit, startTime=_ms(start), endTime=_ms(end))

    def replay(
        self,
        start: datetime | int,
        *,
        klines: Iterable[tuple[str, str]] = (),
        tickers: Iterable[str] = (),
        end: datetime | int | None = None,
        speed: float = 60.0,
        history: int = 0,
        closed_only: bool = False,
    ) -> Replay:
        """What the gateway's archive has from `start` on, at `speed` times its pace, to `end` or to the present.

        `klines`: pairs of symbol and interval. The last `history` closed klines before the start come first.
        `closed_only`: neither forming klines nor tickers. It needs a connection of its own, and none of the client's:
        `async with Client(url).replay(...) as replay`. Entering it, and the iteration, raise `GatewayError`.
        """
        times = [str(_ms(start)), *([] if end is None else [str(_ms(end))])]
        channels = [f"kline:{symbol}:{interval}" for symbol, interval in klines]
        channels += [f"ticker:{symbol}" for symbol in tickers]
        if not channels:
            raise ValueError("klines or tickers: at least one is needed")
        return Replay(
            f"ws{self._base.removeprefix('http')}/replay/{'/'.join(times)}/{speed:.9g}x/v1/stream",
            self._headers,
            list(dict.fromkeys(channels)),
            history=history,
            closed_only=closed_only,
            timeout_s=self._timeout_s,
        )

    async def symbols(self) -> list[str]:
        """The symbols that the gateway serves now. Raises `GatewayError`."""
        return (await self.http.symbols())[0]

    async def intervals(self) -> list[str]:
        """The intervals that the gateway serves. Raises `GatewayError`."""
        return (await self.http.symbols())[1]

    @property
    def status(self) -> Status:
        """The worst status of all streams."""
        return self.status_of(tuple(self._subscriptions.names()))

    @property
    def interval_ms(self) -> int | None:
        """How long an update waits in the gateway at most, in ms: longer while the gateway slows this client down.

        None: not connected yet, or the gateway does not say it.
        """
        return self._subscriptions.interval_ms

    @property
    def failure(self) -> GatewayError | None:
        """Why the client has given up for good; None: it has not. A bug in the client itself is raised."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        error = self._task.exception()
        if error is not None and not isinstance(error, GatewayError):
            raise error
        return error

    def status_of(self, channels: tuple[str, ...]) -> Status:
        """The worst status of these channels."""
        connection = self._connection
        last_s = connection.last_message_s
        age_s = None if last_s is None else time.monotonic() - last_s
        if self.closed or (failure := self.failure) is not None:
            return Status("ended", "closed" if self.closed else str(failure), None, age_s)
        if connection.offline:
            state: Literal["connecting", "stale"] = "connecting" if last_s is None else "stale"
            return Status(state, connection.offline, connection.offline_since_ms, age_s)
        return self._subscriptions.status(channels)._replace(age_s=age_s)

    def release(self, queue: Queue) -> None:
        """Unsubscribe what this queue alone needs: its stream is closed or gone."""
        self._ready_events.pop(id(queue), None)
        self._subscriptions.remove(queue)
        self._connection.wake()

    def _stream(self, queue: Queue, ready: asyncio.Event) -> Stream[Any]:
        if self._task is None:
            # Without the task nothing connects, and the loop over the stream would wait for ever.
            raise RuntimeError("use it as `async with Client(...) as client`")
        self._ready_events[id(queue)] = ready
        self._subscriptions.add(queue)
        self._connection.wake()
        return Stream(self, queue, ready)

    def _wake_all(self) -> None:
        for ready in self._ready_events.values():
            ready.set()

    def _headers(self) -> dict[str, str]:
        token = self._token() if callable(self._token) else self._token
        return {} if token is None else {"Authorization": f"Bearer {token}"}


def _settings(max_rate: float | None, latency_ms: float | None, *, event_times: bool) -> dict[str, float | bool]:
    if max_rate is not None and not 0 < max_rate < math.inf:
        raise ValueError(f"max_rate must be above 0, not {max_rate}")
    if latency_ms is not None and not 0 <= latency_ms < math.inf:
        raise ValueError(f"latency_ms must be at least 0, not {latency_ms}")
    wanted = {"event_times": event_times or None, "max_rate": max_rate, "latency_ms": latency_ms}
    return {name: value for name, value in wanted.items() if value is not None}


def _ms(time: datetime | int | None) -> int | None:
    if time is None or isinstance(time, int):
        return time
    if time.tzinfo is None:
        raise ValueError(f"the datetime {time.isoformat()} has no time zone; add one, for example datetime.UTC")
    return int(time.timestamp() * 1000)
