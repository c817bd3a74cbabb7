"""Topics, messages of both versions, and broadcasts that clients of Supabase's Realtime understand."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.model.symbol import SymbolRule
from gateway.protocol.phoenix import PREFIX, Message, PhoenixDialect, Topic, Topics, decode
from tests.builders import T0, kline, ticker
from tests.fakes import messages


class Channel:
    """What the dialect reads of a channel."""

    name, symbol, interval = "klines:AAAUSDT:1m", "AAAUSDT", "1m"


def dialect(*, arrays: bool = False, prefix: str = PREFIX) -> PhoenixDialect:
    return PhoenixDialect([Channel()], arrays=arrays, prefix=prefix)  # type: ignore[list-item]


def only(frames: bytes) -> Any:
    (message,) = messages(frames)
    return message


TOPICS = Topics(SymbolRule(), ("1m", "1h"))


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_a_topic_names_a_series(prefix: str) -> None:
    topic = TOPICS.parse(f"{prefix}klines:BTC/USDT:1h")
    assert topic == Topic(prefix, "BTC/USDT", "1h")
    assert (topic.channel, topic.native_name) == ("klines:BTC/USDT:1h", "kline:BTC/USDT:1h")


@pytest.mark.parametrize(
    "text",
    [
        *("", "realtime:", "klines", "klines:BTCUSDT", "klines:BTCUSDT:", "klines:BTCUSDT:2m", "klines::1m"),
        *("klines:btcusdt:1m", "kline:BTCUSDT:1m", "klines:BTCUSDT:1m:x", "realtime:realtime:klines:BTCUSDT:1m"),
        *("REALTIME:klines:BTCUSDT:1m", "realtime:*", "phoenix"),
    ],
)
def test_other_texts_are_no_topics(text: str) -> None:
    assert TOPICS.parse(text) is None


JOINED = Message("realtime:x", "phx_join", {"config": {}}, "2", "1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"topic":"realtime:x","event":"phx_join","payload":{"config":{}},"ref":"2","join_ref":"1"}', JOINED),
        ('["1","2","realtime:x","phx_join",{"config":{}}]', JOINED),
        ('{"topic":"phoenix","event":"heartbeat"}', Message("phoenix", "heartbeat", {})),
        ('[null,7,"phoenix","heartbeat",[]]', Message("phoenix", "heartbeat", {}, 7)),
    ],
)
def test_messages_of_both_versions_are_read(text: str, message: Message) -> None:
    assert decode(text.encode()) == message


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{", b"\xff", b"7", b"null", b"[]", b'["1","2","t","e"]', b'["1","2","t","e",{},1]', b"{}"),
        *(b'{"topic":"t"}', b'{"topic":"","event":"e"}', b'{"topic":"t","event":7}'),
        *(b'{"topic":"t","event":"e","ref":{}}', b'{"topic":"t","event":"e","ref":true}'),
        *(b'{"topic":"t","event":"e","join_ref":""}', b'{"topic":"t","event":"e","ref":9223372036854775808}'),
        b'{"topic":"%b","event":"e"}' % (b"t" * 256),
        b'{"topic":"t","event":"e","ref":"%b"}' % (b"1" * 256),
    ],
)
def test_anything_else_is_no_message(text: bytes) -> None:
    assert decode(text) is None


@pytest.mark.parametrize(("prefix", "topic"), [("", "klines:AAAUSDT:1m"), (PREFIX, "realtime:klines:AAAUSDT:1m")])
def test_a_kline_is_a_broadcast_to_its_topic(prefix: str, topic: str) -> None:
    forming = kline(0, taker_volume="1.5", taker_quote_volume="150")
    message = only(dialect(prefix=prefix).kline(0, None, forming))
    payload = message["payload"]
    assert (message["topic"], message["event"], message["ref"]) == (topic, "broadcast", None)
    assert (payload["type"], payload["event"]) == ("broadcast", "kline_update")
    content = payload["payload"]
    assert (content["symbol"], content["timeframe"], int(content["timestamp"])) == ("AAAUSDT", "1m", T0 + 1000)
    assert content["kline"]["isClosed"] is False
    assert (content["kline"]["openTime"], content["kline"]["takerBuyBaseVolume"]) == (str(T0), "1.5")
    row = only(dialect(arrays=True, prefix=prefix).closed(0, kline(0, closed=True, event_time_ms=0)))
    assert row[:4] == [None, None, topic, "broadcast"]
    assert (row[4]["payload"]["kline"]["isClosed"], int(row[4]["payload"]["timestamp"])) == (True, T0 + 59_999)


def test_a_kline_that_has_not_changed_is_not_sent_again() -> None:
    assert dialect().kline(0, kline(0), kline(0)) == b""
    assert dialect().kline(0, kline(0), kline(0, "100 110 90 106")) != b""


def test_a_flush_is_its_frames_and_there_is_no_other_message() -> None:
    of = dialect()
    assert of.frame(b"ab", 1, spare=True) == b"ab"
    assert of.ticker(0, None, ticker("1")) == of.tickers(0, [ticker("1")]) == b""
    assert of.status({}) == of.throttle(250, "load") == of.heartbeat(1) == b""


def test_replies_have_the_refs_of_their_message() -> None:
    reply = only(dialect().reply(JOINED))
    assert reply == {
        "topic": "realtime:x",
        "event": "phx_reply",
        "payload": {"status": "ok", "response": {"postgres_changes": []}},
        "ref": "2",
    }
    refused = {"status": "error", "response": {"reason": "no"}}
    assert only(dialect(arrays=True).reply(JOINED, "no")) == ["1", "2", "realtime:x", "phx_reply", refused]
    beat = only(dialect(arrays=True).reply(Message("phoenix", "heartbeat", {}, "9")))
    assert beat == [None, "9", "phoenix", "phx_reply", {"status": "ok", "response": {}}]


def test_what_has_no_reply_is_told_by_a_system_message() -> None:
    told = only(dialect().system("realtime:x", "The token has expired."))
    assert (told["event"], told["topic"], told["ref"]) == ("system", "realtime:x", None)
    assert (told["payload"]["status"], told["payload"]["channel"]) == ("error", "x")
    assert told["payload"]["message"] == "The token has expired."
