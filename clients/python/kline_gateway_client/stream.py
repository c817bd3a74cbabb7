"""What a consumer iterates over. It runs nothing of its own: waiting, and looking into history, is the consumer's."""

from __future__ import annotations

import asyncio
import random
import weakref
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar, cast

from kline_gateway_client.errors import GatewayError
from kline_gateway_client.queues import Closed

if TYPE_CHECKING:
    from types import TracebackType

    from kline_gateway_client.history import Archive
    from kline_gateway_client.queues import Inbox, Place
    from kline_gateway_client.values import Status

T_co = TypeVar("T_co", covariant=True)


class Owner(Protocol):
    """The client, as its streams know it."""

    archive: Archive

    @property
    def failure(self) -> GatewayError | None:
        """Why nothing will come any more, if that is so."""
        ...

    @property
    def closed(self) -> bool: ...

    def status_of(self, channels: tuple[str, ...]) -> Status: ...

    def release(self, inbox: Inbox) -> None: ...


class Stream(Generic[T_co]):
    """An asynchronous iterator for one task. Dropping it, or `aclose`, gives its channels up.

    An error is raised once, and iterating again goes on with whatever still comes; a refusal of a channel ends that
    channel alone. It ends when the client is closed, or no channel is left.
    """

    def __init__(self, owner: Owner, inbox: Inbox, news: asyncio.Event) -> None:
        self._owner = owner
        self._inbox = inbox
        self._news = news
        self._left = len(inbox.channels)
        self._release = weakref.finalize(self, owner.release, inbox)
        # At the end of the program there is nobody left to tell.
        self._release.atexit = False

    @property
    def status(self) -> Status:
        """How fresh these channels are."""
        return self._owner.status_of(self._inbox.channels)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        inbox = self._inbox
        while True:
            # From here to the wait nothing is awaited but history: no news is overlooked.
            self._news.clear()
            if inbox.errors:
                raise self._counted(inbox.errors.popleft())
            if (value := inbox.take()) is not None:
                return cast("T_co", value)
            if not self._left or self._owner.closed or not self._release.alive:
                raise StopAsyncIteration
            if (failure := self._owner.failure) is not None:
                raise failure.with_traceback(None)
            wait_s = None
            if isinstance(inbox, Closed) and (place := inbox.behind()) is not None:
                wait_s = place.next_look_s - asyncio.get_running_loop().time()
                if wait_s <= 0:
                    await self._look(inbox, place)
                    continue
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def aclose(self) -> None:
        self._release()
        self._news.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _look(self, inbox: Closed, place: Place) -> None:
        """Into history, for what the stream no longer brings."""
        loop = asyncio.get_running_loop()
        try:
            found = await self._owner.archive.klines(place.symbol, place.interval, startTime=place.cursor_ms)
        except GatewayError as error:
            if not error.temporary:
                raise
            inbox.look_later(place, loop.time(), random.random())
        else:
            inbox.filled(place, found, loop.time(), random.random())

    def _counted(self, error: GatewayError) -> GatewayError:
        # Only the holes of a series leave it open.
        self._left -= error.code != "MISSED_BARS"
        return error
