"""Fuzz targets: each takes any bytes and must not raise. Refusing input with the error made for it is caught here;
every other exception is a finding."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.delivery.close_codes import Close
from gateway.delivery.commands import CommandError
from gateway.feed.decode import FeedError, decode_stored_kline, decode_stored_ticker
from gateway.model.interval import INTERVALS
from gateway.model.symbol import SymbolRule
from gateway.protocol import phoenix
from gateway.protocol.binance_commands import RequestError, StreamNames, decode, error_frame, result, stream_names
from gateway.protocol.deflate import negotiate
from gateway.protocol.frame import CLOSE, FrameError, FrameParser, Message, parse_close
from gateway.protocol.native import NativeDialect, ticker_json
from gateway.protocol.native_commands import NativeCommands

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 512
CLOSE_CODES = frozenset(
    reason.code for reason in (Close.PROTOCOL_ERROR, Close.UNSUPPORTED, Close.BAD_PAYLOAD, Close.POLICY, Close.TOO_BIG)
)

_COMMANDS = NativeCommands(SymbolRule(), INTERVALS, 500)
_STREAMS = StreamNames(SymbolRule(), INTERVALS)
_DIALECT = NativeDialect()
_TOPICS = phoenix.Topics(SymbolRule(), INTERVALS)
_REALTIME = [phoenix.PhoenixDialect((), arrays=arrays, prefix="") for arrays in (False, True)]


def native_commands(data: bytes) -> None:
    """A command is decoded or refused, and the refusal can be encoded."""
    try:
        _COMMANDS.decode(data)
    except CommandError as error:
        _DIALECT.error(error)


def binance_commands(data: bytes) -> None:
    """A request and each name in it is parsed or refused, and both replies can be encoded."""
    try:
        request = decode(data)
        result(request.id, None)
        for name in stream_names(request.params):
            if stream := _STREAMS.parse(name):
                assert _STREAMS.parse(stream.name) == stream, "a stream name does not parse to itself"
    except RequestError as error:
        error_frame(error)


def phoenix_messages(data: bytes) -> None:
    """A message is decoded or passed over; its topic is parsed, and the replies in both versions can be encoded."""
    message = phoenix.decode(data)
    if message is None:
        return
    if topic := _TOPICS.parse(message.topic):
        assert _TOPICS.parse(topic.prefix + topic.channel) == topic, "a topic does not parse to itself"
    for dialect in _REALTIME:
        assert dialect.reply(message)
        assert dialect.reply(message, "no")
        assert dialect.system(message.topic, "no")


def feed_tickers(data: bytes) -> None:
    """An accepted ticker encodes to valid JSON."""
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
    """Bytes from a client: the first two decide about compression and where the rest is split."""
    deflate, cut = bool(data[:1] and data[0] & 1), data[1] if len(data) > 1 else 0
    rest = data[2:]
    whole = _parse([rest], deflate=deflate)
    assert whole == _parse([rest[:cut], rest[cut:]], deflate=deflate), "the result depends on how the bytes are split"
    messages, code = whole
    assert code is None or code in CLOSE_CODES
    assert all(len(message.payload) <= MAX_BYTES for message in messages)


def offers(data: bytes) -> None:
    """A client's `Sec-WebSocket-Extensions`; the answer must fit into a header."""
    answer = negotiate(data.decode("latin-1"))
    assert answer is None or (answer.isascii() and answer.isprintable() and len(answer) < 200)


def _parse(pieces: list[bytes], *, deflate: bool) -> tuple[list[Message], int | None]:
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
        return messages, error.close.code
    return messages, None


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        native_commands,
        binance_commands,
        phoenix_messages,
        feed_tickers,
        feed_klines,
        frames,
        offers,
    )
}
