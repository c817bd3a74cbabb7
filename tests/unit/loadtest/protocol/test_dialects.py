from __future__ import annotations

import pytest

from loadtest.feeder.ticker_feed import ticker_json
from loadtest.protocol.dialects import BINANCE, COMPACT, DIALECTS, NATIVE, NATS, PLAIN
from loadtest.protocol.websocket import PING, TEXT, frame_header, scan

TICKER = ticker_json("S001USDT", "10000001", "0002").encode()


def count_tickers(name: str, payload: bytes) -> int:
    framed = bytearray(b"head[,," + payload + b"[,,tail")
    return DIALECTS[name].count_tickers(framed, 7, 7 + len(payload))[0]


@pytest.mark.parametrize(
    ("name", "payload", "count"),
    [
        ("native", b'{"op":"update","t":1,"u":[[17,{"c":1.5,"v":2}],[18,{"c":3,"E":9,"P":1}]]}', 2),
        ("binance", b'{"stream":"s1@miniTicker","data":{"e":"24hrMiniTicker","s":"S1","c":"1.5"}}', 1),
        ("plain", TICKER, 1),
        ("nats", b"MSG ticker:S001USDT 1 181\r\n%b\r\nMSG ticker:S001USDT 1 181\r\n%b\r\n" % (TICKER, TICKER), 2),
        ("compact", b"[1732310070123,17,97123.45]", 1),
        ("compact", b"[1732310070123,17,97123.45,18,[3100.2,3010.1,3150,2990.5,81234.5,251234567.1,912345]]", 2),
        ("compact", b"[1732310070123,18,[3100.2,3010.1,3150,2990.5,null,null,null],17,5,19,6]", 3),
    ],
)
def test_ticker_updates_are_counted_without_decoding(name: str, payload: bytes, count: int) -> None:
    assert count_tickers(name, payload) == count
    assert len(DIALECTS[name].updates(payload)) == count


def test_native_updates() -> None:
    ((number, news),) = NATIVE.updates(b'{"op":"update","t":1,"u":[[17,{"close":1.5}]]}')

    assert (number, news) == (17, {"close": 1.5})
    assert NATIVE.message(b'{"op":"hello"}') == {"op": "hello"}
    assert NATIVE.count_all is not None
    assert NATIVE.count_all(bytearray(b'[3,{"c":1}],[4,{"isClosed":true}]'), 0, 34) == (1, 1)


def test_compact_updates_have_native_names() -> None:
    payload = b"[9,1,97.5,2,[1,2,3,4,5,6,7],3,[60000,1,3,1,2,8,9,10,1],3,[120000,2,2,2,2,0,0,0,2]]"

    assert COMPACT.updates(payload) == [
        (1, {"c": 97.5, "close": 97.5}),
        (2, {"c": 1, "close": 4}),
        (3, {"openTime": 60000, "close": 2, "volume": 8, "isClosed": True}),
        (3, {"openTime": 120000, "close": 2, "volume": 0, "isClosed": False}),
    ]


def test_binance_events_are_named_like_the_subscribed_channels() -> None:
    asked = BINANCE.subscribe(3, ["ticker:S001USDT"], 0, {})
    payload = b'{"stream":"s001usdt@miniTicker","data":{"e":"24hrMiniTicker","s":"S001USDT","c":"10000001.0002"}}'

    assert asked == {"method": "SUBSCRIBE", "params": ["s001usdt@miniTicker"], "id": 3}
    assert BINANCE.updates(payload) == [("ticker:S001USDT", {"c": 10000001.0002})]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b'{"result":null,"id":3}', {"op": "subscribed", "channels": {}}),
        (b'{"error":{"code":2,"msg":"Invalid request"},"id":3}', {"op": "error", "code": "BINANCE_2"}),
        (b'{"e":"serverShutdown","E":1}', {"op": "serverShutdown"}),
        (b'{"u":1,"s":"S1"}', {"op": "event"}),
    ],
)
def test_binance_replies_have_native_shapes(payload: bytes, message: dict[str, object]) -> None:
    assert BINANCE.message(payload) == message


def test_no_other_message_begins_like_an_update() -> None:
    for dialect in DIALECTS.values():
        assert not b'{"op":"snapshot"'.startswith(dialect.update_prefix)
        assert not b'{"op":"heartbeat"'.startswith(dialect.update_prefix)


def served(payload: bytes, opcode: int = TEXT) -> bytes:
    return frame_header(opcode, len(payload), mask=None) + payload


@pytest.mark.parametrize("symbol", ["S001USDT", "S12345USDT"])
def test_a_row_of_plain_tickers_is_counted_by_one_match(symbol: str) -> None:
    ticker = ticker_json(symbol, "10000001", "0002").encode()
    row = served(ticker) * 3
    data = bytearray(row + served(b"", PING) + served(ticker) + served(ticker)[:-1])

    assert PLAIN.run_pattern is not None
    found = PLAIN.run_pattern.match(data)
    assert found is not None
    assert found.end() == len(row)
    used, frames, tickers, _, others = scan(
        data, len(data), PLAIN.update_prefix, PLAIN.count_tickers, PLAIN.run_pattern, PLAIN.opcode
    )
    assert (used, frames, tickers) == (len(data) - len(served(ticker)) + 1, 4, 4)
    assert others == [(PING, b"")]


def test_plain_tickers_are_named_like_the_channels() -> None:
    assert PLAIN.updates(TICKER) == [("ticker:S001USDT", {"c": 10000001.0002})]
    assert PLAIN.message(b'{"op":"subscribed","channels":{}}') == {"op": "subscribed", "channels": {}}


def test_nats_messages_come_in_binary_frames() -> None:
    message = b"MSG ticker:S001USDT 1 181\r\n" + TICKER + b"\r\n"
    data = bytearray(served(b"PONG\r\n", NATS.opcode) + served(message * 2, NATS.opcode) + served(message))

    _, frames, tickers, _, others = scan(data, len(data), NATS.update_prefix, NATS.count_tickers, None, NATS.opcode)

    assert (frames, tickers) == (1, 2)
    assert others == [(NATS.opcode, b"PONG\r\n"), (TEXT, message)]
    assert scan(data, len(data), NATS.update_prefix, None, None, NATS.opcode)[4][1] == (NATS.opcode, message * 2)


def test_nats_connects_before_its_first_subscriptions() -> None:
    first, second = (NATS.encode(NATS.subscribe(id, ["ticker:A", "ticker:B"], 0, {})) for id in (0, 200))

    assert first.startswith(b"CONNECT {")
    assert first.endswith(b"\r\nSUB ticker:A 1\r\nSUB ticker:B 2\r\nPING\r\n")
    assert second == b"SUB ticker:A 201\r\nSUB ticker:B 202\r\nPING\r\n"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"PONG\r\n", {"op": "subscribed", "channels": {}}),
        (b'INFO {"server_id":"N"} \r\n', {"op": "info"}),
        (b"-ERR 'Slow Consumer'\r\n", {"op": "error", "code": "'Slow Consumer'"}),
    ],
)
def test_what_a_nats_server_says_of_itself(payload: bytes, message: dict[str, object]) -> None:
    assert NATS.message(payload) == message
