"""What is fuzzed: each target takes any bytes and raises nothing, whatever they are. What a target may do with hostile
input (refuse it, with the error that is made for that) is caught here; everything else is a finding."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.delivery.commands import CommandError
from gateway.feed.decode import FeedError, decode_stored_kline, decode_stored_ticker
from gateway.model.interval import INTERVALS
from gateway.model.symbol import SymbolRule
from gateway.protocol.binance_commands import RequestError, StreamNames, decode, error_frame, result
from gateway.protocol.deflate import negotiate
from gateway.protocol.frame import CLOSE, FrameError, FrameParser, Message, parse_close
from gateway.protocol.native import NativeDialect, ticker_json
from gateway.protocol.native_commands import NativeCommands

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 512
CLOSE_CODES = frozenset({1002, 1003, 1007, 1008, 1009})

_COMMANDS = NativeCommands(SymbolRule(), INTERVALS, 500)
_STREAMS = StreamNames(SymbolRule(), INTERVALS)
_DIALECT = NativeDialect()


def native_commands(data: bytes) -> None:
    """A command is typed or refused, and the refusal can be said."""
    try:
        _COMMANDS.decode(data)
    except CommandError as error:
        _DIALECT.error(error)


def binance_commands(data: bytes) -> None:
    """A request is taken apart or refused; so is each name in it, and both answers can be said."""
    try:
        request = decode(data)
        result(request.id, None)
        for name in request.params:
            stream = _STREAMS.parse(name, request.id)
            assert _STREAMS.parse(stream.name) == stream, "a name that does not mean itself"
    except RequestError as error:
        error_frame(error)


def feed_tickers(data: bytes) -> None:
    """What passes is JSON again, to the digit."""
    try:
        ticker = decode_stored_ticker(data, "BTCUSDT", 1_732_310_040_000)
    except FeedError:
        return
    json.loads(ticker_json(ticker))


def feed_klines(data: bytes) -> None:
    try:
        kline = decode_stored_kline(data, "BTCUSDT", "1m")
    except FeedError:
        return
    if kline is None:
        return
    assert kline.open_time_ms % 60_000 == 0
    for text in (kline.open, kline.high, kline.low, kline.close, kline.volume):
        json.loads(text)


def frames(data: bytes) -> None:
    """Bytes of a client: the first two say whether compression was agreed, and where the rest is cut."""
    deflate, cut = bool(data[:1] and data[0] & 1), data[1] if len(data) > 1 else 0
    rest = data[2:]
    whole = _heard([rest], deflate=deflate)
    assert whole == _heard([rest[:cut], rest[cut:]], deflate=deflate), "it matters how the bytes are cut"
    messages, code = whole
    assert code is None or code in CLOSE_CODES
    assert all(len(message.payload) <= MAX_BYTES for message in messages)


def offers(data: bytes) -> None:
    """A client's `Sec-WebSocket-Extensions`; the answer must fit into a header."""
    answer = negotiate(data.decode("latin-1"))
    assert answer is None or (answer.isascii() and answer.isprintable() and len(answer) < 200)


def _heard(pieces: list[bytes], *, deflate: bool) -> tuple[list[Message], int | None]:
    parser = FrameParser(MAX_BYTES, deflate=deflate)
    messages: list[Message] = []
    try:
        for piece in pieces:
            parser.feed(piece)
            while (message := parser.next_message()) is not None:
                messages.append(message)
                if message.opcode == CLOSE:
                    parse_close(message.payload)
                    return messages, None
    except FrameError as error:
        return messages, error.code
    return messages, None


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (native_commands, binance_commands, feed_tickers, feed_klines, frames, offers)
}
