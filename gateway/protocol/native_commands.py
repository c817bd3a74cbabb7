"""The native protocol's commands: a client's text -> typed command, or a `CommandError`. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson

from gateway.delivery.commands import (
    Authenticate,
    ChannelName,
    CommandError,
    ListChannels,
    Ping,
    SetProfile,
    Subscribe,
    Unsubscribe,
)
from gateway.delivery.throttle import FAST_LATENCY_MS
from gateway.model.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.delivery.commands import Command, CommandId
    from gateway.model.symbol import SymbolRule

ID_MAX = 64
BYTES_PER_MIN_MIN = 10_000
"""Less would not carry the heartbeats and closed klines of a few channels."""


class NativeCommands:
    """Decodes commands, and refuses symbols, intervals and numbers that this gateway does not serve."""

    def __init__(self, symbols: SymbolRule, intervals: Collection[str], history_max: int) -> None:
        self._symbols = symbols
        self._intervals = frozenset(intervals)
        self.history_max = history_max
        """Most closed klines that a subscription may ask for."""

    def decode(self, text: bytes) -> Command:
        """The command in a message; raises `CommandError`."""
        try:
            data = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise CommandError(ErrorCode.BAD_JSON, f"Invalid JSON: {error}") from error
        if not isinstance(data, dict):
            raise CommandError(ErrorCode.BAD_REQUEST, "A command must be a JSON object.")
        id = _id(data)
        match data.get("op"):
            case "subscribe":
                return self._subscribe(id, data)
            case "unsubscribe":
                return Unsubscribe(id, _names(id, data))
            case "list":
                return ListChannels(id)
            case "set":
                return _profile(id, data)
            case "ping":
                return Ping(id)
            case "auth":
                if not isinstance(token := data.get("token"), str):
                    raise CommandError(ErrorCode.BAD_REQUEST, "token must be a string.", id)
                return Authenticate(id, token)
            case str() as op:
                raise CommandError(ErrorCode.UNKNOWN_OP, f"Unknown op {op[:32]!r}.", id)
            case _:
                raise CommandError(ErrorCode.BAD_REQUEST, "op must be a string.", id)

    def channel(self, text: str) -> ChannelName | CommandError:
        """The parts of a channel's name, or the error in it."""
        match text.split(":"):
            case ["ticker", symbol]:
                interval = ""
            case ["kline", symbol, interval]:
                if interval not in self._intervals:
                    return CommandError(ErrorCode.INVALID_INTERVAL, f"Unsupported interval {interval[:8]!r}.")
            case _:
                return CommandError(ErrorCode.INVALID_CHANNEL, ErrorCode.INVALID_CHANNEL.message)
        if not self._symbols.admits(symbol):
            return CommandError(ErrorCode.INVALID_SYMBOL, f"Invalid symbol {symbol[:32]!r}.")
        return ChannelName(text, symbol, interval)

    def _subscribe(self, id: CommandId, data: dict[str, Any]) -> Subscribe:
        names = _names(id, data)
        history = data.get("history", 0)
        if type(history) is not int or not 0 <= history <= self.history_max:
            raise CommandError(ErrorCode.BAD_REQUEST, f"history must be an integer from 0 to {self.history_max}.", id)
        resume = data.get("resume", {})
        if not isinstance(resume, dict) or not all(type(value) is int and value >= 0 for value in resume.values()):
            raise CommandError(ErrorCode.BAD_REQUEST, "resume must be an object of open times in ms by channel.", id)
        return Subscribe(id, {name: self.channel(name) for name in names}, history, resume)


def id_of(text: bytes) -> CommandId:
    """The id of a command that is not executed, so that its client can match the reply; `None` where it has none."""
    try:
        data = orjson.loads(text)
        return _id(data) if isinstance(data, dict) else None
    except (orjson.JSONDecodeError, CommandError):
        return None


def _id(data: dict[str, Any]) -> CommandId:
    id = data.get("id")
    if id is None or (type(id) is int and abs(id) < 1 << 63) or (isinstance(id, str) and len(id) <= ID_MAX):
        return id
    raise CommandError(
        ErrorCode.BAD_REQUEST, f"id must be a 64-bit integer or a string of at most {ID_MAX} characters."
    )


def _names(id: CommandId, data: dict[str, Any]) -> list[str]:
    names = data.get("channels")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise CommandError(ErrorCode.BAD_REQUEST, "channels must be a list of at least one name.", id)
    return list(dict.fromkeys(names))


def _profile(id: CommandId, data: dict[str, Any]) -> SetProfile:
    max_rate: float | None = None
    if "max_rate" in data:
        value = data["max_rate"]
        if value is not None and (type(value) not in (int, float) or not 0 < value < math.inf):
            raise CommandError(ErrorCode.BAD_REQUEST, "max_rate must be a number above 0, or null for no limit.", id)
        max_rate = 0.0 if value is None else float(value)
    max_bytes: int | None = None
    if "max_bytes_per_min" in data:
        limit = data["max_bytes_per_min"]
        if limit is not None and (type(limit) is not int or limit < BYTES_PER_MIN_MIN):
            message = f"max_bytes_per_min must be an integer from {BYTES_PER_MIN_MIN}, or null for no limit."
            raise CommandError(ErrorCode.BAD_REQUEST, message, id)
        max_bytes = limit or 0
    fast: bool | None = None
    if "latency_ms" in data:
        latency_ms = data["latency_ms"]
        if latency_ms is not None and (type(latency_ms) not in (int, float) or not 0 <= latency_ms < math.inf):
            message = "latency_ms must be a number from 0, or null for no wish."
            raise CommandError(ErrorCode.BAD_REQUEST, message, id)
        fast = latency_ms is not None and latency_ms <= FAST_LATENCY_MS
    closed_only, event_times = _flag(id, data, "closed_only"), _flag(id, data, "event_times")
    return SetProfile(id, max_rate, closed_only, max_bytes, fast, event_times)


def _flag(id: CommandId, data: dict[str, Any], name: str) -> bool | None:
    """A boolean of `set`; `None` where it is absent or null."""
    flag = data.get(name)
    if flag is not None and type(flag) is not bool:
        raise CommandError(ErrorCode.BAD_REQUEST, f"{name} must be a boolean.", id)
    return flag
