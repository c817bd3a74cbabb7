from __future__ import annotations

from typing import Any

import pytest

from gateway.delivery.commands import CommandError
from gateway.delivery.staleness import Staleness, StaleReason
from gateway.model.errors import ErrorCode
from gateway.protocol.native import DEFLATE_MIN_BYTES, NativeDialect, kline_json, ticker_json
from tests.builders import MINUTE_MS, T0, kline, ticker
from tests.fakes import messages, parsed

LIVE, AWAY = Staleness(), Staleness(StaleReason.DISCONNECTED, T0)


@pytest.fixture
def dialect() -> NativeDialect:
    return NativeDialect()


def said(frames: bytes) -> dict[str, Any]:
    """The one message of these frames; numbers as text."""
    (message,) = messages(frames)
    assert isinstance(message, dict)
    return message


def news(fragment: bytes) -> tuple[int, dict[str, Any]]:
    """A fragment's channel and what it says of it."""
    ((n, fields),) = said(NativeDialect().frame(fragment, T0, spare=False))["u"]
    return int(n), fields


class TestValues:
    def test_a_kline_has_the_clients_field_names_and_the_sources_digits(self) -> None:
        text = kline_json(
            kline(1, "100.10 110 90.00 105.5", volume="1.230", quote_volume="99.0", trades=7, closed=True)
        )
        assert text == (
            b'{"openTime":1732320060000,"open":100.10,"high":110,"low":90.00,"close":105.5,"volume":1.230'
            b',"closeTime":1732320119999,"quoteVolume":99.0,"trades":7,"isClosed":true}'
        )

    def test_a_provisional_kline_is_marked(self) -> None:
        assert parsed(kline_json(kline(provisional=True)))["provisional"] is True
        assert "provisional" not in parsed(kline_json(kline()))
        assert parsed(kline_json(kline()))["isClosed"] is False

    def test_a_ticker_has_only_the_fields_the_source_gave(self) -> None:
        whole = ticker("100.10", open="99", high="101", low="98", volume="5.0", quote_volume="500", trades=12)
        assert ticker_json(whole._replace(change="-1.1", change_percent="-1.10", bid="7")) == (
            b'{"c":100.10,"o":99,"h":101,"l":98,"v":5.0,"q":500,"p":-1.1,"P":-1.10,"n":12,"E":1732320000000}'
        )
        assert ticker_json(ticker("7", event_time_ms=0)) == b'{"c":7}'
        assert ticker_json(ticker("7", trades=0)) == b'{"c":7,"n":0,"E":1732320000000}'

    def test_a_ticker_that_is_made_of_klines_says_so_and_one_that_was_says_that_it_is_not(self) -> None:
        assert parsed(ticker_json(ticker(derived=True)))["derived"] is True
        assert parsed(ticker_json(ticker(derived=False)))["derived"] is False


class TestNews:
    def test_a_ticker_of_the_source_takes_the_mark_of_a_derived_one_away(self, dialect: NativeDialect) -> None:
        made, sent = ticker("5", derived=True), ticker("6", derived=False)
        assert news(dialect.ticker(3, made, sent)) == (3, {"c": "6", "derived": False})
        assert news(dialect.ticker(3, sent, sent._replace(last="7"))) == (3, {"c": "7"})

    def test_without_an_older_value_the_update_is_complete(self, dialect: NativeDialect) -> None:
        assert news(dialect.ticker(3, None, ticker("7"))) == (3, parsed(ticker_json(ticker("7"))))
        assert news(dialect.kline(4, None, kline())) == (4, parsed(kline_json(kline())))

    @pytest.mark.parametrize(
        ("change", "fields"),
        [
            ({"last": "8"}, {"c": "8"}),
            ({"high": "9.50", "low": "6", "volume": "2"}, {"h": "9.50", "l": "6", "v": "2"}),
            ({"open": "5", "quote_volume": "3"}, {"o": "5", "q": "3"}),
            ({"change": "-1", "change_percent": "-2.5", "trades": 4}, {"p": "-1", "P": "-2.5", "n": "4"}),
            ({"last": "7.0"}, {"c": "7.0"}),
        ],
    )
    def test_a_ticker_update_has_changed_fields_only(
        self, dialect: NativeDialect, change: dict[str, Any], fields: dict[str, str]
    ) -> None:
        old = ticker("7", open="1", high="2", low="1", volume="1", quote_volume="1", change="1", change_percent="1")
        assert news(dialect.ticker(3, old, old._replace(event_time_ms=T0 + 1, **change))) == (3, fields)

    def test_a_ticker_with_fewer_fields_is_still_valid_json(self, dialect: NativeDialect) -> None:
        old = ticker("7", open="1", change_percent="1", trades=3)
        assert news(dialect.ticker(3, old, ticker("8"))) == (3, {"c": "8"})
        assert dialect.ticker(3, old, ticker("7")) == b""

    def test_a_ticker_with_only_a_new_time_makes_no_update(self, dialect: NativeDialect) -> None:
        old = ticker("7", bid="1")
        assert dialect.ticker(3, old, old._replace(event_time_ms=T0 + 1, bid="2")) == b""

    @pytest.mark.parametrize(
        ("change", "fields"),
        [
            ({"close": "106"}, {"close": "106"}),
            ({"open": "101", "high": "111", "low": "89"}, {"open": "101", "high": "111", "low": "89"}),
            (
                {"volume": "2", "quote_volume": "20", "trades": 3},
                {"volume": "2", "quoteVolume": "20", "trades": "3"},
            ),
            ({"provisional": True}, {"provisional": True}),
        ],
    )
    def test_a_forming_kline_update_has_changed_fields_only(
        self, dialect: NativeDialect, change: dict[str, Any], fields: dict[str, Any]
    ) -> None:
        old = kline()
        assert news(dialect.kline(4, old, old._replace(event_time_ms=T0 + 5, **change))) == (4, fields)
        assert dialect.kline(4, old, old._replace(event_time_ms=T0 + 5, taker_volume="9")) == b""

    def test_a_confirmed_provisional_kline_makes_an_update(self, dialect: NativeDialect) -> None:
        assert news(dialect.kline(4, kline(provisional=True), kline())) == (4, {"provisional": False})

    def test_the_next_kline_is_sent_complete(self, dialect: NativeDialect) -> None:
        assert news(dialect.kline(4, kline(0), kline(1))) == (4, parsed(kline_json(kline(1))))

    def test_a_closed_kline_is_sent_complete(self, dialect: NativeDialect) -> None:
        assert news(dialect.closed(4, kline(closed=True))) == (4, parsed(kline_json(kline(closed=True))))


class TestEventTimes:
    """For clients that ask: each update has the event time of the value that it makes."""

    timed = NativeDialect(event_times=True)

    def test_a_ticker_update_has_its_own(self) -> None:
        old = ticker("7")
        assert news(self.timed.ticker(3, old, ticker("8", event_time_ms=T0 + 9))) == (3, {"c": "8", "E": str(T0 + 9)})
        assert news(self.timed.ticker(3, None, old)) == (3, parsed(ticker_json(old)))

    def test_a_kline_update_has_its_own(self) -> None:
        old = kline(event_time_ms=T0 + 1)
        newer = old._replace(close="106", event_time_ms=T0 + 5)
        assert news(self.timed.kline(4, old, newer)) == (4, {"close": "106", "E": str(T0 + 5)})
        assert news(self.timed.kline(4, None, newer)) == (4, parsed(kline_json(newer)) | {"E": str(T0 + 5)})

    def test_a_closed_kline_has_its_own(self) -> None:
        closed = kline(closed=True, event_time_ms=T0 + 5)
        assert news(self.timed.closed(4, closed)) == (4, parsed(kline_json(closed)) | {"E": str(T0 + 5)})

    def test_one_that_is_not_known_is_null(self) -> None:
        unknown = ticker("8", event_time_ms=0)
        assert news(self.timed.ticker(3, None, unknown)) == (3, {"c": "8", "E": None})
        assert news(self.timed.ticker(3, ticker("7"), unknown)) == (3, {"c": "8", "E": None})
        assert news(self.timed.closed(4, kline(closed=True, event_time_ms=0)))[1]["E"] is None

    def test_a_value_is_not_sent_for_its_event_time_alone(self) -> None:
        assert self.timed.ticker(3, ticker("7"), ticker("7", event_time_ms=T0 + 9)) == b""
        assert self.timed.kline(4, kline(), kline(event_time_ms=T0 + 9)) == b""

    def test_snapshots_have_that_of_the_newest_value(self) -> None:
        closed, forming = kline_json(kline(0, closed=True)), kline(1, event_time_ms=T0 + 5)
        message = said(self.timed.kline_snapshot(17, "kline:BTCUSDT:1m", closed, forming, LIVE, {}))
        assert message["klines"] == [parsed(closed)]
        assert message["forming"] == parsed(kline_json(forming)) | {"E": str(T0 + 5)}
        assert said(self.timed.kline_snapshot(17, "kline:BTCUSDT:1m", b"", None, LIVE, {}))["forming"] is None
        price = ticker("7", event_time_ms=0)
        assert said(self.timed.ticker_snapshot(18, "ticker:BTCUSDT", price, LIVE))["ticker"] == {"c": "7", "E": None}

    def test_cost_nothing_to_who_does_not_ask(self, dialect: NativeDialect) -> None:
        assert b'"E"' not in dialect.kline(4, None, kline(event_time_ms=T0 + 5))
        assert b'"E"' not in dialect.kline(4, kline(), kline(close="106", event_time_ms=T0 + 5))
        assert b'"E"' not in dialect.closed(4, kline(closed=True, event_time_ms=T0 + 5))
        assert dialect.ticker(3, ticker("7"), ticker("8", event_time_ms=T0 + 9)) == b',[3,{"c":8}]'


class TestBeat:
    def test_joins_fragments_into_one_update(self, dialect: NativeDialect) -> None:
        body = (
            dialect.closed(4, kline(0, closed=True))
            + dialect.kline(4, None, kline(1))
            + dialect.ticker(3, ticker("7"), ticker("8"))
        )
        assert said(dialect.frame(body, T0, spare=True)) == {
            "op": "update",
            "t": str(T0),
            "u": [
                ["4", parsed(kline_json(kline(0, closed=True)))],
                ["4", parsed(kline_json(kline(1)))],
                ["3", {"c": "8"}],
            ],
        }

    @pytest.mark.parametrize(
        ("deflate", "spare", "count", "compressed"),
        [(True, True, 50, True), (True, True, 1, False), (True, False, 50, False), (False, True, 50, False)],
        ids=["pays", "too short", "no time", "not agreed on"],
    )
    def test_is_compressed_if_long_enough(self, deflate: bool, spare: bool, count: int, compressed: bool) -> None:
        dialect = NativeDialect(deflate=deflate)
        body = b"".join(dialect.ticker(n, ticker("7"), ticker("8")) for n in range(count))
        frames = dialect.frame(body, T0, spare=spare)
        assert bool(frames[0] & 0x40) is compressed
        assert len(said(frames)["u"]) == count


class TestMessages:
    def test_no_channel_contains_several_symbols(self, dialect: NativeDialect) -> None:
        assert dialect.tickers(3, [ticker("7")]) == b""

    def test_status_has_channels_reason_and_time(self, dialect: NativeDialect) -> None:
        assert said(dialect.status({17: AWAY, 3: AWAY})) == {
            "op": "status",
            "channels": {"17": "stale", "3": "stale"},
            "reason": "redis",
            "since": str(T0),
        }
        assert said(dialect.status({17: LIVE})) == {"op": "status", "channels": {"17": "live"}}

    def test_status_is_one_message_for_each_state(self, dialect: NativeDialect) -> None:
        frames = dialect.status({17: LIVE, 3: AWAY, 4: LIVE})
        first = dialect.status({17: LIVE, 4: LIVE})
        assert frames == first + dialect.status({3: AWAY})

    def test_throttle_and_heartbeat(self, dialect: NativeDialect) -> None:
        assert said(dialect.throttle(200, "load")) == {"op": "throttle", "interval_ms": "200", "reason": "load"}
        assert said(dialect.heartbeat(T0)) == {"op": "heartbeat", "t": str(T0)}
        assert said(dialect.shutdown(2150)) == {"op": "shutdown", "retry_ms": "2150"}

    def test_hello_has_version_and_limits(self, dialect: NativeDialect) -> None:
        assert said(dialect.hello("kline-gateway/1", T0, 50, {"history_max": 500})) == {
            "op": "hello",
            "protocol": "1",
            "server": "kline-gateway/1",
            "time": str(T0),
            "interval_ms": "50",
            "limits": {"history_max": "500"},
        }

    def test_a_replay_says_what_it_is_when_it_begins_and_how_it_ends(self, dialect: NativeDialect) -> None:
        replay = {"from": T0, "to": None, "speed": 2.5}
        assert said(dialect.hello("kline-gateway/1", T0, 50, {}, replay))["replay"] == {
            "from": str(T0),
            "to": None,
            "speed": "2.5",
        }
        assert said(dialect.subscribed(1, {"ticker:FOO": 1}, T0))["time"] == str(T0)
        assert said(dialect.replay_end(T0, "present")) == {"op": "replay_end", "t": str(T0), "reason": "present"}


class TestSnapshots:
    def test_of_klines_has_closed_ones_then_the_forming_one(self, dialect: NativeDialect) -> None:
        closed = b",".join(kline_json(kline(number, closed=True)) for number in (0, 1))
        message = said(dialect.kline_snapshot(17, "kline:BTCUSDT:1m", closed, kline(2), LIVE, {}))
        assert message == {
            "op": "snapshot",
            "n": "17",
            "channel": "kline:BTCUSDT:1m",
            "klines": [parsed(kline_json(kline(number, closed=True))) for number in (0, 1)],
            "forming": parsed(kline_json(kline(2))),
            "state": "live",
        }

    def test_of_klines_has_its_flags(self, dialect: NativeDialect) -> None:
        extra = {"resync": True, "recovered": False}
        message = said(dialect.kline_snapshot(17, "kline:BTCUSDT:1m", b"", None, AWAY, extra))
        assert message == {
            "op": "snapshot",
            "n": "17",
            "channel": "kline:BTCUSDT:1m",
            "klines": [],
            "forming": None,
            "state": "stale",
            "reason": "redis",
            "since": str(T0),
            "resync": True,
            "recovered": False,
        }

    def test_of_a_kline_is_compressed_if_long_enough(self) -> None:
        dialect = NativeDialect(deflate=True)
        closed = b",".join(kline_json(kline(number, closed=True)) for number in range(50))
        long = dialect.kline_snapshot(17, "kline:BTCUSDT:1m", closed, None, LIVE, {})
        assert len(long) < len(closed)
        assert len(said(long)["klines"]) == 50
        short = dialect.kline_snapshot(17, "kline:BTCUSDT:1m", b"", None, LIVE, {})
        assert len(short) < DEFLATE_MIN_BYTES
        assert not short[0] & 0x40

    def test_of_a_ticker_is_complete(self, dialect: NativeDialect) -> None:
        assert said(dialect.ticker_snapshot(18, "ticker:BTCUSDT", ticker("7"), LIVE)) == {
            "op": "snapshot",
            "n": "18",
            "channel": "ticker:BTCUSDT",
            "ticker": parsed(ticker_json(ticker("7"))),
            "state": "live",
        }
        assert said(dialect.ticker_snapshot(18, "ticker:BTCUSDT", None, AWAY))["ticker"] is None


class TestReplies:
    def test_subscribed_has_a_result_per_channel(self, dialect: NativeDialect) -> None:
        refused = CommandError(ErrorCode.INVALID_SYMBOL, "nobody has data for FOO")
        message = said(dialect.subscribed(7, {"ticker:BTCUSDT": 18, "ticker:FOO": refused}))
        assert message == {
            "op": "subscribed",
            "id": "7",
            "channels": {
                "ticker:BTCUSDT": {"n": "18"},
                "ticker:FOO": {"error": {"code": "INVALID_SYMBOL", "message": "nobody has data for FOO"}},
            },
        }

    def test_an_id_is_echoed_with_its_type_or_absent(self, dialect: NativeDialect) -> None:
        assert b'"id":8' in dialect.pong(8, T0)
        assert b'"id":"8"' in dialect.pong("8", T0)
        assert said(dialect.pong(None, T0)) == {"op": "pong", "time": str(T0)}

    def test_the_reply_to_auth_has_the_tokens_end(self, dialect: NativeDialect) -> None:
        assert said(dialect.authenticated(1, T0)) == {"op": "auth", "id": "1", "expires": str(T0)}
        assert said(dialect.authenticated(None, None)) == {"op": "auth", "expires": None}

    def test_unsubscribed_list_and_set(self, dialect: NativeDialect) -> None:
        assert said(dialect.unsubscribed(1, ["ticker:FOO"])) == {
            "op": "unsubscribed",
            "id": "1",
            "channels": ["ticker:FOO"],
        }
        assert said(dialect.channel_list(2, {"ticker:BTCUSDT": 18})) == {
            "op": "list",
            "id": "2",
            "channels": {"ticker:BTCUSDT": "18"},
        }
        assert said(dialect.profile(3, {"max_rate": None, "closed_only": True, "interval_ms": 50})) == {
            "op": "set",
            "id": "3",
            "max_rate": None,
            "closed_only": True,
            "interval_ms": "50",
        }

    def test_an_error_has_the_id_of_its_command_if_known(self, dialect: NativeDialect) -> None:
        assert said(dialect.error(CommandError(ErrorCode.UNKNOWN_OP, "no such op", 9))) == {
            "op": "error",
            "id": "9",
            "code": "UNKNOWN_OP",
            "message": "no such op",
        }
        assert "id" not in said(dialect.error(CommandError(ErrorCode.BAD_JSON, "not JSON")))


def test_a_time_is_in_milliseconds() -> None:
    # Guards the builders these tests lean on.
    assert kline(1).open_time_ms - kline(0).open_time_ms == MINUTE_MS
