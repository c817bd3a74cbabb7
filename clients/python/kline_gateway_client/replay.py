"""A replay: what the gateway's archive has of some channels, in the order in which it happened.

It has a connection of its own, which is not made again: a program begins a replay that was interrupted anew, or from
where it was.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from kline_gateway_client.codec import JSON, decode_json, encode_set, encode_subscribe
from kline_gateway_client.connection import MESSAGE_MAX_BYTES, SILENCE_S
from kline_gateway_client.errors import GatewayError, Refused, Unreachable, error_of
from kline_gateway_client.subscriptions import PROTOCOL
from kline_gateway_client.views import KlineView, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from websockets.asyncio.client import ClientConnection

    from kline_gateway_client.values import Kline, Ticker
    from kline_gateway_client.views import View

_SET, _SUBSCRIBE = 1, 2


class Replay:
    """An asynchronous iterator for one task: use it as `async with client.replay(...) as replay`.

    Its values come one after the other, none is left out, and market time waits for the program: it may take as long as
    it needs for each, as long as it does not block the event loop for a minute.
    """

    def __init__(
        self,
        url: str,
        headers: Callable[[], Mapping[str, str]],
        channels: Sequence[str],
        *,
        history: int,
        closed_only: bool,
        timeout_s: float,
    ) -> None:
        self.market_ms: int | None = None
        """The market's time, in ms since the epoch, at which the last value happened; None: there was none yet."""
        self.end: str | None = None
        """Why it has ended: it has come to its end (`to`) or to the present (`present`). None: it has not."""
        self._url = url
        self._headers = headers
        self._names = channels
        self._history = history
        self._settings = {"event_times": True, "closed_only": closed_only}
        self._timeout_s = timeout_s
        self._websocket: ClientConnection | None = None
        self._views: dict[int, View] = {}
        self._values: deque[tuple[int, Kline | Ticker]] = deque()
        self._snapshots = 0
        self._start_ms = 0

    async def __aenter__(self) -> Self:
        try:
            self._websocket = await connect(
                self._url,
                subprotocols=[Subprotocol(JSON)],
                additional_headers=self._headers(),
                compression=None,
                open_timeout=self._timeout_s,
                ping_interval=None,
                close_timeout=1.0,
                max_size=MESSAGE_MAX_BYTES,
            )
        except InvalidStatus as error:
            raise _refusal(error) from None
        except (InvalidHandshake, OSError, EOFError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        try:
            await self._websocket.send(encode_set(_SET, self._settings))
            await self._websocket.send(encode_subscribe(_SUBSCRIBE, self._names, self._history, {}))
            # Nothing happens before all channels have their snapshots.
            while self._snapshots < len(self._names):
                await self._receive()
            self._values = deque(sorted(self._values, key=lambda one: one[0]))
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the replay."""
        if self._websocket is not None:
            await self._websocket.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Kline | Ticker:
        while not self._values:
            if self.end is not None:
                raise StopAsyncIteration
            await self._receive()
        self.market_ms, value = self._values.popleft()
        return value

    async def _receive(self) -> None:
        """Take one message. Raises `GatewayError`."""
        if self._websocket is None:
            raise RuntimeError("use it as `async with client.replay(...) as replay`")
        try:
            async with asyncio.timeout(SILENCE_S):
                message = decode_json(await self._websocket.recv())
            self._apply(message)
        except ConnectionClosed as closed:
            code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (None, "the connection broke")
            raise Unreachable(f"the replay was interrupted: {code or ''} {reason}") from None
        except TimeoutError:
            raise Unreachable(f"no message for {SILENCE_S:g} s") from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise Refused(f"a message that the protocol does not allow: {error}") from error

    def _apply(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"op": "update", "t": at_ms, "u": updates}:
                for number, update in updates:
                    if (view := self._views.get(int(number))) is not None:
                        self._add(int(at_ms), view.fold(update) or view.newest)
            case {"op": "snapshot", "n": number}:
                self._snapshot(self._views[int(number)], message)
            case {"op": "subscribed", "channels": results, "time": start_ms}:
                self._start_ms = int(start_ms)
                for name, result in results.items():
                    if "error" in result:
                        raise error_of(result["error"]["code"], f"{name}: {result['error']['message']}")
                    self._views[int(result["n"])] = view_of(name)
            case {"op": "error", "code": code, "message": text}:
                raise error_of(code, text)
            case {"op": "replay_end", "reason": reason}:
                self.end = str(reason)
            case {"op": "hello", "protocol": protocol} if protocol != PROTOCOL:
                raise Refused(f"the gateway speaks version {protocol} of the protocol, this client {PROTOCOL}")

    def _snapshot(self, view: View, message: Mapping[str, Any]) -> None:
        self._snapshots += 1
        if not isinstance(view, KlineView):
            view.snapshot(message)
            self._add(self._start_ms, view.newest)
            return
        snapshot = view.snapshot(message, None)
        for kline in snapshot.closed:
            self._add(kline.close_time_ms + 1, kline)
        if not self._settings["closed_only"]:
            self._add(self._start_ms, snapshot.forming)

    def _add(self, at_ms: int, value: Kline | Ticker | None) -> None:
        if value is not None:
            self._values.append((at_ms, value))


def _refusal(error: InvalidStatus) -> GatewayError:
    """What the gateway has answered instead of a connection."""
    try:
        answer = json.loads(error.response.body)
        return error_of(str(answer["code"]), str(answer["error"]))
    except (ValueError, LookupError, TypeError):
        return Unreachable(f"the gateway answered with HTTP status {error.response.status_code}")
