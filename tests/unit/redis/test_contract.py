"""Names from symbols and symbols from names, whatever the templates look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import RedisConfig
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis import contract as topics_module
from gateway.redis.contract import KeyEvents, Topic, Topics
from gateway.redis.name_refusals import INTERVAL, SYMBOL

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable


def topics(pattern: str = DEFAULT_SYMBOL_PATTERN, **names: str) -> Topics:
    return Topics(RedisConfig(**names), ("1m", "1h", "1M"), pattern)  # type: ignore[arg-type]


@pytest.fixture
def contract() -> Topics:
    return topics()


def test_keys_and_channels_are_those_of_the_collector(contract: Topics) -> None:
    assert contract.ticker_key("BTCUSDT") == "ticker:BTCUSDT"
    assert contract.ticker_updated_key("BTCUSDT") == "ticker:BTCUSDT:lastUpdate"
    assert contract.klines_key("BTCUSDT", "1m") == "klines:BTCUSDT:1m"
    assert contract.last_closed_key("BTCUSDT", "1m") == "lastClosed:BTCUSDT:1m"
    assert contract.ticker_channel("BTCUSDT") == "ticker:BTCUSDT"
    assert contract.klines_channel("BTCUSDT", "1m") == "klines:BTCUSDT:1m"


@pytest.mark.parametrize(
    ("channel", "topic"),
    [
        pytest.param(b"ticker:BTCUSDT", Topic("BTCUSDT", ""), id="ticker"),
        pytest.param(b"ticker:1000SATSUSDT", Topic("1000SATSUSDT", ""), id="digits-first"),
        pytest.param(b"klines:BTCUSDT:1m", Topic("BTCUSDT", "1m"), id="klines"),
        pytest.param(b"klines:BTCUSDT:1M", Topic("BTCUSDT", "1M"), id="month-is-not-minute"),
        pytest.param(b"klines:BTCUSDT:5m", None, id="interval-not-served"),
        pytest.param(b"klines:BTCUSDT:m", None, id="no-interval"),
        pytest.param(b"klines:BTCUSDT", None, id="interval-missing"),
        pytest.param(b"klines:btcusdt:1m", None, id="lower-case"),
        pytest.param(b"ticker:B", Topic("B", ""), id="one-letter"),
        pytest.param("ticker:币安人生USDT".encode(), Topic("币安人生USDT", ""), id="chinese"),
        pytest.param("klines:币安人生USDT:1m".encode(), Topic("币安人生USDT", "1m"), id="chinese-klines"),
        pytest.param(b"ticker:BTC-USDT-SWAP", Topic("BTC-USDT-SWAP", ""), id="hyphens"),
        pytest.param(b"klines:BTC/USDT:1m", Topic("BTC/USDT", "1m"), id="slash"),
        pytest.param(b"ticker:BTC_USDT", Topic("BTC_USDT", ""), id="underscore"),
        pytest.param(b"ticker:.BXBT", Topic(".BXBT", ""), id="dot"),
        pytest.param(b"ticker:BTC/USDT:USDT", None, id="colon"),
        pytest.param(b"ticker:", None, id="no-symbol"),
        pytest.param(b"ticker:BTC USDT", None, id="space"),
        pytest.param(b"ticker:BTCUSDT:lastUpdate", None, id="another-key"),
        pytest.param(b"my-ticker:BTCUSDT", None, id="prefix"),
        pytest.param(b"ticker:BTCUSDT\n", None, id="newline"),
        pytest.param(b"ticker:\xff\xfe", None, id="not-utf-8"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_a_channel_is_parsed_as_a_whole_or_not_at_all(contract: Topics, channel: bytes, topic: Topic | None) -> None:
    assert contract.parse(channel) == topic
    assert contract.parse(channel) == topic, "the second time, from memory"


def test_a_channel_seen_before_costs_a_look_up(contract: Topics) -> None:
    assert contract.parse(b"ticker:BTCUSDT") is contract.parse(b"ticker:BTCUSDT")


def test_what_was_parsed_is_bounded(contract: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics_module, "_NAMES_MAX", 3)
    for number in range(100):
        assert contract.parse(b"klines:X%d:1m" % (number + 10)) == Topic(f"X{number + 10}", "1m")
        assert contract.parse(b"foreign:%d" % number) is None
        assert len(contract.by_name) <= 3


TEMPLATES = pytest.mark.parametrize(
    ("ticker_channel", "klines_channel"),
    [
        pytest.param("ticker:{symbol}", "klines:{symbol}:{interval}", id="default"),
        pytest.param("md.{symbol}", "md.{symbol}.{interval}", id="dots"),
        pytest.param("{symbol}@ticker", "{interval}/{symbol}", id="symbol-first"),
        pytest.param("t[{symbol}]", "k*({symbol}?{interval})\\", id="glob-and-regex-characters"),
        pytest.param("{{symbol}}:t", "{{symbol}}:k:{interval}", id="cluster-hash-tag"),
        pytest.param("{md}:{symbol}", "{md}:{symbol}:{interval}", id="other-braces"),
        pytest.param("цена:{symbol}", "свеча:{symbol}:{interval}", id="not-ascii"),
    ],
)


@TEMPLATES
def test_every_template_is_read_back_as_it_is_written(ticker_channel: str, klines_channel: str) -> None:
    names = topics(ticker_channel=ticker_channel, klines_channel=klines_channel)
    assert names.parse(names.ticker_channel("BTCUSDT").encode()) == Topic("BTCUSDT", "")
    assert names.parse(names.klines_channel("BTCUSDT", "1h").encode()) == Topic("BTCUSDT", "1h")


@TEMPLATES
def test_patterns_cover_the_channels_and_take_special_characters_for_themselves(
    ticker_channel: str, klines_channel: str
) -> None:
    names = topics(ticker_channel=ticker_channel, klines_channel=klines_channel)
    ticker, klines, bundle = names.patterns
    assert bundle == "bundle"
    assert ticker == _escaped(ticker_channel).replace("{symbol}", "*")
    assert klines == _escaped(klines_channel).replace("{symbol}", "*").replace("{interval}", "*")


def _escaped(template: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in template)


def test_a_prefix_stands_before_every_name() -> None:
    names = topics(prefix="{md}*:")
    assert names.ticker_key("A1") == "{md}*:ticker:A1"
    assert names.ticker_updated_key("A1") == "{md}*:ticker:A1:lastUpdate"
    assert names.klines_key("A1", "1m") == "{md}*:klines:A1:1m"
    assert names.last_closed_key("A1", "1m") == "{md}*:lastClosed:A1:1m"
    assert names.patterns == ["{md}\\*:ticker:*", "{md}\\*:klines:*:*", "{md}\\*:bundle"]
    assert names.bundle == b"{md}*:bundle"
    assert names.parse(b"{md}*:klines:A1:1m") == Topic("A1", "1m")
    assert names.parse(b"klines:A1:1m") is None


def test_the_channels_of_a_symbol_are_its_ticker_and_each_interval(contract: Topics) -> None:
    channels = contract.channels("A1")
    assert channels[0] == "ticker:A1"
    assert sorted(channels[1:]) == ["klines:A1:1M", "klines:A1:1h", "klines:A1:1m"]


@pytest.mark.parametrize(
    ("key", "make"),
    [
        ("ticker_key", lambda names: names.ticker_key("BTCUSDT")),
        ("ticker_updated_key", lambda names: names.ticker_updated_key("BTCUSDT")),
        ("klines_key", lambda names: names.klines_key("BTCUSDT", "1m")),
        ("last_closed_key", lambda names: names.last_closed_key("BTCUSDT", "1m")),
    ],
)
def test_each_key_has_its_own_template(key: str, make: Callable[[Topics], str]) -> None:
    suffix = "{interval}" if key in ("klines_key", "last_closed_key") else ""
    names = topics(**{key: f"{{{{symbol}}}}/own/{suffix}"})
    assert make(names) == "{BTCUSDT}/own/" + ("1m" if suffix else "")


def test_a_configured_symbol_pattern_decides_what_a_symbol_is() -> None:
    names = topics(pattern="[a-z]+-[a-z]+|XBT")
    assert names.parse(b"ticker:btc-usd") == Topic("btc-usd", "")
    assert names.parse(b"klines:XBT:1m") == Topic("XBT", "1m")
    assert names.parse(b"ticker:BTCUSDT") is None


def count(names: Topics | KeyEvents, *channels: bytes) -> Counter[str]:
    """Parse the channels of one read as a feed does; the counts of refused messages since the start."""
    refused = [names.by_name[channel] for channel in channels].count(None)
    names.count_refused(refused, channels)
    return names.refusals.messages


class TestWhyANameIsRefused:
    @pytest.mark.parametrize(
        ("channel", "reason"),
        [
            pytest.param(b"ticker:BTCUSDT", "", id="served"),
            pytest.param(b"ticker:btcusdt", SYMBOL, id="ticker"),
            pytest.param(b"klines:btcusdt:1m", SYMBOL, id="klines"),
            pytest.param(b"klines:btcusdt:5m", SYMBOL, id="symbol-and-interval"),
            pytest.param(b"klines:BTCUSDT:5m", INTERVAL, id="interval"),
            pytest.param(b"klines:BTCUSDT:60", INTERVAL, id="interval-of-another-form"),
            pytest.param(b"klines:A:B:1m", SYMBOL, id="colon"),
            pytest.param(b"ticker:\xff", SYMBOL, id="not-utf-8"),
            pytest.param(b"ticker:BTC\nUSDT", SYMBOL, id="newline"),
        ],
    )
    def test_is_its_symbol_or_its_interval(self, contract: Topics, channel: bytes, reason: str) -> None:
        assert contract.reason(channel) == reason
        assert contract.refusals.examples(SYMBOL) + contract.refusals.examples(INTERVAL) == [
            name for name in [channel.decode("utf-8", "backslashreplace").replace("\n", "\\x0a")] if reason
        ]

    def test_messages_are_counted_by_reason(self, contract: Topics) -> None:
        assert count(contract, b"ticker:a", b"ticker:BTCUSDT", b"ticker:a", b"ticker:b") == {SYMBOL: 3}
        assert count(contract, b"klines:BTCUSDT:5m", b"ticker:BTCUSDT", b"ticker:a") == {SYMBOL: 4, INTERVAL: 1}
        assert contract.refusals.examples(SYMBOL) == ["ticker:a", "ticker:b"]

    def test_the_time_of_a_ticker_is_no_refused_key(self) -> None:
        keys = topics().of_keys
        assert keys.parse(b"ticker:BTCUSDT:lastUpdate") is None
        assert [keys.reason(b"ticker:%b:lastUpdate" % symbol) for symbol in (b"BTCUSDT", b"btcusdt")] == ["", ""]
        assert keys.reason(b"ticker:btcusdt") == SYMBOL

    def test_nor_is_it_a_symbol_where_symbols_have_colons(self) -> None:
        keys = topics(pattern="[A-Za-z:]+").of_keys
        assert keys.parse(b"ticker:BTC:USDT") == Topic("BTC:USDT", "")
        assert keys.parse(b"ticker:BTC:USDT:lastUpdate") is None

    def test_notifications_about_refused_keys_are_counted(self) -> None:
        contract = topics()
        events = contract.of_key_events(0)
        keys = [b"ticker:btcusdt", b"ticker:btcusdt:lastUpdate", b"ticker:A1:lastUpdate", b"klines:A1:5m", b"ticker:A1"]
        assert +count(events, *(b"__keyspace@0__:" + key for key in keys)) == {SYMBOL: 1, INTERVAL: 1}
        assert contract.refusals.messages[SYMBOL] == 1

    def test_a_symbol_that_some_dialect_cannot_name_is_noted_once(self) -> None:
        contract = topics(pattern="[A-Za-z:/]+")
        for symbol in (b"BTCUSDT", b"kPEPE", b"tBTC", b"A:B", b"A/B"):
            contract.parse(b"ticker:" + symbol)
        assert sorted(contract.refusals.unnameable.values()) == ["A/B", "A:B", "kPEPE"]


class TestBundles:
    def test_are_neither_tickers_nor_klines_nor_refused(self) -> None:
        names = topics(pattern=".+", ticker_channel="{symbol}")
        assert names.parse(b"bundle") is None
        names.count_refused(1, [b"bundle"])
        assert not names.refusals.messages.total()

    def test_come_once_where_another_pattern_covers_their_channel(self) -> None:
        assert topics(bundle_channel="ticker:all").patterns == ["ticker:*", "klines:*:*"]

    def test_can_be_switched_off(self) -> None:
        names = topics(bundle_channel="", prefix="x:")
        assert (names.bundle, names.patterns) == (b"", ["x:ticker:*", "x:klines:*:*"])

    def test_are_channels_and_no_keys(self) -> None:
        assert topics().of_keys.bundle == topics().of_key_events(0).bundle == b""


class TestKeys:
    def test_are_told_apart_like_channels(self) -> None:
        keys = topics(ticker_key="t.{symbol}", klines_key="k.{symbol}.{interval}").of_keys
        assert keys.patterns == ["t.*", "k.*.*"]
        assert keys.parse(b"t.BTCUSDT") == Topic("BTCUSDT", "")
        assert keys.parse(b"k.BTCUSDT.1h") == Topic("BTCUSDT", "1h")
        assert keys.parse(b"ticker:BTCUSDT") is None

    def test_intervals_are_those_served(self) -> None:
        assert topics().of_keys.intervals == {"1m", "1h", "1M"}


class TestNotifications:
    @pytest.mark.parametrize(
        ("key", "topic"),
        [
            pytest.param(b"ticker:BTCUSDT", Topic("BTCUSDT", ""), id="ticker"),
            pytest.param(b"ticker:BTCUSDT:lastUpdate", Topic("BTCUSDT", ""), id="when-it-was-written"),
            pytest.param(b"klines:BTCUSDT:1m", Topic("BTCUSDT", "1m"), id="klines"),
            pytest.param(b"klines:BTCUSDT:5m", None, id="interval-not-served"),
            pytest.param(b"lastClosed:BTCUSDT:1m", None, id="another-key"),
        ],
    )
    def test_say_what_a_key_is_about(self, key: bytes, topic: Topic | None) -> None:
        events = topics().of_key_events(3)
        assert events.parse(b"__keyspace@3__:" + key) == topic
        assert events.parse(b"__keyspace@4__:" + key) is None
        assert events.parse(key) is None

    def test_come_once_where_one_pattern_covers_another(self) -> None:
        assert topics().of_key_events(0).patterns == ["__keyspace@0__:ticker:*", "__keyspace@0__:klines:*:*"]

    @pytest.mark.parametrize(
        "updated", ["updated:{symbol}", "ticker:{symbol}", "x:ticker:{symbol}:at"], ids=["other", "no-longer", "inside"]
    )
    def test_of_a_key_that_no_other_pattern_covers_have_their_own(self, updated: str) -> None:
        events = topics(ticker_key="ticker:{symbol}:now", ticker_updated_key=updated).of_key_events(0)
        assert events.patterns[2:] == ["__keyspace@0__:" + updated.replace("{symbol}", "*")]
        assert events.parse(b"__keyspace@0__:" + updated.replace("{symbol}", "ABUSDT").encode()) == Topic("ABUSDT", "")


def test_a_name_without_an_interval_is_of_the_only_one() -> None:
    names = RedisConfig(klines_key="candles-{symbol}", klines_channel="live-{symbol}")
    topics = Topics(names, ("1m",), DEFAULT_SYMBOL_PATTERN)
    assert topics.klines_key("BTC-USDT", "1m") == "candles-BTC-USDT"
    assert topics.parse(b"live-BTC-USDT") == Topic("BTC-USDT", "1m")
    assert topics.of_keys.parse(b"candles-BTC-USDT") == Topic("BTC-USDT", "1m")


def test_what_collectors_and_gateways_say_to_each_other_is_named_by_the_settings(contract: Topics) -> None:
    assert contract.lease_key == RedisConfig().lease_key
    assert topics(lease_key="mine").lease_key == "mine"
    assert contract.request_channel == RedisConfig().request_channel
    assert topics(request_channel="").request_channel == ""
