from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.delivery.commands import (
    Authenticate,
    ChannelName,
    Command,
    CommandError,
    ListChannels,
    Ping,
    SetProfile,
    Subscribe,
    Unsubscribe,
)
from gateway.delivery.throttle import FAST_LATENCY_MS
from gateway.model.errors import ErrorCode
from gateway.model.symbol import SymbolRule
from gateway.protocol.native_commands import BYTES_PER_MIN_MIN, ID_MAX, NativeCommands, id_of

COMMANDS = NativeCommands(SymbolRule(), ("1m", "1h"), 500)


def decode(**fields: Any) -> Command:
    return COMMANDS.decode(json.dumps(fields).encode())


def refusal(text: bytes) -> CommandError:
    with pytest.raises(CommandError) as caught:
        COMMANDS.decode(text)
    return caught.value


def refused(**fields: Any) -> CommandError:
    return refusal(json.dumps(fields).encode())


class TestSubscribe:
    def test_parses_channel_names(self) -> None:
        assert decode(op="subscribe", id=7, channels=["kline:BTCUSDT:1m", "ticker:1000SATSUSDT"]) == Subscribe(
            7,
            {
                "kline:BTCUSDT:1m": ChannelName("kline:BTCUSDT:1m", "BTCUSDT", "1m"),
                "ticker:1000SATSUSDT": ChannelName("ticker:1000SATSUSDT", "1000SATSUSDT", ""),
            },
        )

    def test_accepts_history_and_resume(self) -> None:
        command = decode(op="subscribe", channels=["kline:BTCUSDT:1m"], history=500, resume={"kline:BTCUSDT:1m": 5})
        assert isinstance(command, Subscribe)
        assert (command.id, command.history, command.resume) == (None, 500, {"kline:BTCUSDT:1m": 5})

    def test_drops_duplicate_names(self) -> None:
        command = decode(op="subscribe", channels=["ticker:BTCUSDT", "ticker:BTCUSDT"])
        assert isinstance(command, Subscribe)
        assert list(command.channels) == ["ticker:BTCUSDT"]

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("ticker", ErrorCode.INVALID_CHANNEL),
            ("", ErrorCode.INVALID_CHANNEL),
            ("book:BTCUSDT", ErrorCode.INVALID_CHANNEL),
            ("kline:BTCUSDT", ErrorCode.INVALID_CHANNEL),
            ("ticker:BTCUSDT:1m", ErrorCode.INVALID_CHANNEL),
            ("kline:BTCUSDT:2m", ErrorCode.INVALID_INTERVAL),
            ("kline:BTCUSDT:1M", ErrorCode.INVALID_INTERVAL),
            ("kline:btcusdt:1m", ErrorCode.INVALID_SYMBOL),
            ("ticker:BTC USDT", ErrorCode.INVALID_SYMBOL),
        ],
    )
    def test_refuses_an_invalid_name_and_accepts_the_others(self, name: str, code: ErrorCode) -> None:
        command = decode(op="subscribe", channels=[name, "ticker:BTCUSDT"])
        assert isinstance(command, Subscribe)
        error, other = command.channels[name], command.channels["ticker:BTCUSDT"]
        assert isinstance(error, CommandError)
        assert error.code == code
        assert isinstance(other, ChannelName)

    def test_does_not_repeat_a_long_name_in_full(self) -> None:
        command = decode(op="subscribe", channels=["ticker:" + "X" * 1000, "kline:BTCUSDT:" + "9" * 1000])
        assert isinstance(command, Subscribe)
        assert all(isinstance(error, CommandError) and len(error.message) < 100 for error in command.channels.values())

    @pytest.mark.parametrize("history", [-1, 501, 1.5, "5", None, True])
    def test_refuses_history_out_of_range(self, history: object) -> None:
        error = refused(op="subscribe", id=3, channels=["kline:BTCUSDT:1m"], history=history)
        assert (error.code, error.id) == (ErrorCode.BAD_REQUEST, 3)

    @pytest.mark.parametrize("resume", [5, [], None, {"kline:BTCUSDT:1m": "5"}, {"kline:BTCUSDT:1m": -1}])
    def test_refuses_a_cursor_that_is_not_an_open_time(self, resume: object) -> None:
        error = refused(op="subscribe", id=3, channels=["kline:BTCUSDT:1m"], resume=resume)
        assert (error.code, error.id) == (ErrorCode.BAD_REQUEST, 3)


@pytest.mark.parametrize("op", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("channels", [None, "ticker:BTCUSDT", [], [5], ["ticker:BTCUSDT", None]])
def test_channels_are_a_list_of_names(op: str, channels: object) -> None:
    error = refused(op=op, id=3, channels=channels)
    assert (error.code, error.id) == (ErrorCode.BAD_REQUEST, 3)


def test_the_other_commands() -> None:
    assert decode(op="unsubscribe", id="a", channels=["ticker:BTCUSDT", "whatever"]) == Unsubscribe(
        "a", ["ticker:BTCUSDT", "whatever"]
    )
    assert decode(op="list", id=1) == ListChannels(1)
    assert decode(op="ping") == Ping(None)


class TestSet:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({}, SetProfile(5, None, None, None)),
            ({"max_rate": 4}, SetProfile(5, 4.0, None, None)),
            ({"max_rate": 0.5, "closed_only": True}, SetProfile(5, 0.5, True, None)),
            ({"max_rate": None, "closed_only": False}, SetProfile(5, 0.0, False, None)),
            ({"max_bytes_per_min": BYTES_PER_MIN_MIN}, SetProfile(5, None, None, BYTES_PER_MIN_MIN)),
            ({"max_bytes_per_min": None}, SetProfile(5, None, None, 0)),
            ({"latency_ms": FAST_LATENCY_MS}, SetProfile(5, None, None, None, fast=True)),
            ({"latency_ms": 0}, SetProfile(5, None, None, None, fast=True)),
            ({"latency_ms": 1.5}, SetProfile(5, None, None, None, fast=False)),
            ({"latency_ms": None}, SetProfile(5, None, None, None, fast=False)),
            ({"event_times": True}, SetProfile(5, None, None, event_times=True)),
            ({"event_times": False, "closed_only": None}, SetProfile(5, None, None, event_times=False)),
        ],
    )
    def test_keeps_absent_settings_and_lifts_null_limits(self, fields: dict[str, Any], expected: SetProfile) -> None:
        assert decode(op="set", id=5, **fields) == expected

    @pytest.mark.parametrize(
        "fields",
        [
            {"max_rate": 0},
            {"max_rate": -1},
            {"max_rate": "4"},
            {"max_rate": True},
            {"closed_only": 1},
            {"closed_only": "yes"},
            {"max_bytes_per_min": BYTES_PER_MIN_MIN - 1},
            {"max_bytes_per_min": 1e6},
            {"max_bytes_per_min": True},
            {"latency_ms": -1},
            {"latency_ms": "1"},
            {"latency_ms": True},
            {"event_times": 1},
            {"event_times": "yes"},
        ],
        ids=str,
    )
    def test_refuses_invalid_settings(self, fields: dict[str, Any]) -> None:
        error = refused(op="set", id=5, **fields)
        assert (error.code, error.id) == (ErrorCode.BAD_REQUEST, 5)


class TestId:
    @pytest.mark.parametrize("id", [None, 0, -5, (1 << 63) - 1, "", "x" * ID_MAX])
    def test_is_kept_with_its_type(self, id: int | str | None) -> None:
        assert decode(op="ping", id=id) == Ping(id)

    @pytest.mark.parametrize("id", [1.5, True, [], {}, 1 << 63, "x" * (ID_MAX + 1)])
    def test_is_refused_if_it_cannot_be_echoed(self, id: object) -> None:
        error = refused(op="ping", id=id)
        assert (error.code, error.id) == (ErrorCode.BAD_REQUEST, None)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", ErrorCode.BAD_JSON),
        (b"{", ErrorCode.BAD_JSON),
        (b'{"op":"ping"}x', ErrorCode.BAD_JSON),
        (b'{"op":"set","max_rate":NaN}', ErrorCode.BAD_JSON),
        (b"[" * 5000, ErrorCode.BAD_JSON),
        (b"[]", ErrorCode.BAD_REQUEST),
        (b'"ping"', ErrorCode.BAD_REQUEST),
        (b"null", ErrorCode.BAD_REQUEST),
        (b"{}", ErrorCode.BAD_REQUEST),
        (b'{"op":5}', ErrorCode.BAD_REQUEST),
        (b'{"op":"PING"}', ErrorCode.UNKNOWN_OP),
    ],
)
def test_invalid_messages_have_different_codes(text: bytes, code: ErrorCode) -> None:
    assert refusal(text).code == code


def test_an_unknown_op_is_refused_with_its_id_and_shortened() -> None:
    error = refused(op="x" * 5000, id=4)
    assert (error.code, error.id) == (ErrorCode.UNKNOWN_OP, 4)
    assert len(error.message) < 100


def test_a_token_is_a_string_and_hidden_in_repr() -> None:
    command = decode(op="auth", id=1, token="s3cret")
    assert command == Authenticate(1, "s3cret")
    assert "s3cret" not in repr(command)
    assert {refused(op="auth").code, refused(op="auth", token=7).code} == {ErrorCode.BAD_REQUEST}


@pytest.mark.parametrize(
    ("text", "id"),
    [
        (b'{"op":"ping","id":7}', 7),
        (b'{"op":"nonsense","id":"a"}', "a"),
        (b'{"op":"ping"}', None),
        (b'{"op":"ping","id":[7]}', None),
        (b"[7]", None),
        (b'{"id":7', None),
        (b"", None),
    ],
)
def test_the_id_of_a_command_that_is_not_executed_is_found_where_it_has_one(text: bytes, id: int | str | None) -> None:
    assert id_of(text) == id
