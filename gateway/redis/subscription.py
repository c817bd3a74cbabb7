"""One subscribed connection: bytes in, whole messages out, and the watchdog over it. Knows no topics.

Every read goes straight through hiredis, which is fifteen times cheaper per message than `PubSub.listen()`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, cast

import hiredis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from redis.asyncio.connection import AbstractConnection

    Messages = list[list[bytes]]


DRAIN_S = 0.005
"""How long reads are collected while the receiver surges: of what is parsed at once the newest is enough."""

DRAIN_BYTES = 1 << 20
"""Collected bytes that are parsed without waiting: more would no longer be in the processor's cache."""


LAG_TURNS = 2
LAG_BYTES = 1 << 20
"""While messages arrive, a PING is sent only after so many halves of the watchdog's time, or so many bytes, to see
whether they come in time: some servers bill PINGs like any other command."""


class ConnectionLost(Exception):
    """The connection has ended; the text says why."""


class Receiver(Protocol):
    """What takes the messages (`feed.conflate.MessageBatcher`)."""

    received_bytes: int
    """Increased by what each socket read brings."""

    @property
    def charge(self) -> AbstractContextManager[None]:
        """Charges the time that is spent on what was read."""

    @property
    def surging(self) -> bool:
        """Whether messages arrive faster than they can be taken one by one."""

    def reduce(self, data: bytes) -> bytes:
        """What is to be parsed of a read; the rest is as if it had not been sent. Called while it surges.

        What looks like the first start of a message in `data` is one; what comes before it must not be changed.
        """

    def take(self, messages: Messages) -> None:
        """Take what one read brought, in order."""


class Subscription(asyncio.Protocol):
    """Takes a connection over from redis-py. `connected` is true while every requested name is acknowledged."""

    def __init__(
        self,
        kind: str,
        receiver: Receiver,
        on_connected: Callable[[], None],
        on_channel_lost: Callable[[bytes], None] | None = None,
    ) -> None:
        """`kind`: "p" for patterns, "s" for sharded channels of one cluster node.

        `on_connected` is called when the last requested name is acknowledged; `on_channel_lost` with each channel that
        the server has unsubscribed by itself, because the channel's slot now belongs to another node.
        """
        self.connected = False
        self._loop = asyncio.get_running_loop()
        self.last_message_s = self.last_byte_s = self._loop.time()
        """When the last message and the last byte came, on the loop's clock; at first: when this was made."""
        # Answers come in the order of the PINGs. With as many of them, nothing older than the PING is still under way.
        self._pings = self._pongs = 0
        self._unpinged_bytes = 0
        self._ponged = asyncio.Event()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._subscribe = f"{kind}subscribe".encode()
        self._unsubscribe = f"{kind}unsubscribe".encode()
        self._message = f"{kind}message".encode()
        # Messages of patterns have four parts, others three.
        self._message_start = b"*%d\r\n$%d\r\n%b\r\n" % (4 if kind == "p" else 3, len(self._message), self._message)
        self._unacknowledged = 0
        self.receiver = receiver
        """What takes the messages; may be replaced at any time."""
        self._on_connected = on_connected
        self._on_channel_lost = on_channel_lost
        self._parser = hiredis.Reader()
        self._collected: list[bytes] = []
        self._collected_bytes = 0
        self._drain: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def start(self, connection: AbstractConnection) -> None:
        """Take over: redis-py has read its handshake's replies to the last byte, and nothing is subscribed yet."""
        writer = connection._writer
        assert writer is not None
        self._transport = cast("asyncio.Transport", writer.transport)
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    def subscribe(self, *groups: Iterable[str | bytes]) -> None:
        """Subscribe to names, with one command per group: the channels of one command must share a slot."""
        commands = []
        for group in groups:
            command: tuple[Any, ...] = (self._subscribe.upper(), *group)
            self._unacknowledged += len(command) - 1
            commands.append(hiredis.pack_command(command))
        self.connected = False
        self._transport.writelines(commands)

    async def watch(self, watchdog_s: float) -> None:
        """Wait until the connection breaks, freezes or lags by `watchdog_s`; always raises, mostly `ConnectionLost`."""
        while True:
            await self._until_ping_is_due(watchdog_s / 2)
            ping = self._ping()
            pinged_s = self._loop.time()
            # redis-py never notices a frozen server here; an unanswered PING does. Its time counts from when this loop
            # came to send it.
            await self._wait(watchdog_s / 2)
            # uvloop's clock stands still within a millisecond, in which an idle server has long answered.
            if self._pongs < ping and self.last_byte_s <= pinged_s:
                self._transport.abort()
                raise ConnectionLost(f"frozen: no answer in {watchdog_s:g} s")
            if self._pongs < ping:
                # The bytes that arrive are older than the PING: the network is slower than the feed. A new connection
                # starts without the backlog.
                await self._wait(watchdog_s / 2)
                if self._pongs < ping:
                    self._transport.abort()
                    raise ConnectionLost(f"too slow: what comes is older than {watchdog_s:g} s")

    async def _until_ping_is_due(self, quiet_s: float) -> None:
        """Wait until nothing has come for `quiet_s`, or so much has come that it must be seen how old it is."""
        clock_s = self._loop.time
        lag_s = clock_s() + LAG_TURNS * quiet_s
        due_s = self.last_byte_s + quiet_s
        while clock_s() < min(due_s, lag_s) and self._unpinged_bytes < LAG_BYTES:
            await self._wait(min(due_s, lag_s) - clock_s())
            due_s = self.last_byte_s + quiet_s

    async def answered(self) -> None:
        """Ping, and wait until everything that the server sent before the answer has been taken; raises
        `ConnectionLost` when the connection has ended."""
        if self._ended.done():
            raise ConnectionLost(self._ended.result())
        ping = self._ping()
        while self._pongs < ping:
            self._ponged.clear()
            await self._ponged.wait()

    def end(self, reason: str) -> None:
        """Let `watch` end with this reason; the first reason wins."""
        if not self._ended.done():
            self._ended.set_result(reason)

    def data_received(self, data: bytes) -> None:
        self.last_byte_s = self._loop.time()
        self.receiver.received_bytes += len(data)
        self._unpinged_bytes += len(data)
        self._collected.append(data)
        self._collected_bytes += len(data)
        if not self.receiver.surging or self._collected_bytes >= DRAIN_BYTES:
            self._take_collected()
        elif self._drain is None:
            self._drain = self._loop.call_later(DRAIN_S, self._take_collected)

    def _take_collected(self) -> None:
        if self._drain is not None:
            self._drain.cancel()
            self._drain = None
        data = b"".join(self._collected)
        self._collected.clear()
        self._collected_bytes = 0
        with self.receiver.charge:
            self._take(data)

    def _take(self, data: bytes) -> None:
        messages: Messages = []
        try:
            start = data.find(self._message_start) if self.receiver.surging else -1
            if start >= 0:
                self._parser.feed(data, 0, start)
                self._parse(messages)
                # Only the parser knows what is a message's start and what is in a payload that looks like one. It waits
                # for nothing, so this is the start of a message: inside of one, what follows would begin with "$".
                if not self._parser.has_data():
                    data = self.receiver.reduce(data)
                self._parser.feed(data, start, len(data) - start)
            else:
                self._parser.feed(data)
            self._parse(messages)
        except hiredis.HiredisError as error:
            self.end(f"protocol error: {error}")
        if messages:
            self.last_message_s = self.last_byte_s
            self.receiver.take(messages)

    def _parse(self, messages: Messages) -> None:
        """Append the messages that are complete; raises `HiredisError`."""
        gets, kind = self._parser.gets, self._message
        while (message := gets()) is not False:
            if type(message) is list and message[0] == kind:
                messages.append(message)
            else:
                self._take_reply(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._take_collected()
        self.end(str(exc) if exc else "closed by the server")

    async def _wait(self, seconds: float) -> None:
        """Wait, then read all that has arrived meanwhile; raises `ConnectionLost` when the connection ends."""
        for wait_s in (seconds, 0.001):
            done, _ = await asyncio.wait([self._ended], timeout=wait_s)
            if done:
                raise ConnectionLost(self._ended.result())

    def _ping(self) -> int:
        """Returns how many PINGs that makes."""
        self._transport.write(hiredis.pack_command(("PING",)))
        self._pings += 1
        self._unpinged_bytes = 0
        return self._pings

    def _take_reply(self, message: object) -> None:
        """Acknowledgements, answers to pings, and errors."""
        if isinstance(message, hiredis.ReplyError):
            self.end(str(message))
        elif message == b"PONG" or (isinstance(message, list) and message[0] == b"pong"):
            # In subscriber mode Redis answers with a list; Garnet, older Dragonfly and YugabyteDB with a simple string.
            self._pongs += 1
            self._ponged.set()
        elif isinstance(message, list) and message[0] == self._subscribe:
            self._unacknowledged -= 1
            if not self._unacknowledged:
                self.connected = True
                self._on_connected()
        elif isinstance(message, list) and message[0] == self._unsubscribe and self._on_channel_lost:
            self._on_channel_lost(message[1])
