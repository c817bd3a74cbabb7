from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.config import MarketConfig
from gateway.delivery.channel import View
from gateway.delivery.hub import Hub
from gateway.delivery.staleness import Staleness, StaleReason
from gateway.market.market import Market
from gateway.protocol.binance import DAY_MS, BinanceDialect
from gateway.protocol.deflate import inflate
from gateway.protocol.frame import TEXT, frame_head
from tests.builders import MINUTE_MS, T0, kline, ticker

KLINE_FIELDS = {
    "t": int, "T": int, "s": str, "i": str, "f": int, "L": int, "o": str, "c": str, "h": str, "l": str, "v": str,
    "n": int, "x": bool, "q": str, "V": str, "Q": str, "B": str,
}  # fmt: skip
MINI_FIELDS = {"e": str, "E": int, "s": str, "c": str, "o": str, "h": str, "l": str, "v": str, "q": str}
FULL_FIELDS = {
    "e": str, "E": int, "s": str, "p": str, "P": str, "w": str, "x": str, "c": str, "Q": str, "b": str, "B": str,
    "a": str, "A": str, "o": str, "h": str, "l": str, "v": str, "q": str, "O": int, "C": int, "F": int, "L": int,
    "n": int,
}  # fmt: skip
BOOK_FIELDS = {"u": int, "s": str, "b": str, "B": str, "a": str, "A": str}

WHOLE = ticker(
    "100", open="90", high="110", low="80", volume="7.5", quote_volume="750", change="10", change_percent="11.111",
    trades=12, weighted_average="99.9", previous_close="90.5", last_quantity="0.1", bid="99.5", bid_quantity="1",
    ask="100.5", ask_quantity="2", open_time_ms=T0 - DAY_MS + 1, close_time_ms=T0 + 1, first_trade_id=5,
    last_trade_id=16,
)  # fmt: skip


class Stage:
    """One channel of each kind, and dialects that speak of them."""

    def __init__(self) -> None:
        hub: Hub = Hub(Market(MarketConfig(), 4))
        self.kline = hub.strict_channel("BTCUSDT", "1m", "btcusdt@kline_1m").n
        self.mini = hub.ticker_channel("BTCUSDT", View.MINI, "btcusdt@miniTicker").n
        self.full = hub.ticker_channel("BTCUSDT", View.FULL, "btcusdt@ticker").n
        self.book = hub.ticker_channel("BTCUSDT", View.BOOK, "btcusdt@bookTicker").n
        self.minis = hub.market_channel(View.MINI, "!miniTicker@arr").n
        self.fulls = hub.market_channel(View.FULL, "!ticker@arr").n
        self.channels = hub.channels

    def dialect(self, *, combined: bool = False, micro: bool = False, deflate: bool = False) -> BinanceDialect:
        return BinanceDialect(self.channels, combined=combined, micro=micro, deflate=deflate)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def messages(data: bytes) -> list[Any]:
    """The payloads of text frames joined."""
    found = []
    while data:
        size, head = data[1], 2
        if size == 126:
            size, head = int.from_bytes(data[2:4], "big"), 4
        assert data[:head] == frame_head(TEXT, size)
        found.append(orjson.loads(data[head : head + size]))
        data = data[head + size :]
    return found


def message(data: bytes) -> Any:
    (only,) = messages(data)
    return only


def types(event: dict[str, object]) -> list[tuple[str, type]]:
    return [(name, type(value)) for name, value in event.items()]


def test_kline_has_the_fields_of_the_documentation(stage: Stage) -> None:
    bar = kline(
        volume="7.5", quote_volume="750", trades=12, taker_volume="3", taker_quote_volume="300", first_trade_id=5,
        last_trade_id=16,
    )  # fmt: skip
    event = message(stage.dialect().kline(stage.kline, None, bar))
    assert types(event) == [("e", str), ("E", int), ("s", str), ("k", dict)]
    assert (event["e"], event["E"], event["s"]) == ("kline", T0 + 1000, "BTCUSDT")
    assert types(event["k"]) == list(KLINE_FIELDS.items())
    assert event["k"] == {
        "t": T0, "T": T0 + MINUTE_MS - 1, "s": "BTCUSDT", "i": "1m", "f": 5, "L": 16,
        "o": "100", "c": "105", "h": "110", "l": "90", "v": "7.5", "n": 12, "x": False,
        "q": "750", "V": "3", "Q": "300", "B": "0",
    }  # fmt: skip


def test_missing_fields_of_a_kline_are_filled_in(stage: Stage) -> None:
    k = message(stage.dialect().kline(stage.kline, None, kline()))["k"]
    assert types(k) == list(KLINE_FIELDS.items())
    assert [k[name] for name in "fLvnqVQB"] == [-1, -1, "0", 0, "0", "0", "0", "0"]


def test_unchanged_kline_makes_no_event(stage: Stage) -> None:
    bar = kline()
    assert stage.dialect().kline(stage.kline, bar, kline()) == b""
    assert stage.dialect().kline(stage.kline, bar, kline(volume="1")) != b""


def test_closed_kline_has_x_true(stage: Stage) -> None:
    event = message(stage.dialect().closed(stage.kline, kline(closed=True)))
    assert event["k"]["x"] is True
    assert event["E"] == T0 + MINUTE_MS


def test_closed_kline_of_the_store_has_its_close_time_as_event_time(stage: Stage) -> None:
    event = message(stage.dialect().closed(stage.kline, kline(closed=True, event_time_ms=0)))
    assert event["E"] == event["k"]["T"] == T0 + MINUTE_MS - 1


def test_digits_are_those_of_the_source(stage: Stage) -> None:
    k = message(stage.dialect().kline(stage.kline, None, kline(prices="0.00001230 97000.10 0.0000 1.50")))["k"]
    assert [k[name] for name in "ohlc"] == ["0.00001230", "97000.10", "0.0000", "1.50"]


def test_mini_ticker_has_the_fields_of_the_documentation(stage: Stage) -> None:
    event = message(stage.dialect().ticker(stage.mini, None, WHOLE))
    assert types(event) == list(MINI_FIELDS.items())
    assert event == {
        "e": "24hrMiniTicker", "E": T0, "s": "BTCUSDT", "c": "100", "o": "90", "h": "110", "l": "80", "v": "7.5",
        "q": "750",
    }  # fmt: skip


def test_full_ticker_has_the_fields_of_the_documentation(stage: Stage) -> None:
    event = message(stage.dialect().ticker(stage.full, None, WHOLE))
    assert types(event) == list(FULL_FIELDS.items())
    assert event == {
        "e": "24hrTicker", "E": T0, "s": "BTCUSDT", "p": "10", "P": "11.111", "w": "99.9", "x": "90.5", "c": "100",
        "Q": "0.1", "b": "99.5", "B": "1", "a": "100.5", "A": "2", "o": "90", "h": "110", "l": "80", "v": "7.5",
        "q": "750", "O": T0 - DAY_MS + 1, "C": T0 + 1, "F": 5, "L": 16, "n": 12,
    }  # fmt: skip


def test_book_ticker_has_neither_type_nor_event_time(stage: Stage) -> None:
    event = message(stage.dialect().ticker(stage.book, None, WHOLE))
    assert types(event) == list(BOOK_FIELDS.items())
    assert event == {"u": T0, "s": "BTCUSDT", "b": "99.5", "B": "1", "a": "100.5", "A": "2"}


@pytest.mark.parametrize("view", ["mini", "full"])
def test_ticker_with_only_a_price_has_all_fields(stage: Stage, view: str) -> None:
    event = message(stage.dialect().ticker(getattr(stage, view), None, ticker("100")))
    assert types(event) == list({"mini": MINI_FIELDS, "full": FULL_FIELDS}[view].items())
    assert {event[name] for name in "ohlc"} == {"100"}
    assert (event["v"], event["q"]) == ("0", "0")


def test_missing_fields_of_a_ticker_are_filled_in(stage: Stage) -> None:
    event = message(stage.dialect().ticker(stage.full, None, ticker("100", open="90")))
    assert [event[name] for name in "pPwxQbBaA"] == ["10", "11.111", "0.00000000", "90", "0", "0", "0", "0", "0"]
    assert (event["O"], event["C"]) == (T0 - DAY_MS, T0)
    assert [event[name] for name in "FLn"] == [-1, -1, 0]


def test_weighted_average_is_quote_volume_by_volume(stage: Stage) -> None:
    event = message(stage.dialect().ticker(stage.full, None, ticker("100", volume="2", quote_volume="30")))
    assert event["w"] == "15.00000000"


@pytest.mark.parametrize("view", ["mini", "full", "book"])
def test_unchanged_ticker_makes_no_event(stage: Stage, view: str) -> None:
    n = getattr(stage, view)
    assert stage.dialect().ticker(n, WHOLE, WHOLE._replace()) == b""
    changed = WHOLE._replace(last="101", bid="100", event_time_ms=T0 + 1)
    assert len(messages(stage.dialect().ticker(n, WHOLE, changed))) == 1


def test_ticker_with_a_new_event_time_makes_an_event(stage: Stage) -> None:
    assert message(stage.dialect().ticker(stage.mini, WHOLE, WHOLE._replace(event_time_ms=T0 + 5)))["E"] == T0 + 5


def test_new_price_makes_no_book_event(stage: Stage) -> None:
    assert stage.dialect().ticker(stage.book, WHOLE, WHOLE._replace(last="101", event_time_ms=T0 + 1)) == b""


@pytest.mark.parametrize("missing", [{"bid": ""}, {"ask": ""}, {"bid": "", "ask": ""}], ids=str)
def test_book_with_one_side_makes_no_event(stage: Stage, missing: dict[str, Any]) -> None:
    assert stage.dialect().ticker(stage.book, None, WHOLE._replace(**missing)) == b""


def test_book_without_quantities_makes_an_event(stage: Stage) -> None:
    event = message(stage.dialect().ticker(stage.book, None, ticker(bid="1", ask="2")))
    assert (event["B"], event["A"]) == ("0", "0")


@pytest.mark.parametrize(
    ("view", "kind", "fields"),
    [("minis", "24hrMiniTicker", MINI_FIELDS), ("fulls", "24hrTicker", FULL_FIELDS)],
    ids=["mini", "full"],
)
def test_tickers_of_all_symbols_are_one_array(stage: Stage, view: str, kind: str, fields: dict[str, type]) -> None:
    news = [WHOLE, ticker("3", "ETHUSDT")]
    events = message(stage.dialect().tickers(getattr(stage, view), news))
    assert [(event["e"], event["s"]) for event in events] == [(kind, "BTCUSDT"), (kind, "ETHUSDT")]
    assert [types(event) for event in events] == [list(fields.items())] * 2


def test_combined_event_names_its_stream(stage: Stage) -> None:
    raw, combined = stage.dialect(), stage.dialect(combined=True)
    for n in (stage.mini, stage.full, stage.book):
        plain, wrapped = (message(dialect.ticker(n, None, WHOLE)) for dialect in (raw, combined))
        assert list(wrapped.items()) == [("stream", stage.channels[n].name), ("data", plain)]
    forming = [message(dialect.kline(stage.kline, None, kline())) for dialect in (raw, combined)]
    closed = [message(dialect.closed(stage.kline, kline(closed=True))) for dialect in (raw, combined)]
    for plain, wrapped in (forming, closed):
        assert list(wrapped.items()) == [("stream", "btcusdt@kline_1m"), ("data", plain)]
    plain, wrapped = (message(dialect.tickers(stage.minis, [WHOLE])) for dialect in (raw, combined))
    assert list(wrapped.items()) == [("stream", "!miniTicker@arr"), ("data", plain)]


def test_microseconds_are_those_of_the_milliseconds(stage: Stage) -> None:
    event = message(stage.dialect(micro=True).kline(stage.kline, None, kline()))
    assert event["E"] == (T0 + 1000) * 1000
    assert event["k"]["t"] == T0 * 1000
    # One before the next bar's first, as it is in milliseconds.
    assert event["k"]["T"] == (T0 + MINUTE_MS) * 1000 - 1
    full = message(stage.dialect(micro=True).ticker(stage.full, None, WHOLE))
    assert (full["E"], full["O"], full["C"]) == (T0 * 1000, (T0 - DAY_MS + 1) * 1000, (T0 + 1) * 1000)
    assert message(stage.dialect(micro=True).ticker(stage.mini, None, WHOLE))["E"] == T0 * 1000


def test_flush_is_its_fragments_joined(stage: Stage) -> None:
    dialect = stage.dialect()
    fragments = [dialect.kline(stage.kline, None, kline()), dialect.ticker(stage.mini, None, WHOLE)]
    for spare in (False, True):
        beat = dialect.frame(b"".join(fragments), T0, spare=spare)
        assert [event["e"] for event in messages(beat)] == ["kline", "24hrMiniTicker"]


@pytest.mark.parametrize("combined", [False, True])
def test_events_are_compressed_one_by_one_if_negotiated_and_long_enough(stage: Stage, combined: bool) -> None:
    plain, deflating = stage.dialect(combined=combined), stage.dialect(combined=combined, deflate=True)
    for dialects in zip(
        (plain.kline(stage.kline, None, kline()), plain.ticker(stage.full, None, WHOLE)),
        (deflating.kline(stage.kline, None, kline()), deflating.ticker(stage.full, None, WHOLE)),
        strict=True,
    ):
        long, short = dialects
        assert short[0] == 0x80 | 0x40 | TEXT
        assert len(short) < len(long)
        assert inflate(short[4 if short[1] == 126 else 2 :], 10_000) == long[4:]
    assert deflating.ticker(stage.book, None, WHOLE) == plain.ticker(stage.book, None, WHOLE)


def test_dialect_has_no_messages_unknown_to_the_exchange(stage: Stage) -> None:
    dialect = stage.dialect()
    away = Staleness(StaleReason.DISCONNECTED, T0)
    said = (
        dialect.status({0: away}),
        dialect.throttle(400, "load"),
        dialect.heartbeat(T0),
    )
    assert said == (b"", b"", b"")
    assert dialect.name == "binance"


def test_shutdown_is_announced(stage: Stage) -> None:
    assert message(stage.dialect().shutdown(T0)) == {"e": "serverShutdown", "E": T0}
    assert message(stage.dialect(combined=True, micro=True).shutdown(T0)) == {
        "stream": "!serverShutdown",
        "data": {"e": "serverShutdown", "E": T0 * 1000},
    }
