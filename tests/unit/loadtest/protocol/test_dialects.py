from __future__ import annotations

import pytest

from loadtest.protocol.dialects import BINANCE, COMPACT, DIALECTS, NATIVE


def count_tickers(name: str, payload: bytes) -> int:
    framed = bytearray(b"head[,," + payload + b"[,,tail")
    return DIALECTS[name].count_tickers(framed, 7, 7 + len(payload))[0]


@pytest.mark.parametrize(
    ("name", "payload", "count"),
    [
        ("native", b'{"op":"update","t":1,"u":[[17,{"c":1.5,"v":2}],[18,{"c":3,"E":9,"P":1}]]}', 2),
        ("binance", b'{"stream":"s1@miniTicker","data":{"e":"24hrMiniTicker","s":"S1","c":"1.5"}}', 1),
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
