"""Payloads of the collector: what each shape is decoded to, that digits survive, and what is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from gateway.feed.decode import (
    FeedError,
    closed_open_time,
    decode_kline,
    decode_stored_kline,
    decode_stored_ticker,
    decode_ticker,
    has_event_time,
)
from gateway.feed.formats.rows import CLOSED, CcxtPayload
from gateway.model.feed_error import Odd
from gateway.model.kline import Kline, KlineDelta, KlineUpdate
from gateway.model.ticker import Ticker, TickerDelta, TickerUpdate
from tests.builders import MINUTE_MS, T0

ARRIVED = T0 + 30_000
SAID = T0 + 29_990


def text(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def kline_text(**fields: Any) -> bytes:
    return text(**{"t": T0} | fields)


def read_ticker(payload: bytes) -> TickerUpdate | TickerDelta:
    return decode_ticker(payload, "BTCUSDT", ARRIVED)


def whole_ticker(payload: bytes) -> Ticker:
    update = read_ticker(payload)
    assert isinstance(update, TickerUpdate)
    return update.ticker()


def read_kline(payload: bytes, interval: str = "1m") -> KlineUpdate | KlineDelta:
    return decode_kline(payload, "BTCUSDT", interval, ARRIVED)


def whole_kline(payload: bytes) -> Kline:
    update = read_kline(payload)
    assert isinstance(update, KlineUpdate)
    return update.kline


def kline_delta(payload: bytes, interval: str = "1m") -> KlineDelta:
    update = read_kline(payload, interval)
    assert isinstance(update, KlineDelta)
    return update


RAW_KLINE: dict[str, Any] = {
    "t": T0, "T": T0 + MINUTE_MS - 1, "s": "BTCUSDT", "i": "1m", "f": 100, "L": 200, "o": "0.0010", "c": "0.0020",
    "h": "0.0025", "l": "0.0005", "v": "1000", "n": 100, "x": False, "q": "1.0000", "V": "500", "Q": "0.500", "B": "9",
}  # fmt: skip


# Tickers


def test_a_stored_ticker_has_no_event_time_so_its_arrival_stands_in() -> None:
    decoded = whole_ticker(
        text(s="BTCUSDT", c="97123.45", o="96500.00", h="98000", l="95000.10", v="1234.5", q="1.5", p="-623.45",
             P="-0.65", n=77)
    )  # fmt: skip
    assert decoded == Ticker(
        "BTCUSDT", "97123.45", "96500.00", "98000", "95000.10", "1234.5", "1.5", "-623.45", "-0.65", 77,
        event_time_ms=ARRIVED,
    )  # fmt: skip


def test_a_full_exchange_event_keeps_every_figure() -> None:
    decoded = whole_ticker(
        text(e="24hrTicker", E=SAID, s="BTCUSDT", p="0.0015", P="250.00", w="0.0018", x="0.0009", c="0.0025", Q="10",
             b="0.0024", B="11", a="0.0026", A="100", o="0.0010", h="0.0025", l="0.0010", v="10000", q="18", O=T0,
             C=T0 + 86400_000, F=0, L=18150, n=18151)
    )  # fmt: skip
    assert decoded == Ticker(
        "BTCUSDT", "0.0025", "0.0010", "0.0025", "0.0010", "10000", "18", "0.0015", "250.00", 18151, "0.0018",
        "0.0009", "10", "0.0024", "11", "0.0026", "100", T0, T0 + 86400_000, 0, 18150, event_time_ms=SAID,
    )  # fmt: skip


def test_a_mini_ticker_event_has_what_it_has() -> None:
    update = read_ticker(text(e="24hrMiniTicker", E=SAID, s="BTCUSDT", c="2", o="1", h="2", l="1", v="7", q="9"))
    assert update == TickerUpdate(
        "BTCUSDT", SAID, {"last": "2", "open": "1", "high": "2", "low": "1", "volume": "7", "quote_volume": "9"}
    )


def test_a_delta_of_a_ticker_has_only_what_changed() -> None:
    update = read_ticker(text(s="BTCUSDT", E=SAID, h="98000.10"))
    assert update == TickerDelta("BTCUSDT", SAID, {"high": "98000.10"})
    assert isinstance(update, TickerDelta)


def test_a_ticker_without_a_symbol_is_that_of_its_channel() -> None:
    assert read_ticker(text(c="1")).symbol == "BTCUSDT"


def test_a_ticker_without_any_known_field_is_an_empty_delta() -> None:
    assert read_ticker(text(s="BTCUSDT", mood="bullish")) == TickerDelta("BTCUSDT", ARRIVED, {})


def test_a_stored_ticker_is_whole_and_has_the_time_it_was_written() -> None:
    assert decode_stored_ticker(text(c="1", h="2"), "BTCUSDT", 0) == Ticker("BTCUSDT", "1", high="2")
    assert decode_stored_ticker(text(c="1"), "BTCUSDT", SAID).event_time_ms == SAID


def test_a_stored_ticker_without_the_price_is_refused() -> None:
    with pytest.raises(FeedError, match="missing_field: c") as caught:
        decode_stored_ticker(text(h="1"), "BTCUSDT", 0)
    assert caught.value.reason == "missing_field"


# Klines


def test_a_bare_kline_keeps_every_field() -> None:
    assert whole_kline(json.dumps(RAW_KLINE).encode()) == Kline(
        T0, T0 + MINUTE_MS - 1, "0.0010", "0.0025", "0.0005", "0.0020", "1000", "1.0000", 100, "500", "0.500", 100, 200,
        closed=False, provisional=False, event_time_ms=ARRIVED,
    )  # fmt: skip


def test_a_wrapped_kline_is_the_same_with_an_event_time() -> None:
    bare = whole_kline(json.dumps(RAW_KLINE).encode())
    wrapped = whole_kline(text(e="kline", E=SAID, s="BTCUSDT", k=RAW_KLINE))
    assert wrapped == bare._replace(event_time_ms=SAID)


def test_a_closed_kline_says_so() -> None:
    assert whole_kline(json.dumps(RAW_KLINE | {"x": True}).encode()).closed
    assert kline_delta(kline_text(x=True)).fields == {"closed": True}


def test_a_delta_of_a_kline_has_only_what_changed() -> None:
    update = read_kline(text(E=SAID, k={"t": T0, "c": "5"}), "1h")
    assert update == KlineDelta("BTCUSDT", "1h", T0, T0 + 60 * MINUTE_MS - 1, SAID, {"close": "5"})


def test_the_close_time_is_that_of_the_interval_whatever_the_source_says() -> None:
    assert kline_delta(kline_text(T=T0 + MINUTE_MS)).close_time_ms == T0 + MINUTE_MS - 1
    assert whole_kline(json.dumps(RAW_KLINE | {"T": 1}).encode()).close_time_ms == T0 + MINUTE_MS - 1


@pytest.mark.parametrize("missing", ["o", "h", "l", "c"])
def test_a_kline_without_one_of_its_prices_is_a_delta(missing: str) -> None:
    prices = {"o": "1", "h": "1", "l": "1", "c": "1"}
    del prices[missing]
    assert len(kline_delta(kline_text(**prices)).fields) == 3


@pytest.mark.parametrize("missing", ["o", "h", "l", "c"])
def test_a_stored_kline_without_one_of_its_prices_is_refused(missing: str) -> None:
    prices = {"o": "1", "h": "1", "l": "1", "c": "1"}
    del prices[missing]
    with pytest.raises(FeedError) as caught:
        decode_stored_kline(kline_text(**prices), "BTCUSDT", "1m")
    assert caught.value.reason == "missing_field"


def test_a_stored_kline_is_closed_and_of_unknown_event_time_unless_it_says_otherwise() -> None:
    prices = {"o": "1", "h": "1", "l": "1", "c": "1"}
    stored = decode_stored_kline(kline_text(**prices), "BTCUSDT", "1m")
    assert stored is not None
    assert (stored.closed, stored.event_time_ms) == (True, 0)
    timed = decode_stored_kline(text(E=SAID, k={"t": T0} | prices), "BTCUSDT", "1m")
    assert timed is not None
    assert timed.event_time_ms == SAID
    assert decode_stored_kline(kline_text(**prices, x=False), "BTCUSDT", "1m") is None


@pytest.mark.parametrize(
    "prices",
    [
        pytest.param("9 9 10 9", id="low-above-high"),
        pytest.param("9 9 10 10", id="prices-are-numbers-not-text"),
    ],
)
def test_a_kline_that_contradicts_itself_is_refused(prices: str) -> None:
    open_, high, low, close = prices.split()
    with pytest.raises(FeedError) as caught:
        read_kline(kline_text(o=open_, h=high, l=low, c=close))
    assert caught.value.reason == "contradictory_kline"


@pytest.mark.parametrize(
    ("prices", "high", "low"),
    [
        pytest.param("10 9 8 8", "10", "8", id="open-above-high"),
        pytest.param("7 9 8 8", "9", "7", id="open-below-low"),
        pytest.param("8 9 8 10", "10", "8", id="close-above-high"),
        pytest.param("8 9 8 7", "9", "7", id="close-below-low"),
        pytest.param("9860 9859 9854 9856", "9860", "9854", id="bitmex"),
    ],
)
def test_a_kline_is_widened_by_its_open_and_close(prices: str, high: str, low: str) -> None:
    open_, highest, lowest, close = prices.split()
    odd: list[Odd] = []
    payload = kline_text(o=open_, h=highest, l=lowest, c=close)
    update = decode_kline(payload, "BTCUSDT", "1m", ARRIVED, lambda kind, _: odd.append(kind))
    assert isinstance(update, KlineUpdate)
    assert (update.kline.high, update.kline.low) == (high, low)
    assert odd == [Odd.WIDENED]


def test_a_kline_that_never_moved_is_whole() -> None:
    flat = whole_kline(kline_text(o="9.0", h="9", l="9.00", c="9.000"))
    assert (flat.open, flat.high, flat.low, flat.close) == ("9.0", "9", "9.00", "9.000")


# Numbers


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        pytest.param('"97000.10"', "97000.10", id="trailing-zero"),
        pytest.param('"0.00000001"', "0.00000001", id="satoshi"),
        pytest.param('"1e-8"', "0.00000001", id="exponent-in-text"),
        pytest.param('"12E+2"', "1200", id="big-exponent"),
        pytest.param("97000", "97000", id="integer"),
        pytest.param("97000.10", "97000.10", id="float-with-its-digits"),
        pytest.param("0.1000000000000000055511151231257827", None, id="float-with-too-many-digits"),
        pytest.param("1e-8", "0.00000001", id="float-with-exponent"),
        pytest.param("1" * 31, "1" * 31, id="integer-beyond-64-bits"),
        pytest.param('"0.' + "1" * 30 + '"', "0." + "1" * 30, id="longest-fraction"),
    ],
)
def test_numbers_keep_the_digits_of_the_source(raw: str, kept: str | None) -> None:
    payload = b'{"c":%b}' % raw.encode()
    if kept is None:
        with pytest.raises(FeedError, match="not_a_number: c="):
            read_ticker(payload)
    else:
        assert whole_ticker(payload).last == kept
        assert kline_delta(b'{"t":%d,"c":%b}' % (T0, raw.encode())).fields["close"] == kept


@pytest.mark.parametrize(
    "value",
    [
        "", " 1", "1 ", "1\n", "+1", ".5", "1.", "01", "1,5", "1_000", "0x10", "1e", "1e999", "NaN", "Infinity", "--1",
        "1.1.1", "\u0661\u0662", "1.\u0665", "1e\u0662", "\uff11", "1" * 32, "0." + "1" * 31, 10**31, None, True, [],
        {}, "a" * 100_000,
    ],
    ids=lambda value: ascii(value)[:20],
)  # fmt: skip
def test_what_is_not_a_json_number_is_refused(value: Any) -> None:
    with pytest.raises(FeedError) as caught:
        read_ticker(text(c=value))
    assert caught.value.reason == "not_a_number"
    assert "change" not in read_ticker(text(c="1", p=value)).fields


@pytest.mark.parametrize("value", ["0", "0.00000000", 0, 0.0, "0e5"])
def test_a_price_is_above_zero(value: Any) -> None:
    with pytest.raises(FeedError, match="not_positive: c="):
        read_ticker(text(c=value))
    for field in "ohlc":
        with pytest.raises(FeedError, match=f"not_positive: {field}="):
            read_kline(kline_text(**{field: value}))
    assert read_ticker(text(c="1", v=value)).fields["volume"] == str(value).replace("0e5", "0")


@pytest.mark.parametrize("value", ["-1", "-0.5", -1, -0.5, "-1e-3", "-0"])
def test_only_changes_may_be_negative(value: Any) -> None:
    assert Decimal(read_ticker(text(p=value)).fields["change"]) == Decimal(str(value))
    with pytest.raises(FeedError) as caught:
        read_ticker(text(c=value))
    assert caught.value.reason == "negative"


@pytest.mark.parametrize("value", ["5", 5.0, True, None])
def test_a_count_that_is_no_integer_is_absent(value: Any) -> None:
    ticker = read_ticker(text(c="1", n=value))
    assert ticker.fields == {"last": "1"}


@pytest.mark.parametrize("value", ["true", 1, None])
def test_a_flag_is_a_boolean(value: Any) -> None:
    with pytest.raises(FeedError, match="not_a_boolean: x="):
        read_kline(kline_text(x=value))


@pytest.mark.parametrize(
    "value",
    [T0 // 1000, T0 * 1000, T0 * 1_000_000, str(T0), f"{T0 // 1000}.000", T0 + 0.5, "2024-11-23T00:00:00Z"],
    ids=["seconds", "microseconds", "nanoseconds", "text", "seconds-as-text", "float", "iso"],
)
def test_a_time_in_another_unit_is_recognised_and_noted(value: Any) -> None:
    odd: list[Odd] = []
    note = lambda kind, _: odd.append(kind)  # noqa: E731
    assert decode_ticker(text(c="1", E=value), "BTCUSDT", ARRIVED, note).event_time_ms == T0
    assert decode_kline(kline_text(E=value), "BTCUSDT", "1m", ARRIVED, note) == KlineDelta(
        "BTCUSDT", "1m", T0, T0 + MINUTE_MS - 1, T0, {}
    )
    assert decode_kline(text(t=value), "BTCUSDT", "1m", ARRIVED, note) == kline_delta(text(t=T0))
    assert odd == [Odd.TIME_UNIT] * 3
    assert read_ticker(text(c="1", C=value)).fields["close_time_ms"] == T0


@pytest.mark.parametrize(
    "value",
    [True, None, -T0, "", 1000, 0.5, "1970-01-01T00:00:01Z", "soon", [], 10**30],
    ids=["boolean", "null", "negative", "empty", "seconds-of-1970", "fraction", "1970", "word", "list", "huge"],
)
def test_an_event_time_that_cannot_be_read_counts_as_absent(value: Any) -> None:
    odd: list[Odd] = []
    note = lambda kind, _: odd.append(kind)  # noqa: E731
    assert decode_ticker(text(c="1", E=value), "BTCUSDT", ARRIVED, note) == TickerUpdate(
        "BTCUSDT", ARRIVED, {"last": "1"}
    )
    assert decode_kline(kline_text(E=value), "BTCUSDT", "1m", ARRIVED, note) == kline_delta(kline_text())
    assert odd == [Odd.BAD_TIME] * 2
    with pytest.raises(FeedError, match="bad_time: t="):
        read_kline(text(t=value))
    assert read_ticker(text(c="1", C=value)).fields == {"last": "1"}


def test_a_stored_kline_with_an_unreadable_event_time_is_of_unknown_time() -> None:
    prices = {"o": "1", "h": "1", "l": "1", "c": "1"}
    stored = decode_stored_kline(text(E="soon", k={"t": T0} | prices), "BTCUSDT", "1m")
    assert stored is not None
    assert stored.event_time_ms == 0


@pytest.mark.parametrize(
    ("payload", "stored", "expected"),
    [
        pytest.param(kline_text(x=True, o="-1"), False, T0, id="closed"),
        pytest.param(text(k={"t": T0, "x": True}), False, T0, id="wrapped"),
        pytest.param(text(t=T0 // 1000, x=True), False, T0, id="seconds"),
        pytest.param(kline_text(x=False), True, None, id="forming"),
        pytest.param(kline_text(), False, None, id="published-and-not-closed"),
        pytest.param(kline_text(), True, T0, id="stored-members-are-closed"),
        pytest.param(text(t=T0 + 1, x=True), False, None, id="misaligned"),
        pytest.param(text(t="soon", x=True), False, None, id="no-time"),
        pytest.param(text(k=[], x=True), False, None, id="no-kline"),
        pytest.param(b"oops", True, None, id="no-json"),
    ],
)
def test_which_closed_kline_a_refused_payload_is_about(payload: bytes, stored: bool, expected: int | None) -> None:
    assert closed_open_time(payload, "1m", stored=stored) == expected


# Messages that are not what they should be


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"", "bad_json", id="empty"),
        pytest.param(b"{", "bad_json", id="torn"),
        pytest.param(b'{"c":NaN}', "bad_json", id="nan"),
        pytest.param(b'{"c":"\xff"}', "bad_json", id="not-utf-8"),
        pytest.param(
            b'{"c":1.5,"z":' + b"[" * 1010 + b"]" * 1010 + b"}", "bad_json", id="too-deep-for-the-slow-parser"
        ),
        pytest.param(b'{"c":1.5,"n":' + b"1" * 5000 + b"}", "bad_json", id="too-long-for-the-slow-parser"),
        pytest.param(b"[]", "not_an_object", id="list"),
        pytest.param(b'"text"', "not_an_object", id="text"),
        pytest.param(b"null", "not_an_object", id="null"),
        pytest.param(b'{"k":[],"t":1}', "not_an_object", id="k-is-a-list"),
        pytest.param(b'{"k":null,"t":1}', "not_an_object", id="k-is-null"),
        pytest.param(b"{}", "missing_field", id="nothing"),
        pytest.param(b'{"k":{}}', "missing_field", id="nothing-wrapped"),
        pytest.param(kline_text(s="ETHUSDT"), "symbol_mismatch", id="other-symbol"),
        pytest.param(text(s="ETHUSDT", k={"t": T0}), "symbol_mismatch", id="other-symbol-outside"),
        pytest.param(text(s="BTCUSDT", k={"t": T0, "s": "ETHUSDT"}), "symbol_mismatch", id="other-symbol-inside"),
        pytest.param(kline_text(i="5m"), "symbol_mismatch", id="other-interval"),
        pytest.param(kline_text(s=None), "symbol_mismatch", id="null-symbol"),
        pytest.param(text(t=T0 + 1), "misaligned_time", id="no-open-time"),
    ],
)
def test_a_kline_message_that_cannot_be_used_says_why(payload: bytes, reason: str) -> None:
    with pytest.raises(FeedError) as caught:
        read_kline(payload)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"oops", "bad_json", id="no-json"),
        pytest.param(b"[1]", "not_an_object", id="list"),
        pytest.param(text(s="ETHUSDT", c="1"), "symbol_mismatch", id="other-symbol"),
        pytest.param(text(s=5, c="1"), "symbol_mismatch", id="number-for-symbol"),
    ],
)
def test_a_ticker_message_that_cannot_be_used_says_why(payload: bytes, reason: str) -> None:
    with pytest.raises(FeedError) as caught:
        read_ticker(payload)
    assert caught.value.reason == reason


def test_an_optional_field_that_cannot_be_read_costs_only_itself() -> None:
    odd: list[str] = []
    ticker = decode_ticker(
        text(c="5", h="two", n=None, v=""), "BTCUSDT", ARRIVED, lambda *told: odd.append(str(told[1]))
    )
    assert ticker.fields == {"last": "5"}
    assert odd == ["h='two'", "n=None", "v=''"]
    kline = whole_kline(kline_text(o="1", h="2", l="1", c="2", v="many", n=None, q=""))
    assert (kline.close, kline.volume, kline.trades) == ("2", "0", 0)


def test_a_required_field_that_cannot_be_read_refuses_the_message() -> None:
    with pytest.raises(FeedError, match="not_a_number: h='two'"):
        read_kline(kline_text(c="1", h="two"))


def test_an_error_without_detail_is_its_reason() -> None:
    assert str(FeedError("not_an_object")) == "not_an_object"


def test_a_message_tells_whether_it_has_an_event_time_of_its_own() -> None:
    assert has_event_time(text(E=SAID, c="1"))
    assert has_event_time(text(E=SAID, k=RAW_KLINE))
    assert not has_event_time(text(e="24hrTicker", c="1"))


def test_a_payload_of_another_format_decodes_itself() -> None:
    row = b"[%d,1,2,1,1.50,3]" % T0
    forming, closed = CcxtPayload(row), CcxtPayload(CLOSED + row + b"}")
    assert whole_kline(forming).close == "1.50"
    assert decode_stored_kline(forming, "BTCUSDT", "1m") is None
    stored = decode_stored_kline(closed, "BTCUSDT", "1m")
    assert stored == whole_kline(closed)._replace(event_time_ms=0)
    assert closed_open_time(closed, "1m") == T0
    assert not has_event_time(closed)
    assert whole_ticker(CcxtPayload(b'{"last":1.50}')).last == "1.50"
