"""The connection to the stream: connects, detects that the peer is gone, waits, connects again.

Knows no channels: it passes messages to `Subscriptions` and sends the commands that come from there.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from kline_gateway_client.codec import COMPACT, JSON, decode_json
from kline_gateway_client.errors import BadMessage, GatewayError, Refused, error_of
from kline_gateway_client.retry import ReconnectDelay, is_final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from websockets.asyncio.client import ClientConnection

    from kline_gateway_client.subscriptions import Subscriptions

logger = logging.getLogger("kline_gateway_client")

SILENCE_S = 15.0
"""A connection without a message for this long is dead: the gateway sends a heartbeat every 5 s."""
MESSAGE_MAX_BYTES = 16 << 20
RECEIVE_BUFFER_BYTES = 1 << 16
"""Small, so that little waits in it while the program is busy: the gateway then sends newer values instead."""
RETRY_AFTER_MAX_S = 60.0

_FATAL_STATUS = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "REFUSED"}


class Connection:
    """Keeps a gateway's stream connected. `offline` is the reason while there is no connection, else ""."""

    def __init__(
        self,
        url: str,
        subscriptions: Subscriptions,
        headers: Callable[[], Mapping[str, str]],
        *,
        compact: bool,
        timeout_s: float,
    ) -> None:
        self.offline = "connecting"
        self.offline_since_ms: int | None = None
        self.last_message_s: float | None = None
        """When the last message arrived, on the monotonic clock; None: there was none."""
        self._url = url
        self._subscriptions = subscriptions
        self._headers = headers
        self._subprotocols = [Subprotocol(name) for name in ((COMPACT, JSON) if compact else (JSON,))]
        self._timeout_s = timeout_s
        self._wake = asyncio.Event()
        self._reconnect_delay = ReconnectDelay()
        self._hello_s = 0.0
        self._was_connected = False

    def wake(self) -> None:
        """Send the commands that the subscriptions have by now."""
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled; raises `GatewayError` if the gateway forbids reconnecting."""
        while True:
            close_code, retry_after_s = None, 0.0
            try:
                reason, close_code = await self._connect()
            except InvalidStatus as error:
                reason, retry_after_s = self._refusal(error)
            except (InvalidHandshake, OSError, EOFError) as error:
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
            if is_final(close_code):
                raise _final_error(reason, close_code)
            # A connection that ended before the gateway's hello does not count as connected.
            connected_s = time.monotonic() - self._hello_s if not self.offline else 0.0
            if not self.offline or self.offline_since_ms is None:
                self.offline_since_ms = time.time_ns() // 1_000_000
            self.offline = reason
            planned_s, self._subscriptions.planned_s = self._subscriptions.planned_s, None
            wait_s = self._reconnect_delay.wait_s(connected_s, close_code, retry_after_s, random.random(), planned_s)
            logger.warning("disconnected url=%s reason=%r retry_s=%.1f", self._url, reason, wait_s)
            await asyncio.sleep(wait_s)

    async def _connect(self) -> tuple[str, int | None]:
        """One connection from handshake to end; returns why it ended, and the gateway's close code."""
        connecting = connect(
            self._url,
            subprotocols=self._subprotocols,
            additional_headers=self._headers(),
            compression=None,
            open_timeout=self._timeout_s,
            # The gateway's heartbeats show that it lives; it sends the pings.
            ping_interval=None,
            close_timeout=1.0,
            max_size=MESSAGE_MAX_BYTES,
        )
        async with connecting as websocket:
            raw_socket: socket.socket = websocket.transport.get_extra_info("socket")
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            self._subscriptions.reset()
            reason, code, fatal = "", None, None
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._send(websocket))
                    await self._receive(websocket)
            except* ConnectionClosed as group:
                closed = _first(group)
                assert isinstance(closed, ConnectionClosed)
                code = closed.rcvd.code if closed.rcvd is not None else None
                reason = f"closed: {code} {closed.rcvd.reason}".rstrip() if closed.rcvd else "the connection broke"
            except* TimeoutError:
                reason = f"no message for {SILENCE_S:g} s"
            except* BadMessage as group:
                reason = f"invalid message: {_first(group)}"
            except* GatewayError as group:
                fatal = _first(group)
            if fatal is not None:
                raise fatal
            return reason, code

    async def _receive(self, websocket: ClientConnection) -> None:
        subscriptions, loop = self._subscriptions, asyncio.get_running_loop()
        async with asyncio.timeout(SILENCE_S) as silence:
            while True:
                text = await websocket.recv()
                now_s = loop.time()
                self.last_message_s = time.monotonic()
                silence.reschedule(now_s + SILENCE_S)
                try:
                    message = decode_json(text)
                except ValueError as error:
                    raise BadMessage(str(error)) from error
                subscriptions.receive(message, now_s, random.random())
                if self.offline and subscriptions.hello_received:
                    self._connected()
                if subscriptions.next_command_in_s(now_s) is not None:
                    self._wake.set()

    async def _send(self, websocket: ClientConnection) -> None:
        subscriptions, loop = self._subscriptions, asyncio.get_running_loop()
        while True:
            self._wake.clear()
            for command in subscriptions.commands(loop.time()):
                await websocket.send(command)
            try:
                async with asyncio.timeout(subscriptions.next_command_in_s(loop.time())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _connected(self) -> None:
        if self.offline_since_ms is not None:
            logger.warning("reconnected url=%s", self._url)
        self.offline, self.offline_since_ms, self._was_connected = "", None, True
        self._hello_s = time.monotonic()

    def _refusal(self, error: InvalidStatus) -> tuple[str, float]:
        """What an HTTP status instead of a connection means: the reason, and the least time to wait.

        Raises `GatewayError` if a retry cannot succeed.
        """
        status = error.response.status_code
        code = _FATAL_STATUS.get(status)
        # A proxy may answer anything while the gateway behind it restarts; 401 and 403 come from the gateway itself.
        if code is not None and (status in (401, 403) or not self._was_connected):
            if code == "REFUSED":
                raise Refused(str(error))
            raise error_of(code, f"{self._url} answered with HTTP status {status}")
        after = error.response.headers.get("Retry-After", "")
        retry_after_s = min(float(after), RETRY_AFTER_MAX_S) if after.isdigit() else 0.0
        return f"the gateway answered with HTTP status {status}", retry_after_s


def _final_error(reason: str, close_code: int | None) -> GatewayError:
    return error_of("UNAUTHORIZED", reason) if close_code == 4004 else Refused(reason)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
