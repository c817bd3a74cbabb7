"""The commands of the collector's side of the contract, and their order."""

from __future__ import annotations

import json

import pytest

from collector.contract import BUNDLE_BYTES, Command, Contract
from collector.encode import kline_event, kline_member, ticker_event, ticker_value
from collector.events import KlineEvent, MarketEvent, TickerEvent
from gateway.config import RedisConfig
from gateway.model.kline import Kline
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.model.ticker import Ticker
from gateway.redis.contract import Topics
from tests.unit.collector import builders

FORMING = KlineEvent("ABUSDT", "1m", Kline(60_000, 119_999, "1", "3", "1", "2", event_time_ms=90_000))
CLOSED = KlineEvent("ABUSDT", "1m", FORMING.kline._replace(closed=True, event_time_ms=120_000))
NEXT = KlineEvent("ABUSDT", "1m", Kline(120_000, 179_999, "2", "2", "2", "2", event_time_ms=121_000))
TICKER = TickerEvent(Ticker("ABUSDT", "2", event_time_ms=90_000))
LATER = TickerEvent(Ticker("ABUSDT", "3", event_time_ms=91_000))
STORE: list[Command] = [
    ("ZADD", "klines:ABUSDT:1m", 119_999, kline_member("ABUSDT", "1m", CLOSED.kline)),
    ("ZREMRANGEBYRANK", "klines:ABUSDT:1m", 0, -501),
    ("EXPIRE", "klines:ABUSDT:1m", 86_400),
    ("SET", "lastClosed:ABUSDT:1m", 119_999),
]


def contract(*, publish: bool = True, extended: bool = False, redis: RedisConfig | None = None) -> Contract:
    topics = Topics(redis or RedisConfig(), ("1m",), DEFAULT_SYMBOL_PATTERN)
    return Contract(topics, publish=publish, extended=extended)


def published(news: KlineEvent) -> Command:
    return ("PUBLISH", "klines:ABUSDT:1m", kline_event("ABUSDT", "1m", news.kline))


def reported(*news: MarketEvent) -> list[tuple[MarketEvent, bool]]:
    return [(item, False) for item in news]


def test_a_closed_kline_is_stored_before_it_is_published() -> None:
    assert contract().events(reported(CLOSED)) == [*STORE, published(CLOSED)]


def test_a_closed_kline_that_may_have_been_published_is_only_stored() -> None:
    assert contract().events([(CLOSED, True)]) == STORE


def test_a_forming_kline_is_only_published() -> None:
    assert contract().events(reported(FORMING)) == [published(FORMING)]


def test_events_keep_their_order() -> None:
    assert contract().events(reported(FORMING, CLOSED, NEXT)) == [
        published(FORMING), *STORE, published(CLOSED), published(NEXT),
    ]  # fmt: skip


def test_every_ticker_is_published_and_the_newest_stored_for_a_minute() -> None:
    assert contract().events(reported(TICKER, LATER)) == [
        ("PUBLISH", "ticker:ABUSDT", ticker_event(TICKER.ticker)),
        ("PUBLISH", "ticker:ABUSDT", ticker_event(LATER.ticker)),
        ("SET", "ticker:ABUSDT", ticker_value(LATER.ticker), "EX", 60),
        ("SET", "ticker:ABUSDT:lastUpdate", 91_000),
    ]


def test_a_collector_that_never_publishes_still_writes_all_keys() -> None:
    commands = contract(publish=False).events(reported(FORMING, CLOSED, TICKER))
    assert commands == [*STORE, *contract().ticker(TICKER.ticker)]


def test_a_series_is_replaced_as_a_whole() -> None:
    sut = contract()
    stored = [sut.stored(CLOSED), sut.stored(KlineEvent("ABUSDT", "1m", NEXT.kline._replace(closed=True)))]
    assert sut.series("ABUSDT", "1m", stored) == [
        ("DEL", "klines:ABUSDT:1m"),
        ("ZADD", "klines:ABUSDT:1m", 119_999, stored[0].member, 179_999, stored[1].member),
        ("EXPIRE", "klines:ABUSDT:1m", 86_400),
        ("SET", "lastClosed:ABUSDT:1m", 179_999),
    ]


def test_a_series_can_be_counted_and_renewed() -> None:
    assert contract().size("ABUSDT", "1m") == ("ZCARD", "klines:ABUSDT:1m")
    assert contract().touch("ABUSDT", "1m") == ("EXPIRE", "klines:ABUSDT:1m", 86_400)


def test_extended_klines_are_extended_in_keys_and_messages() -> None:
    store, *_, publish = contract(extended=True).events(reported(CLOSED))
    assert "V" in json.loads(str(store[-1]))
    assert "V" in json.loads(str(publish[-1]))["k"]


@pytest.mark.parametrize("news", [CLOSED, TICKER], ids=["kline", "ticker"])
def test_keys_and_channels_follow_the_configuration(news: MarketEvent) -> None:
    redis = RedisConfig(
        ticker_key="md.t.{symbol}", ticker_updated_key="md.u.{symbol}", klines_key="md.k.{symbol}.{interval}",
        last_closed_key="md.l.{symbol}.{interval}", ticker_channel="md.tc.{symbol}",
        klines_channel="md.kc.{symbol}.{interval}",
    )  # fmt: skip
    commands = contract(redis=redis).events(reported(news))
    assert all(str(command[1]).startswith("md.") for command in commands)
    assert len(commands) == (5 if news is CLOSED else 3)


class TestSeveralNodes:
    """A cluster, where one command cannot write keys of several nodes."""

    def test_keys_are_set_and_removed_one_by_one(self) -> None:
        sut = builders.contract(one_server=False)
        assert sut.set_all({"a": 1, "b": "2"}) == [("SET", "a", 1), ("SET", "b", "2")]
        assert sut.without_tickers(["A", "B"]) == [("DEL", "ticker:A"), ("DEL", "ticker:B")]

    def test_messages_go_to_the_node_of_their_channel_where_subscribers_ask_there(self) -> None:
        (command,) = builders.contract(sharded=True).published(CLOSED)
        assert command == ("SPUBLISH", *published(CLOSED)[1:])


def test_keys_of_one_server_are_set_and_removed_together() -> None:
    sut = contract()
    assert sut.set_all({"a": 1, "b": "2"}) == [("MSET", "a", 1, "b", "2")]
    assert sut.set_all({}) == []
    assert sut.without_tickers(["A", "B"]) == [("DEL", "ticker:A", "ticker:B")]


def test_bundles_carry_messages_as_lines_and_none_grows_without_end() -> None:
    messages: list[Command] = [("PUBLISH", f"c{number}", "x" * (BUNDLE_BYTES // 2)) for number in range(3)]
    bundles = contract().bundled(messages)
    assert [(command, channel) for command, channel, _ in bundles] == [("PUBLISH", "bundle")] * 2
    lines = "".join(str(payload) for _, _, payload in bundles).splitlines()
    assert lines == [f"{channel} {payload}" for _, channel, payload in messages]
    assert contract().bundled([]) == []


def test_what_is_asked_of_a_series_names_its_keys() -> None:
    of = contract()
    assert of.last_closed("ABUSDT", "1m") == ("GET", "lastClosed:ABUSDT:1m")
    assert of.size("ABUSDT", "1m") == ("ZCARD", "klines:ABUSDT:1m")
    assert of.touch("ABUSDT", "1m") == ("EXPIRE", "klines:ABUSDT:1m", 86_400)
    assert of.trim("ABUSDT", "1m", 480) == ("ZREMRANGEBYRANK", "klines:ABUSDT:1m", 0, -481)


def test_klines_of_one_series_are_stored_by_one_command() -> None:
    later = NEXT._replace(kline=NEXT.kline._replace(closed=True))
    members = [kline_member("ABUSDT", "1m", event.kline) for event in (CLOSED, later)]
    added = ("ZADD", "klines:ABUSDT:1m", 119_999, members[0], 179_999, members[1])
    assert contract().add([CLOSED, later]) == added
    assert contract().last_closed_value(later) == {"lastClosed:ABUSDT:1m": 179_999}


def test_what_gateways_ask_for_is_found_by_its_time() -> None:
    of = contract(redis=RedisConfig(request_channel="wanted"))
    assert of.request_channel == "wanted"
    wanted = ("ZRANGEBYSCORE", "klines:ABUSDT:1m", 119_999, 179_999, "WITHSCORES")
    assert of.between("ABUSDT", "1m", 119_999, 179_999) == wanted
