from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.delivery.channel import View
from gateway.model.symbol import SymbolRule
from gateway.protocol.binance_commands import (
    INVALID_JSON,
    INVALID_REQUEST,
    Request,
    RequestError,
    Stream,
    StreamNames,
    decode,
    error_frame,
    id_of,
    result,
    stream_names,
)
from gateway.protocol.frame import TEXT, frame

NAMES = StreamNames(SymbolRule(), ["1s", "1m", "1h", "4h", "8h", "12h", "1d", "1w", "1M"])


def parsed(name: str) -> Stream:
    stream = NAMES.parse(name)
    assert stream is not None
    return stream


def bad(text: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode(text)
    return caught.value


def body(data: bytes) -> bytes:
    """The payload of one short text frame."""
    assert data == frame(TEXT, data[2:])
    return data[2:]


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("btcusdt@kline_1m", Stream("btcusdt@kline_1m", View.STRICT, "BTCUSDT", "1m")),
        ("1000satsusdt@kline_1M", Stream("1000satsusdt@kline_1M", View.STRICT, "1000SATSUSDT", "1M")),
        ("btcusdt@miniTicker", Stream("btcusdt@miniTicker", View.MINI, "BTCUSDT")),
        ("btcusdt@ticker", Stream("btcusdt@ticker", View.FULL, "BTCUSDT")),
        ("btcusdt@bookTicker", Stream("btcusdt@bookTicker", View.BOOK, "BTCUSDT")),
        ("!miniTicker@arr", Stream("!miniTicker@arr", View.MINI)),
        ("!miniTicker@arr@3000ms", Stream("!miniTicker@arr@3000ms", View.MINI)),
        ("!ticker@arr", Stream("!ticker@arr", View.FULL)),
        ("!ticker@arr@1000ms", Stream("!ticker@arr@1000ms", View.FULL)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_stream_name_is_parsed(name: str, stream: Stream) -> None:
    assert NAMES.parse(name) == stream


@pytest.mark.parametrize(
    ("name", "echoed"),
    [
        ("BTCUSDT@kline_1m", "BTCUSDT@kline_1m"),
        ("BTCUSDT@miniTicker", "BTCUSDT@miniTicker"),
        ("BtcUsdt@kline_1m", "btcusdt@kline_1m"),
        ("BtcUsdt@ticker", "btcusdt@ticker"),
        ("btcusdt@MINITICKER", "btcusdt@MINITICKER"),
        ("btcusdt@MiniTicker", "btcusdt@miniTicker"),
        ("btcusdt@bookticker", "btcusdt@bookticker"),
        ("btcusdt@KLINE_1m", "btcusdt@KLINE_1m"),
        ("btcusdt@Kline_1m@+08:00", "btcusdt@kline_1m@+08:00"),
    ],
)
def test_any_letter_case_is_accepted_and_uniform_case_is_echoed(name: str, echoed: str) -> None:
    stream = parsed(name)
    assert (stream.name, stream.symbol) == (echoed, "BTCUSDT")


@pytest.mark.parametrize(
    ("name", "echoed"),
    [
        ("!miniticker@arr", "!miniticker@arr"),
        ("!MINITICKER@ARR@1000MS", "!MINITICKER@ARR@1000MS"),
        ("!MiniTicker@Arr", "!miniTicker@arr"),
    ],
)
def test_arrays_are_accepted_in_any_letter_case(name: str, echoed: str) -> None:
    assert NAMES.parse(name) == Stream(echoed, View.MINI)


def test_upper_and_lower_case_name_the_same_values() -> None:
    upper, lower = parsed("BTCUSDT@kline_1m"), parsed("btcusdt@kline_1m")
    assert upper.name != lower.name
    assert (upper.view, upper.symbol, upper.interval) == (lower.view, lower.symbol, lower.interval)


def test_minute_and_month_are_different_intervals() -> None:
    assert parsed("btcusdt@kline_1m").interval == "1m"
    assert parsed("btcusdt@kline_1M").interval == "1M"


@pytest.mark.parametrize("interval", ["1s", "1m", "1h", "4h", "8h"])
def test_offset_that_moves_no_kline_is_accepted(interval: str) -> None:
    name = f"btcusdt@kline_{interval}@+08:00"
    assert NAMES.parse(name) == Stream(name, View.STRICT, "BTCUSDT", interval)


@pytest.mark.parametrize("interval", ["12h", "1d", "1w", "1M"])
def test_offset_that_moves_klines_is_refused(interval: str) -> None:
    assert parsed(f"btcusdt@kline_{interval}").interval == interval
    assert NAMES.parse(f"btcusdt@kline_{interval}@+08:00") is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "btcusdt",
        "@kline_1m",
        "btcusdt@",
        "btcusdt@kline",
        "btcusdt@kline_",
        "btcusdt@kline_7m",
        "btcusdt@kline_1H",
        "btcusdt@kline_15m",
        "btcusdt@kline_1m@+09:00",
        "btcusdt@markline_1m",
        "btcusdt@depth",
        "btcusdt@aggTrade",
        "btcusdt@arr",
        "btc usdt@ticker",
        "btc:usdt@ticker",
        "!ticker@1m",
        "!miniTicker",
        "!bookTicker@arr",
        "0",
    ],
)
def test_unknown_name_has_no_stream(name: str) -> None:
    assert NAMES.parse(name) is None


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("币安人生usdt@kline_1m", "币安人生USDT"),
        ("币安人生USDT@kline_1m", "币安人生USDT"),
        ("btc-usdt@kline_1m", "BTC-USDT"),
        ("btc/usdt@kline_1m", "BTC/USDT"),
    ],
)
def test_symbols_with_separators_and_of_other_scripts_have_streams(name: str, symbol: str) -> None:
    assert NAMES.parse(name) == Stream(name, View.STRICT, symbol, "1m")


@pytest.mark.parametrize("name", ["\u017folusdt@ticker", "btcusdt@\u212aline_1m", "!m\u0131niTicker@arr"], ids=ascii)
def test_letters_that_only_fold_to_ascii_name_no_stream(name: str) -> None:
    assert NAMES.parse(name) is None


@pytest.mark.parametrize("name", [None, 5, ["btcusdt@ticker"], {}], ids=str)
def test_stream_names_must_be_strings(name: object) -> None:
    assert stream_names(["btcusdt@ticker", "x"]) == ["btcusdt@ticker", "x"]
    with pytest.raises(RequestError) as caught:
        stream_names(["btcusdt@ticker", name])
    assert (caught.value.code, caught.value.message) == (
        INVALID_REQUEST,
        "Invalid request: a stream name must be a string",
    )


@pytest.mark.parametrize(
    ("name", "native"),
    [
        ("BTCUSDT@kline_1m", "kline:BTCUSDT:1m"),
        ("btcusdt@bookTicker", "ticker:BTCUSDT"),
        ("!miniTicker@arr", "ticker:*"),
    ],
)
def test_stream_has_the_data_of_a_native_channel(name: str, native: str) -> None:
    assert parsed(name).native_name == native


@pytest.mark.parametrize(
    "id", [1, 0, -3, 2**63 - 1, -(2**63), "a", "x" * 36, "", None], ids=lambda id: f"{type(id).__name__}-{id}"
)
def test_id_is_echoed_with_value_and_type(id: Any) -> None:
    request = decode(orjson.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@ticker"], "id": id}))
    assert request == Request("SUBSCRIBE", id, ["btcusdt@ticker"])
    assert type(request.id) is type(id)
    reply = orjson.loads(body(result(request.id, None)))
    assert reply == {"result": None, "id": id}
    assert type(reply["id"]) is type(id)


def test_params_and_id_may_be_left_out() -> None:
    assert decode(b'{"method":"LIST_SUBSCRIPTIONS"}') == Request("LIST_SUBSCRIPTIONS", None, [])


@pytest.mark.parametrize("text", [b"", b"{", b"hello", b'{"id":1', b"\xff"], ids=str)
def test_invalid_json_is_code_3(text: bytes) -> None:
    error = bad(text)
    assert (error.code, error.id) == (INVALID_JSON, None)
    assert error.message.startswith("Invalid JSON: ")


@pytest.mark.parametrize("text", [b"5", b"null", b'"SUBSCRIBE"', b'[{"method":"SUBSCRIBE"}]'], ids=str)
def test_json_that_is_not_an_object_is_code_2(text: bytes) -> None:
    error = bad(text)
    assert (error.code, error.message, error.id) == (INVALID_REQUEST, "Invalid request: expected an object", None)


@pytest.mark.parametrize("id", [1.5, True, [], {}, "x" * 37, 2**63], ids=str)
def test_bad_id_is_not_echoed(id: object) -> None:
    error = bad(orjson.dumps({"method": "SUBSCRIBE", "params": [], "id": id}))
    assert (error.code, error.id) == (INVALID_REQUEST, None)
    assert error.message == "Invalid request: request ID must be an integer, a string or null"


@pytest.mark.parametrize("method", [{}, {"method": None}, {"method": 5}], ids=str)
def test_missing_method_is_code_2_with_the_id(method: dict[str, object]) -> None:
    error = bad(orjson.dumps(method | {"id": "q"}))
    assert (error.code, error.message) == (INVALID_REQUEST, "Invalid request: missing field `method`")
    assert error.id == "q"


@pytest.mark.parametrize("params", [None, "btcusdt@ticker", {"0": "btcusdt@ticker"}, 5], ids=str)
def test_params_must_be_a_list(params: object) -> None:
    error = bad(orjson.dumps({"method": "SUBSCRIBE", "params": params, "id": 7}))
    assert (error.code, error.message, error.id) == (INVALID_REQUEST, "Invalid request: params must be a list", 7)


def test_result_has_its_fields_in_the_order_of_the_exchange() -> None:
    assert body(result(3, ["btcusdt@kline_1m"])) == b'{"result":["btcusdt@kline_1m"],"id":3}'
    assert body(result(None, None)) == b'{"result":null,"id":null}'
    assert body(result("a", True)) == b'{"result":true,"id":"a"}'


def test_error_is_nested_as_on_the_live_server() -> None:
    error = RequestError(2, "Invalid request: invalid stream", 1)
    assert str(error) == "Invalid request: invalid stream"
    assert body(error_frame(error)) == b'{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":1}'


def test_error_for_unreadable_text_has_no_id() -> None:
    assert orjson.loads(body(error_frame(bad(b"{"))))["id"] is None


@pytest.mark.parametrize(
    ("text", "id"),
    [
        (b'{"method":"SUBSCRIBE","params":[],"id":7}', 7),
        (b'{"method":"SUBSCRIBE","params":5,"id":"a"}', "a"),
        (b'{"id":7}', 7),
        (b'{"method":"SUBSCRIBE","id":[7]}', None),
        (b"[7]", None),
        (b"{", None),
    ],
)
def test_the_id_of_a_request_that_is_not_executed_is_found_where_it_has_one(text: bytes, id: int | str | None) -> None:
    assert id_of(text) == id
