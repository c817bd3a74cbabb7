"""One subscribed connection under watch, and its replacement by a new one without losing a message.

A replacement subscribes before the old link is given up. Whether something may have been missed all the same depends on
the server: at the same one nothing has, at another one everything of the silence may have.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from gateway.redis.subscription import ConnectionLost, Subscription
from gateway.redis.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractContextManager

    from redis.asyncio.connection import AbstractConnection

    from gateway.redis.subscription import Messages, Receiver


class Link:
    """A subscription whose connection is watched from the start on."""

    def __init__(
        self,
        kind: str,
        connection: AbstractConnection,
        receiver: Receiver,
        watchdog_s: float,
        *,
        server: str = "",
        moved: Awaitable[str] | None = None,
        on_channel_lost: Callable[[bytes], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """`kind`: as for `Subscription`. `server`: which server that is, "" where it does not say. `moved` ends with
        the reason when the connection must be given up although it answers."""
        self.server = server
        self.on_connected: Callable[[], None] | None = None
        """Called at each acknowledgement of all requested names."""
        self._connection = connection
        self._acknowledged = asyncio.Event()
        self.subscription = Subscription(kind, receiver, self._connected, on_channel_lost)
        self.subscription.start(connection)
        self._watching = asyncio.create_task(self.subscription.watch(watchdog_s))
        self._watching.add_done_callback(self._ended)
        self._on_end = on_end
        self._moving = asyncio.ensure_future(moved) if moved is not None else None
        if self._moving is not None:
            self._moving.add_done_callback(self._moved)

    @property
    def ended(self) -> bool:
        return self._watching.done()

    @property
    def last_message_s(self) -> float:
        """When the last message came, or the link was made, on the loop's clock."""
        return self.subscription.last_message_s

    def subscribe(self, *groups: Iterable[str | bytes]) -> None:
        """Subscribe to names, with one command per group."""
        self._acknowledged.clear()
        self.subscription.subscribe(*groups)

    async def wait_acknowledged(self) -> None:
        """Wait until all requested names are acknowledged; raises `ConnectionLost`."""
        await self._acknowledged.wait()
        self.raise_if_ended()

    async def wait_until(self, when_s: float) -> None:
        """Wait until that time on the loop's clock; raises why the link has ended, mostly `ConnectionLost`."""
        seconds = None if math.isinf(when_s) else when_s - asyncio.get_running_loop().time()
        await asyncio.wait([self._watching], timeout=seconds)
        self.raise_if_ended()

    def raise_if_ended(self) -> None:
        if self._watching.done():
            self._watching.result()

    async def aclose(self) -> None:
        if self._moving is not None:
            self._moving.cancel()
        await cancel_and_wait([self._watching])
        await self._connection.disconnect(nowait=True)

    def _connected(self) -> None:
        self._acknowledged.set()
        if self.on_connected is not None:
            self.on_connected()

    def _moved(self, moving: asyncio.Future[str]) -> None:
        if not moving.cancelled():
            self.subscription.end(moving.result())

    def _ended(self, watching: asyncio.Task[None]) -> None:
        self._acknowledged.set()
        if not watching.cancelled():
            watching.exception()
        if self._on_end is not None:
            self._on_end()


async def take_over(
    old: Link,
    make: Callable[[Receiver], Awaitable[Link]],
    receiver: Receiver,
    missed: Callable[[], None],
    within_s: float,
) -> Link:
    """Replace a link that answers and brings nothing; return the new one, which passes its messages to `receiver`.

    `make` connects and subscribes a link for a receiver. `missed` is called when messages may have been missed: at once
    where the new server is another one, never where it is the same one, and with the first message where that is
    not known. Raises `ConnectionLost`, `RedisError`, `OSError` or `TimeoutError` when there is no new link within
    `within_s` seconds; the old one goes on then.
    """
    gate = _Gate(receiver, missed)
    async with asyncio.timeout(within_s):
        new = await make(gate)
        try:
            await new.wait_acknowledged()
        except BaseException:
            await new.aclose()
            raise
    try:
        async with asyncio.timeout(within_s):
            # What was published before the new subscription has come by the old link when this is answered.
            await old.subscription.answered()
        complete = not old.ended
    except (TimeoutError, ConnectionLost):
        complete = False
    await old.aclose()
    held, gate.held, gate.subscription = gate.held, None, new.subscription
    if not held:
        # The silence goes on: being made is no message.
        new.subscription.last_message_s = old.last_message_s
    known = bool(old.server and new.server)
    if known or not complete:
        new.subscription.receiver = receiver
        if not complete or old.server != new.server:
            missed()
    if held:
        new.subscription.receiver.take(held)
    return new


class _Gate:
    """Stands before a receiver: holds a new link's messages until the old one is done, then passes them on.

    Where it is not known whether earlier messages have been missed, it says so with the first one. After that it stands
    aside.
    """

    def __init__(self, receiver: Receiver, missed: Callable[[], None]) -> None:
        self.held: Messages | None = []
        """What has come so far; `None` once it is not held any more."""
        self.subscription: Subscription | None = None
        self._receiver = receiver
        self._missed = missed

    @property
    def charge(self) -> AbstractContextManager[None]:
        return self._receiver.charge

    @property
    def received_bytes(self) -> int:
        return self._receiver.received_bytes

    @received_bytes.setter
    def received_bytes(self, count: int) -> None:
        self._receiver.received_bytes = count

    surging = False

    def reduce(self, data: bytes) -> bytes:
        return data

    def take(self, messages: Messages) -> None:
        if self.held is not None:
            self.held += messages
            return
        assert self.subscription is not None
        self.subscription.receiver = self._receiver
        self._missed()
        self._receiver.take(messages)
