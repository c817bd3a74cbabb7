"""One WebSocket connection to Binance's streams: connect, subscribe within the limits, read until it ends.

A new connection is opened before the old one ends: `ending` tells when, a while before the exchange would close it by
age, and at once when the exchange announces it (`serverShutdown`) or nothing is heard any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from collector.binance.payloads import SHUTDOWN, Answer, event_of
from collector.binance.silence import Silence
from collector.events import KlineEvent
from gateway.feed.decode import FeedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from websockets.asyncio.client import ClientConnection

    from collector.events import MarketEvent

logger = logging.getLogger(__name__)

_COMMAND_STREAMS = 100
_OPEN_S = 10.0

# Pings of ours find a frozen link; each counts as a message, of which few a second are allowed.
_PING_S, _PONG_S = 5.0, 5.0
_CLOSE_S = 1.0

# Of the messages that the exchange takes a second, some are left for pings and pongs.
_LEFT_FOR_PINGS = 2

_LOOK_S = 5.0

# Answers come within a second. Whoever does not answer does not deliver either.
_ANSWER_S = 15.0

# A minute's kline ends each minute even where nothing is traded.
_SILENT_S = 90.0


class Command(NamedTuple):
    """What the exchange is told."""

    number: int
    method: str
    names: Sequence[str]


class Connection:
    """Call `run` once."""

    def __init__(
        self,
        url: str,
        streams: Sequence[str],
        *,
        messages_per_s: int,
        lifetime_s: float,
        on_event: Callable[[MarketEvent], None],
        on_refused: Callable[[FeedError], None],
    ) -> None:
        """`url`: base address. `lifetime_s`: age at which the next connection should take over."""
        self.ready = asyncio.Event()
        """Set once all streams are subscribed."""
        self.ending = asyncio.Event()
        """Set when the next connection should be opened."""
        self._url = url
        self._pause_s = 1 / max(1, messages_per_s - _LEFT_FOR_PINGS)
        self._lifetime_s = lifetime_s
        self._on_event = on_event
        self._on_refused = on_refused
        self._silence = Silence()
        self._commands: deque[Command] = deque()
        self._news = asyncio.Event()
        self._numbers = 0
        # Commands that are not answered yet, and since when there are any, by the loop's clock.
        self._unanswered: dict[int, Command] = {}
        self._asked_s = self._heard_s = 0.0
        self.change((), streams)

    def change(self, unsubscribe: Sequence[str], subscribe: Sequence[str]) -> None:
        """Subscribe and unsubscribe streams."""
        self._silence.drop(unsubscribe)
        self._silence.carry(subscribe)
        for method, names in (("UNSUBSCRIBE", unsubscribe), ("SUBSCRIBE", subscribe)):
            for first in range(0, len(names), _COMMAND_STREAMS):
                self._command(method, names[first : first + _COMMAND_STREAMS])

    async def run(self) -> str:
        """Run until the connection ends; returns why it ended."""
        # Subscriptions come by command: the names would make too long an address.
        try:
            async with asyncio.timeout(_OPEN_S):
                socket = await connect(
                    f"{self._url}/stream",
                    compression=None,
                    ping_interval=_PING_S,
                    ping_timeout=_PONG_S,
                    close_timeout=_CLOSE_S,
                    max_size=1 << 20,
                    # All that one read of the socket brings is taken before the next one: the queue stays short.
                    max_queue=None,
                )
        except (WebSocketException, OSError, TimeoutError) as error:
            return f"not connected: {str(error) or type(error).__name__}"
        loop = asyncio.get_running_loop()
        self._heard_s = loop.time()
        age = loop.call_later(self._lifetime_s, self.ending.set)
        beside = [asyncio.create_task(work(socket), name="binance commands") for work in (self._send, self._watch)]
        try:
            while True:
                self._received(await socket.recv(decode=False))
        except (WebSocketException, OSError) as error:
            return "commands are not answered" if self._is_dumb() else str(error)
        finally:
            age.cancel()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await socket.close()

    def _command(self, method: str, names: Sequence[str]) -> None:
        self._numbers += 1
        self._commands.append(Command(self._numbers, method, names))
        self._news.set()

    async def _send(self, socket: ClientConnection) -> None:
        self._ready_if_done()
        while True:
            await self._news.wait()
            self._news.clear()
            while self._commands:
                command = self._commands.popleft()
                if not self._unanswered:
                    self._asked_s = asyncio.get_running_loop().time()
                self._unanswered[command.number] = command
                text = {"method": command.method, "params": list(command.names), "id": command.number}
                await socket.send(orjson.dumps(text), text=True)
                await asyncio.sleep(self._pause_s)

    async def _watch(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._is_dumb():
                await socket.close()
            if deaf := self._silence.deaf():
                logger.warning("exchange streams silent streams=%d first=%s: subscribing again", len(deaf), deaf[0])
                self.change(deaf, deaf)
            if self._silence.carries and asyncio.get_running_loop().time() - self._heard_s > _SILENT_S:
                self.ending.set()

    def _is_dumb(self) -> bool:
        return bool(self._unanswered) and asyncio.get_running_loop().time() - self._asked_s > _ANSWER_S

    def _received(self, message: bytes) -> None:
        try:
            event = event_of(message)
        except FeedError as error:
            self._on_refused(error)
            return
        if isinstance(event, Answer):
            self._answered(event)
        elif isinstance(event, str):
            if event == SHUTDOWN:
                self.ending.set()
        else:
            self._heard_s = asyncio.get_running_loop().time()
            if isinstance(event, KlineEvent):
                self._silence.heard(event.symbol, event.interval)
            else:
                self._silence.heard(event.ticker.symbol, "")
            self._on_event(event)

    def _answered(self, answer: Answer) -> None:
        command = self._unanswered.pop(answer.command, None)
        self._asked_s = asyncio.get_running_loop().time()
        if answer.error:
            self._on_refused(FeedError("command_refused", answer.error))
            if command is not None and command.method == "SUBSCRIBE":
                self._halve(command)
        self._ready_if_done()

    def _halve(self, command: Command) -> None:
        """Subscribe in two parts what was refused as a whole: one delisted pair must not cost the others."""
        middle = len(command.names) // 2
        if middle:
            self._command(command.method, command.names[:middle])
            self._command(command.method, command.names[middle:])
        else:
            self._silence.drop(command.names)

    def _ready_if_done(self) -> None:
        if not self._unanswered and not self._commands:
            self.ready.set()
