"""What a consumer iterates over. It starts no task: the consumer itself waits and reads history."""

from __future__ import annotations

import asyncio
import random
import weakref
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar, cast

from kline_gateway_client.errors import GatewayError
from kline_gateway_client.queues import ClosedQueue

if TYPE_CHECKING:
    from types import TracebackType

    from kline_gateway_client.history import HttpApi
    from kline_gateway_client.queues import ChannelCursor, Queue
    from kline_gateway_client.values import Status

T_co = TypeVar("T_co", covariant=True)


class Owner(Protocol):
    """What a stream needs of its client."""

    http: HttpApi

    @property
    def failure(self) -> GatewayError | None:
        """Why the client has given up, if it has."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        ...

    def status_of(self, channels: tuple[str, ...]) -> Status:
        """The worst status of these channels."""
        ...

    def release(self, queue: Queue) -> None:
        """Unsubscribe what this queue alone needs."""
        ...


class Stream(Generic[T_co]):
    """An asynchronous iterator for one task. Dropping it, or `aclose`, unsubscribes its channels.

    Each error is raised once; iterating again continues with the channels that are left. If the gateway refuses a
    channel, only that channel ends. The stream ends when the client is closed or no channel is left.
    """

    def __init__(self, owner: Owner, queue: Queue, ready: asyncio.Event) -> None:
        self._owner = owner
        self._queue = queue
        self._ready = ready
        self._channels_left = len(queue.channels)
        self._release = weakref.finalize(self, owner.release, queue)
        # At the program's end the connection is gone already.
        self._release.atexit = False

    @property
    def status(self) -> Status:
        """How fresh these channels are."""
        return self._owner.status_of(self._queue.channels)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        queue = self._queue
        while True:
            # Cleared before the queue is read: a value that is queued later sets the event again.
            self._ready.clear()
            if queue.errors:
                raise self._count(queue.errors.popleft())
            if (value := queue.take()) is not None:
                return cast("T_co", value)
            if not self._channels_left or self._owner.closed or not self._release.alive:
                raise StopAsyncIteration
            if (failure := self._owner.failure) is not None:
                raise failure.with_traceback(None)
            wait_s = None
            if isinstance(queue, ClosedQueue) and (cursor := queue.next_to_read()) is not None:
                wait_s = cursor.next_read_s - asyncio.get_running_loop().time()
                if wait_s <= 0:
                    await self._read_history(queue, cursor)
                    continue
            try:
                async with asyncio.timeout(wait_s):
                    await self._ready.wait()
            except TimeoutError:
                continue

    async def aclose(self) -> None:
        """Unsubscribe the channels and end the iteration."""
        self._release()
        self._ready.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _read_history(self, queue: ClosedQueue, cursor: ChannelCursor) -> None:
        loop = asyncio.get_running_loop()
        try:
            klines = await self._owner.http.klines(cursor.symbol, cursor.interval, startTime=cursor.cursor_ms)
        except GatewayError as error:
            if not error.temporary:
                raise
            queue.read_later(cursor, loop.time(), random.random())
        else:
            queue.add_history(cursor, klines, loop.time(), random.random())

    def _count(self, error: GatewayError) -> GatewayError:
        # Every error but missed klines ends one channel.
        self._channels_left -= error.code != "MISSED_BARS"
        return error
