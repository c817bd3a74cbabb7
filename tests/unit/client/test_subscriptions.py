from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from kline_gateway_client.codec import decode_json
from kline_gateway_client.errors import BadMessage, InvalidSymbol, Refused
from kline_gateway_client.queues import ClosedQueue, LatestQueue
from kline_gateway_client.subscriptions import CHANNELS_PER_COMMAND, Subscriptions
from kline_gateway_client.values import Status

from tests.builders import T0
from tests.unit.client.builders import CHANNEL, SYMBOL, client_kline, kline_fields, opens, snapshot

if TYPE_CHECKING:
    from kline_gateway_client.queues import Queue

HELLO = {"op": "hello", "protocol": 1, "server": "kline-gateway/0.1.0", "time": T0, "limits": {}}
PRICE = f"ticker:{SYMBOL}"
NOW_S = 100.0


def nothing() -> None:
    """Ignore the notification."""


def closed() -> ClosedQueue:
    return ClosedQueue([SYMBOL], "1m", nothing, max_klines=10)


def latest(*channels: str) -> LatestQueue:
    return LatestQueue(channels or (CHANNEL,), nothing)


def receive(subscriptions: Subscriptions, message: Any, jitter: float = 0.0) -> None:
    subscriptions.receive(decode_json(json.dumps(message, default=float)), NOW_S, jitter)


def commands(subscriptions: Subscriptions, now_s: float = NOW_S) -> list[dict[str, Any]]:
    return [json.loads(command) for command in subscriptions.commands(now_s)]


def answer(subscriptions: Subscriptions, command: dict[str, Any], numbers: dict[str, int]) -> None:
    results = {name: {"n": numbers[name]} for name in command["channels"]}
    receive(subscriptions, {"op": "subscribed", "id": command["id"], "channels": results})


def joined(*queues: Queue) -> Subscriptions:
    """Subscriptions whose channels have the numbers 1, 2, ...; their snapshots have not arrived."""
    subscriptions = Subscriptions()
    for queue in queues:
        subscriptions.add(queue)
    rejoin(subscriptions)
    return subscriptions


def rejoin(subscriptions: Subscriptions) -> list[dict[str, Any]]:
    subscriptions.reset()
    receive(subscriptions, HELLO)
    asked = commands(subscriptions)
    names = [name for command in asked for name in command["channels"]]
    for command in asked:
        answer(subscriptions, command, {name: number for number, name in enumerate(names, 1)})
    return asked


class TestSubscribing:
    def test_sends_nothing_before_the_hello(self) -> None:
        subscriptions = Subscriptions()
        subscriptions.add(latest())
        assert (commands(subscriptions), subscriptions.next_command_in_s(NOW_S)) == ([], None)
        receive(subscriptions, HELLO)
        assert subscriptions.next_command_in_s(NOW_S) == 0.0
        (command,) = commands(subscriptions)
        assert (command["op"], command["channels"]) == ("subscribe", [CHANNEL])
        assert (commands(subscriptions), subscriptions.next_command_in_s(NOW_S)) == ([], None)

    def test_requests_closed_klines_only_for_queues_that_need_them(self) -> None:
        subscriptions = Subscriptions()
        subscriptions.add(latest(PRICE, CHANNEL))
        subscriptions.add(closed())
        receive(subscriptions, HELLO)
        assert [(command["channels"], command.get("history", 0)) for command in commands(subscriptions)] == [
            ([PRICE], 0),
            ([CHANNEL], 1),
        ]

    def test_many_channels_take_several_commands(self) -> None:
        subscriptions = Subscriptions()
        queue = latest(*(f"ticker:C{number}" for number in range(CHANNELS_PER_COMMAND + 1)))
        subscriptions.add(queue)
        assert [len(command["channels"]) for command in rejoin(subscriptions)] == [CHANNELS_PER_COMMAND, 1]
        subscriptions.remove(queue)
        assert [len(command["channels"]) for command in commands(subscriptions)] == [CHANNELS_PER_COMMAND, 1]

    def test_channel_ends_with_its_last_queue(self) -> None:
        one, other = latest(), closed()
        subscriptions = joined(one, other)
        receive(subscriptions, snapshot(1, 1, forming=2))
        one.take()
        subscriptions.remove(one)
        subscriptions.remove(one)
        assert commands(subscriptions) == []
        receive(subscriptions, [T0, 1, [opens(2), 1, 1, 1, 1, 1, 1, 1, 1]])
        assert (one.take(), other.take() is not None) == (None, True)
        subscriptions.remove(other)
        assert subscriptions.next_command_in_s(NOW_S) == 0.0
        (command,) = commands(subscriptions)
        assert (command["op"], command["channels"]) == ("unsubscribe", [CHANNEL])
        receive(subscriptions, [T0, 1, 7])
        receive(subscriptions, snapshot(1, 1, forming=2))
        assert list(subscriptions.names()) == []

    def test_channel_that_was_never_requested_is_not_unsubscribed(self) -> None:
        subscriptions, queue = Subscriptions(), latest()
        receive(subscriptions, HELLO)
        subscriptions.add(queue)
        subscriptions.remove(queue)
        assert commands(subscriptions) == []

    def test_reply_for_a_removed_channel_is_ignored(self) -> None:
        subscriptions, queue = Subscriptions(), latest()
        subscriptions.add(queue)
        receive(subscriptions, HELLO)
        (command,) = commands(subscriptions)
        subscriptions.remove(queue)
        answer(subscriptions, command, {CHANNEL: 1})
        receive(subscriptions, snapshot(1, 1, forming=2))
        assert queue.take() is None


class TestFolding:
    def test_updates_reach_the_queues_of_their_channel(self) -> None:
        klines, last, price = closed(), latest(), latest(PRICE)
        subscriptions = joined(price, klines, last)
        receive(subscriptions, snapshot(2, 1, forming=2))
        receive(subscriptions, {"op": "snapshot", "n": 1, "channel": PRICE, "ticker": {"c": 5}, "state": "live"})
        receive(
            subscriptions,
            {"op": "update", "t": T0, "u": [[1, {"c": 6}], [2, kline_fields(2)], [2, kline_fields(3, closed=False)]]},
        )
        assert (klines.take(), klines.take()) == (client_kline(2), None)
        assert (last.take(), last.take()) == (client_kline(3, closed=False), None)
        ticker = price.take()
        assert ticker is not None
        assert ticker[1] == 6

    def test_updates_before_the_snapshot_are_ignored(self) -> None:
        queue = latest()
        subscriptions = joined(queue)
        receive(subscriptions, [T0, 1, [opens(2), 1, 1, 1, 1, 1, 1, 1, 0], 99, 5])
        assert queue.take() is None

    def test_unknown_messages_are_ignored(self) -> None:
        subscriptions = joined(latest())
        for message in ({"op": "weather"}, {"op": "heartbeat", "t": 1}, {}, "text", None, {"op": "error", "code": "X"}):
            receive(subscriptions, message)

    @pytest.mark.parametrize(
        "message",
        [
            {"op": "update", "u": [[1]]},
            [T0, 1],
            snapshot(1) | {"klines": [{"openTime": 5}]},
            {"op": "subscribed", "channels": {CHANNEL: {}}},
            {"op": "snapshot"},
        ],
        ids=["half an update", "half a pair", "half a kline", "an empty answer", "an empty snapshot"],
    )
    def test_malformed_message_raises_bad_message(self, message: Any) -> None:
        subscriptions = joined(latest())
        receive(subscriptions, snapshot(1, 1, forming=2))
        with pytest.raises(BadMessage):
            receive(subscriptions, message)

    def test_a_planned_end_says_how_long_to_stay_away(self) -> None:
        subscriptions = joined(latest())
        waits = [subscriptions.planned_s]
        receive(subscriptions, {"op": "shutdown", "retry_ms": 2150})
        waits.append(subscriptions.planned_s)
        rejoin(subscriptions)
        waits.append(subscriptions.planned_s)
        assert waits == [None, 2.15, None]

    def test_other_protocol_version_raises_refused(self) -> None:
        with pytest.raises(Refused, match="version 2"):
            receive(Subscriptions(), HELLO | {"protocol": 2})


class TestComingLater:
    def test_late_queue_gets_the_current_state_at_once(self) -> None:
        subscriptions = joined(latest())
        receive(subscriptions, snapshot(1, 1, forming=2))
        last, klines = latest(), closed()
        subscriptions.add(last)
        subscriptions.add(klines)
        assert commands(subscriptions) == []
        assert (last.take(), klines.take(), klines.cursor_ms(CHANNEL)) == (
            client_kline(2, closed=False),
            None,
            opens(1),
        )

    def test_late_queue_gets_the_current_ticker_at_once(self) -> None:
        subscriptions = joined(latest(PRICE))
        receive(subscriptions, {"op": "snapshot", "n": 1, "channel": PRICE, "ticker": {"c": 5}, "state": "live"})
        queue = latest(PRICE)
        subscriptions.add(queue)
        assert queue.take() is not None

    def test_late_queue_requests_closed_klines_if_none_are_known(self) -> None:
        subscriptions = joined(latest())
        receive(subscriptions, snapshot(1))
        klines = closed()
        subscriptions.add(klines)
        (command,) = commands(subscriptions)
        assert (command["history"], "resume" in command) == (1, False)
        answer(subscriptions, command, {CHANNEL: 1})
        receive(subscriptions, snapshot(1, 4))
        assert klines.cursor_ms(CHANNEL) == opens(4)


class TestComingBack:
    def test_resumes_at_the_oldest_cursor(self) -> None:
        one, other = closed(), closed()
        subscriptions = joined(one)
        receive(subscriptions, snapshot(1, 1, forming=2))
        subscriptions.add(other)
        receive(subscriptions, [T0, 1, [opens(2), 1, 1, 1, 1, 1, 1, 1, 1]])
        (command,) = rejoin(subscriptions)
        assert command["resume"] == {CHANNEL: opens(2)}
        receive(subscriptions, snapshot(1, 3, 4, forming=5, recovered=True))
        assert [one.take() is not None for _ in range(4)] == [True, True, True, False]
        assert other.cursor_ms(CHANNEL) == opens(4)

    def test_numbers_of_the_last_connection_are_invalid(self) -> None:
        queue = latest()
        subscriptions = joined(queue)
        receive(subscriptions, snapshot(1, 1, forming=2))
        queue.take()
        subscriptions.reset()
        receive(subscriptions, [T0, 1, 7])
        assert queue.take() is None

    def test_latest_queue_does_not_resume(self) -> None:
        subscriptions = joined(latest())
        receive(subscriptions, snapshot(1, 1, forming=2))
        (command,) = rejoin(subscriptions)
        assert "resume" not in command


class TestRefusals:
    def refuse(self, subscriptions: Subscriptions, code: str) -> None:
        error = {"error": {"code": code, "message": "no"}}
        receive(subscriptions, {"op": "subscribed", "id": 1, "channels": {CHANNEL: error}}, jitter=0.5)

    def test_refused_channel_is_an_error_of_all_its_queues(self) -> None:
        one, other = latest(), closed()
        subscriptions = Subscriptions()
        subscriptions.add(one)
        subscriptions.add(other)
        receive(subscriptions, HELLO)
        commands(subscriptions)
        self.refuse(subscriptions, "INVALID_SYMBOL")
        assert [type(queue.errors[0]) for queue in (one, other)] == [InvalidSymbol] * 2
        assert list(subscriptions.names()) == []

    def test_unavailable_channel_is_requested_again_with_backoff(self) -> None:
        subscriptions = Subscriptions()
        subscriptions.add(closed())
        receive(subscriptions, HELLO)
        for wait_s in (0.25, 0.5, 1.0):
            commands(subscriptions, NOW_S + 60)
            self.refuse(subscriptions, "UNAVAILABLE")
            assert (commands(subscriptions), subscriptions.next_command_in_s(NOW_S)) == ([], wait_s)
            assert subscriptions.status([CHANNEL]) == Status("connecting", "UNAVAILABLE")

    def test_a_snapshot_ends_the_count_of_refusals_and_a_new_connection_asks_at_once(self) -> None:
        subscriptions = Subscriptions()
        subscriptions.add(closed())
        receive(subscriptions, HELLO)
        for _ in range(3):
            commands(subscriptions, NOW_S + 60)
            self.refuse(subscriptions, "UNAVAILABLE")
        assert len(rejoin(subscriptions)) == 1
        receive(subscriptions, snapshot(1, 1, forming=2))
        self.refuse(subscriptions, "UNAVAILABLE")
        assert subscriptions.next_command_in_s(NOW_S) == 0.25

    def test_temporary_refusal_of_a_channel_in_sync_keeps_it_live(self) -> None:
        subscriptions = joined(latest())
        receive(subscriptions, snapshot(1, 1, forming=2))
        self.refuse(subscriptions, "RATE_LIMIT")
        assert subscriptions.status([CHANNEL]).live

    def test_error_reply_refuses_all_channels_of_the_command(self) -> None:
        queue = latest()
        subscriptions = Subscriptions()
        subscriptions.add(queue)
        receive(subscriptions, HELLO)
        (command,) = commands(subscriptions)
        receive(subscriptions, {"op": "error", "id": command["id"], "code": "FORBIDDEN", "message": "no"})
        receive(subscriptions, {"op": "error", "id": command["id"], "code": "FORBIDDEN", "message": "no"})
        assert [error.code for error in queue.errors] == ["FORBIDDEN"]


class TestSettings:
    OFFER: ClassVar = HELLO | {"interval_ms": 60, "limits": {"latency_ms": 1}}

    def test_are_sent_before_the_subscriptions_of_each_connection(self) -> None:
        subscriptions = Subscriptions({"event_times": True, "max_rate": 4})
        subscriptions.add(latest())
        for _ in range(2):
            subscriptions.reset()
            assert commands(subscriptions) == []
            receive(subscriptions, HELLO)
            first, second = commands(subscriptions)
            assert (first["op"], first["event_times"], first["max_rate"]) == ("set", True, 4)
            assert (second["op"], second["channels"]) == ("subscribe", [CHANNEL])
            assert commands(subscriptions) == []

    def test_are_sent_though_nothing_is_subscribed(self) -> None:
        subscriptions = Subscriptions({"max_rate": 4})
        receive(subscriptions, HELLO)
        assert subscriptions.next_command_in_s(NOW_S) == 0.0
        assert [command["op"] for command in commands(subscriptions)] == ["set"]
        assert subscriptions.next_command_in_s(NOW_S) is None

    def test_a_latency_is_asked_for_on_its_own_and_only_where_it_is_offered(self) -> None:
        subscriptions = Subscriptions({"latency_ms": 0, "max_rate": 4})
        receive(subscriptions, HELLO)
        assert [command.get("latency_ms") for command in commands(subscriptions)] == [None]
        subscriptions.reset()
        receive(subscriptions, self.OFFER)
        assert [command.get("latency_ms") for command in commands(subscriptions)] == [None, 0]

    def test_one_that_is_refused_ends_nothing(self) -> None:
        queue = latest()
        subscriptions = Subscriptions({"latency_ms": 0})
        subscriptions.add(queue)
        receive(subscriptions, self.OFFER)
        wish, _ = commands(subscriptions)
        receive(subscriptions, {"op": "error", "id": wish["id"], "code": "FORBIDDEN", "message": "no"})
        assert not queue.errors
        assert list(subscriptions.names()) == [CHANNEL]

    def test_the_gateway_says_how_long_updates_wait(self) -> None:
        subscriptions, said = Subscriptions(), []
        for message in (
            HELLO,
            self.OFFER,
            {"op": "throttle", "interval_ms": 250, "reason": "load"},
            {"op": "set", "id": 1, "interval_ms": 1},
        ):
            receive(subscriptions, message)
            said.append(subscriptions.interval_ms)
        assert said == [None, 60, 250, 1]


class TestStatus:
    def test_status_is_the_worst_of_the_channels(self) -> None:
        subscriptions = joined(latest(), latest(PRICE))
        names = list(subscriptions.names())
        assert subscriptions.status(names).state == "connecting"
        receive(subscriptions, snapshot(1, 1, forming=2))
        receive(subscriptions, {"op": "snapshot", "n": 2, "channel": PRICE, "ticker": None, "state": "live"})
        assert subscriptions.status([*names, "ticker:OTHER"]) == Status("live")
        receive(
            subscriptions, {"op": "status", "channels": {"2": "stale", "9": "stale"}, "reason": "redis", "since": T0}
        )
        assert subscriptions.status(names) == Status("stale", "redis", T0)
        assert subscriptions.status([CHANNEL]).live
        receive(subscriptions, {"op": "status", "channels": {"2": "live"}})
        assert subscriptions.status(names).live

    def test_snapshot_sets_the_status(self) -> None:
        subscriptions = joined(latest())
        receive(subscriptions, snapshot(1, 1, forming=2) | {"state": "stale"})
        assert subscriptions.status([CHANNEL]) == Status("stale")


def test_prices_stay_decimal_from_message_to_kline() -> None:
    queue = latest()
    subscriptions = joined(queue)
    subscriptions.receive(decode_json('{"op":"snapshot","n":1,"klines":[],"forming":null,"state":"live"}'), NOW_S, 0.0)
    subscriptions.receive(decode_json(f"[1,1,[{T0},1.10,1.20,1.00,1.10,5.0,7.50,3,0]]"), NOW_S, 0.0)
    kline = queue.take()
    assert kline is not None
    assert str(kline[4]) == "1.10"
    assert isinstance(kline[5], Decimal)
