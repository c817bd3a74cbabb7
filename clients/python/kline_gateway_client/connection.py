"""The life of one connection to the stream: connect, notice that it died, wait, connect again.

It knows no channels and folds nothing: what comes goes to the desk, what the desk wants said is sent.
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

from kline_gateway_client import decode as wire
from kline_gateway_client.errors import BadMessage, GatewayError, Refused, error_of
from kline_gateway_client.retry import Patience, is_final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from websockets.asyncio.client import ClientConnection

    from kline_gateway_client.subscriptions import Desk

logger = logging.getLogger("kline_gateway_client")

SILENCE_S = 15.0
"""Three heartbeats."""
MESSAGE_MAX_BYTES = 16 << 20
RECEIVE_BUFFER_BYTES = 1 << 16
"""Small, so that what waits while the program is busy is not much: the gateway sends newer values instead."""

_FATAL_STATUS = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "REFUSED"}


class Link:
    """`offline` says why there is no connection; "" while there is one."""

    def __init__(
        self, url: str, desk: Desk, headers: Callable[[], Mapping[str, str]], *, compact: bool, timeout_s: float
    ) -> None:
        self.offline = "connecting"
        self.offline_since_ms: int | None = None
        self.heard_s: float | None = None
        """When anything last came, on the monotonic clock."""
        self._url = url
        self._desk = desk
        self._headers = headers
        self._subprotocols = [Subprotocol(name) for name in ((wire.COMPACT, wire.JSON) if compact else (wire.JSON,))]
        self._timeout_s = timeout_s
        self._wake = asyncio.Event()
        self._patience = Patience()
        self._was_up = False

    def wake(self) -> None:
        """The desk may have something to say."""
        self._wake.set()

    async def run(self) -> None:
        """Runs until it is cancelled; raises `GatewayError` when the gateway does not want this client back."""
        while True:
            began_s = time.monotonic()
            close_code, retry_after_s = None, 0.0
            try:
                reason, close_code = await self._connection()
            except InvalidStatus as error:
                reason, retry_after_s = self._refusal(error)
            except (InvalidHandshake, OSError, EOFError) as error:
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
            if is_final(close_code):
                raise _final(reason, close_code)
            # What did not get as far as the gateway's hello did not live.
            lived_s = time.monotonic() - began_s if not self.offline else 0.0
            if not self.offline or self.offline_since_ms is None:
                self.offline_since_ms = time.time_ns() // 1_000_000
            self.offline = reason
            wait_s = self._patience.wait_s(lived_s, close_code, retry_after_s, random.random())
            logger.warning("%s: %s; connecting again in %.1f s", self._url, reason, wait_s)
            await asyncio.sleep(wait_s)

    async def _connection(self) -> tuple[str, int | None]:
        """One connection, from handshake to end; returns why it ended, and the gateway's close code."""
        connecting = connect(
            self._url,
            subprotocols=self._subprotocols,
            additional_headers=self._headers(),
            compression=None,
            open_timeout=self._timeout_s,
            # The gateway's heartbeats tell that it lives; it does the pinging.
            ping_interval=None,
            close_timeout=1.0,
            max_size=MESSAGE_MAX_BYTES,
        )
        async with connecting as connection:
            found: socket.socket = connection.transport.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            self._desk.connected()
            reason, code, fatal = "", None, None
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._send(connection))
                    await self._receive(connection)
            except* ConnectionClosed as closed:
                end = _first(closed)
                assert isinstance(end, ConnectionClosed)
                code = end.rcvd.code if end.rcvd is not None else None
                reason = f"closed: {code} {end.rcvd.reason}".rstrip() if end.rcvd else "the connection broke"
            except* TimeoutError:
                reason = f"nothing came for {SILENCE_S:g} s"
            except* BadMessage as bad:
                reason = f"a message that makes no sense: {_first(bad)}"
            except* GatewayError as refused:
                fatal = _first(refused)
            if fatal is not None:
                raise fatal
            return reason, code

    async def _receive(self, connection: ClientConnection) -> None:
        desk, loop = self._desk, asyncio.get_running_loop()
        async with asyncio.timeout(SILENCE_S) as silence:
            while True:
                text = await connection.recv()
                now_s = loop.time()
                self.heard_s = time.monotonic()
                silence.reschedule(now_s + SILENCE_S)
                try:
                    message = wire.decoded(text)
                except ValueError as error:
                    raise BadMessage(str(error)) from error
                desk.hear(message, now_s, random.random())
                if self.offline and desk.greeted:
                    self._up()
                if desk.due_in_s(now_s) is not None:
                    self._wake.set()

    async def _send(self, connection: ClientConnection) -> None:
        desk, loop = self._desk, asyncio.get_running_loop()
        while True:
            self._wake.clear()
            for command in desk.commands(loop.time()):
                await connection.send(command)
            try:
                async with asyncio.timeout(desk.due_in_s(loop.time())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _up(self) -> None:
        if self.offline_since_ms is not None:
            logger.warning("%s: connected again", self._url)
        self.offline, self.offline_since_ms, self._was_up = "", None, True

    def _refusal(self, error: InvalidStatus) -> tuple[str, float]:
        """What an HTTP answer instead of a connection means: why, and how long to wait at least."""
        status = error.response.status_code
        code = _FATAL_STATUS.get(status)
        # A proxy in front of a gateway that restarts may say anything, but who may come in is the gateway's word.
        if code is not None and (status in (401, 403) or not self._was_up):
            raise error_of(code, f"{self._url} answers {status}") if code != "REFUSED" else Refused(str(error))
        after = error.response.headers.get("Retry-After", "")
        return f"the gateway answers {status}", min(float(after), 60.0) if after.isdigit() else 0.0


def _final(reason: str, close_code: int | None) -> GatewayError:
    return error_of("UNAUTHORIZED", reason) if close_code == 4004 else Refused(reason)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
