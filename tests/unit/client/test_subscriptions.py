from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from kline_gateway_client.decode import decoded
from kline_gateway_client.errors import BadMessage, InvalidSymbol, Refused
from kline_gateway_client.queues import Closed, Latest
from kline_gateway_client.subscriptions import CHANNELS_PER_COMMAND, Desk
from kline_gateway_client.values import Status

from tests.builders import T0
from tests.unit.client.klines import CHANNEL, SYMBOL, bar, opens, said, snapshot

if TYPE_CHECKING:
    from kline_gateway_client.queues import Inbox

HELLO = {"op": "hello", "protocol": 1, "server": "kline-gateway/0.1.0", "time": T0, "limits": {}}
PRICE = f"ticker:{SYMBOL}"
NOW_S = 100.0


def nothing() -> None:
    """Nobody waits."""


def closed() -> Closed:
    return Closed([SYMBOL], "1m", nothing, size=10)


def latest(*channels: str) -> Latest:
    return Latest(channels or (CHANNEL,), nothing)


def hear(desk: Desk, message: Any, luck: float = 0.0) -> None:
    desk.hear(decoded(json.dumps(message, default=float)), NOW_S, luck)


def commands(desk: Desk, now_s: float = NOW_S) -> list[dict[str, Any]]:
    return [json.loads(command) for command in desk.commands(now_s)]


def answer(desk: Desk, command: dict[str, Any], numbers: dict[str, int]) -> None:
    results = {name: {"n": numbers[name]} for name in command["channels"]}
    hear(desk, {"op": "subscribed", "id": command["id"], "channels": results})


def joined(*inboxes: Inbox) -> Desk:
    """A desk whose channels are numbered from 1 on, their snapshots still to come."""
    desk = Desk()
    for inbox in inboxes:
        desk.add(inbox)
    rejoin(desk)
    return desk


def rejoin(desk: Desk) -> list[dict[str, Any]]:
    desk.connected()
    hear(desk, HELLO)
    asked = commands(desk)
    names = [name for command in asked for name in command["channels"]]
    for command in asked:
        answer(desk, command, {name: place for place, name in enumerate(names, 1)})
    return asked


class TestSubscribing:
    def test_says_nothing_before_the_gateway_has_greeted(self) -> None:
        desk = Desk()
        desk.add(latest())
        assert (commands(desk), desk.due_in_s(NOW_S)) == ([], None)
        hear(desk, HELLO)
        assert desk.due_in_s(NOW_S) == 0.0
        (command,) = commands(desk)
        assert (command["op"], command["channels"]) == ("subscribe", [CHANNEL])
        assert (commands(desk), desk.due_in_s(NOW_S)) == ([], None)

    def test_closed_klines_are_asked_for_where_somebody_wants_them(self) -> None:
        desk = Desk()
        desk.add(latest(PRICE, CHANNEL))
        desk.add(closed())
        hear(desk, HELLO)
        assert [(command["channels"], command.get("history", 0)) for command in commands(desk)] == [
            ([PRICE], 0),
            ([CHANNEL], 1),
        ]

    def test_many_channels_take_several_commands(self) -> None:
        desk = Desk()
        inbox = latest(*(f"ticker:C{number}" for number in range(CHANNELS_PER_COMMAND + 1)))
        desk.add(inbox)
        assert [len(command["channels"]) for command in rejoin(desk)] == [CHANNELS_PER_COMMAND, 1]
        desk.remove(inbox)
        assert [len(command["channels"]) for command in commands(desk)] == [CHANNELS_PER_COMMAND, 1]

    def test_a_channel_is_held_as_long_as_somebody_wants_it(self) -> None:
        one, other = latest(), closed()
        desk = joined(one, other)
        hear(desk, snapshot(1, 1, forming=2))
        one.take()
        desk.remove(one)
        desk.remove(one)
        assert commands(desk) == []
        hear(desk, [T0, 1, [opens(2), 1, 1, 1, 1, 1, 1, 1, 1]])
        assert (one.take(), other.take() is not None) == (None, True)
        desk.remove(other)
        assert desk.due_in_s(NOW_S) == 0.0
        (command,) = commands(desk)
        assert (command["op"], command["channels"]) == ("unsubscribe", [CHANNEL])
        hear(desk, [T0, 1, 7])
        hear(desk, snapshot(1, 1, forming=2))
        assert list(desk.names()) == []

    def test_what_was_never_asked_for_is_not_given_up(self) -> None:
        desk, inbox = Desk(), latest()
        hear(desk, HELLO)
        desk.add(inbox)
        desk.remove(inbox)
        assert commands(desk) == []

    def test_an_answer_for_what_nobody_wants_any_more_is_passed_over(self) -> None:
        desk, inbox = Desk(), latest()
        desk.add(inbox)
        hear(desk, HELLO)
        (command,) = commands(desk)
        desk.remove(inbox)
        answer(desk, command, {CHANNEL: 1})
        hear(desk, snapshot(1, 1, forming=2))
        assert inbox.take() is None


class TestFolding:
    def test_news_go_to_those_who_want_them(self) -> None:
        bars, last, price = closed(), latest(), latest(PRICE)
        desk = joined(price, bars, last)
        hear(desk, snapshot(2, 1, forming=2))
        hear(desk, {"op": "snapshot", "n": 1, "channel": PRICE, "ticker": {"c": 5}, "state": "live"})
        hear(desk, {"op": "update", "t": T0, "u": [[1, {"c": 6}], [2, said(2)], [2, said(3, closed=False)]]})
        assert (bars.take(), bars.take()) == (bar(2), None)
        assert (last.take(), last.take()) == (bar(3, closed=False), None)
        ticker = price.take()
        assert ticker is not None
        assert ticker[1] == 6

    def test_news_before_the_snapshot_and_of_unknown_channels_are_passed_over(self) -> None:
        inbox = latest()
        desk = joined(inbox)
        hear(desk, [T0, 1, [opens(2), 1, 1, 1, 1, 1, 1, 1, 0], 99, 5])
        assert inbox.take() is None

    def test_what_a_newer_gateway_says_besides_is_passed_over(self) -> None:
        desk = joined(latest())
        for message in ({"op": "weather"}, {"op": "heartbeat", "t": 1}, {}, "text", None, {"op": "error", "code": "X"}):
            hear(desk, message)

    @pytest.mark.parametrize(
        "message",
        [
            {"op": "update", "u": [[1]]},
            [T0, 1],
            snapshot(1) | {"klines": [{"openTime": 5}]},
            {"op": "subscribed", "channels": {CHANNEL: {}}},
            {"op": "snapshot"},
        ],
        ids=["half a piece of news", "half a pair", "half a bar", "an empty answer", "an empty snapshot"],
    )
    def test_what_makes_no_sense_is_refused(self, message: Any) -> None:
        desk = joined(latest())
        hear(desk, snapshot(1, 1, forming=2))
        with pytest.raises(BadMessage):
            hear(desk, message)

    def test_another_version_of_the_protocol_is_refused(self) -> None:
        with pytest.raises(Refused, match="version 2"):
            hear(Desk(), HELLO | {"protocol": 2})


class TestComingLater:
    def test_the_state_is_there_at_once(self) -> None:
        desk = joined(latest())
        hear(desk, snapshot(1, 1, forming=2))
        last, bars = latest(), closed()
        desk.add(last)
        desk.add(bars)
        assert commands(desk) == []
        assert (last.take(), bars.take(), bars.cursor_ms(CHANNEL)) == (bar(2, closed=False), None, opens(1))

    def test_prices_too(self) -> None:
        desk = joined(latest(PRICE))
        hear(desk, {"op": "snapshot", "n": 1, "channel": PRICE, "ticker": {"c": 5}, "state": "live"})
        inbox = latest(PRICE)
        desk.add(inbox)
        assert inbox.take() is not None

    def test_where_nothing_is_known_closed_klines_are_asked_for(self) -> None:
        desk = joined(latest())
        hear(desk, snapshot(1))
        bars = closed()
        desk.add(bars)
        (command,) = commands(desk)
        assert (command["history"], "resume" in command) == (1, False)
        answer(desk, command, {CHANNEL: 1})
        hear(desk, snapshot(1, 4))
        assert bars.cursor_ms(CHANNEL) == opens(4)


class TestComingBack:
    def test_it_resumes_where_the_one_furthest_back_stands(self) -> None:
        one, other = closed(), closed()
        desk = joined(one)
        hear(desk, snapshot(1, 1, forming=2))
        desk.add(other)
        hear(desk, [T0, 1, [opens(2), 1, 1, 1, 1, 1, 1, 1, 1]])
        (command,) = rejoin(desk)
        assert command["resume"] == {CHANNEL: opens(2)}
        hear(desk, snapshot(1, 3, 4, forming=5, recovered=True))
        assert [one.take() is not None for _ in range(4)] == [True, True, True, False]
        assert other.cursor_ms(CHANNEL) == opens(4)

    def test_numbers_of_the_last_connection_mean_nothing(self) -> None:
        inbox = latest()
        desk = joined(inbox)
        hear(desk, snapshot(1, 1, forming=2))
        inbox.take()
        desk.connected()
        hear(desk, [T0, 1, 7])
        assert inbox.take() is None

    def test_who_wants_the_newest_alone_has_nothing_to_resume(self) -> None:
        desk = joined(latest())
        hear(desk, snapshot(1, 1, forming=2))
        (command,) = rejoin(desk)
        assert "resume" not in command


class TestRefusals:
    def refuse(self, desk: Desk, code: str) -> None:
        error = {"error": {"code": code, "message": "no"}}
        hear(desk, {"op": "subscribed", "id": 1, "channels": {CHANNEL: error}}, luck=0.5)

    def test_a_channel_that_cannot_be_had_is_told_to_all_who_want_it(self) -> None:
        one, other = latest(), closed()
        desk = Desk()
        desk.add(one)
        desk.add(other)
        hear(desk, HELLO)
        commands(desk)
        self.refuse(desk, "INVALID_SYMBOL")
        assert [type(inbox.errors[0]) for inbox in (one, other)] == [InvalidSymbol] * 2
        assert list(desk.names()) == []

    def test_what_is_out_of_reach_is_asked_for_again_later_and_later(self) -> None:
        desk = Desk()
        desk.add(closed())
        hear(desk, HELLO)
        for wait_s in (0.25, 0.5, 1.0):
            commands(desk, NOW_S + 60)
            self.refuse(desk, "UNAVAILABLE")
            assert (commands(desk), desk.due_in_s(NOW_S)) == ([], wait_s)
            assert desk.status([CHANNEL]) == Status("connecting", "UNAVAILABLE")

    def test_a_refusal_of_what_is_served_changes_nothing(self) -> None:
        desk = joined(latest())
        hear(desk, snapshot(1, 1, forming=2))
        self.refuse(desk, "RATE_LIMIT")
        assert desk.status([CHANNEL]).live

    def test_a_whole_command_may_be_refused(self) -> None:
        inbox = latest()
        desk = Desk()
        desk.add(inbox)
        hear(desk, HELLO)
        (command,) = commands(desk)
        hear(desk, {"op": "error", "id": command["id"], "code": "FORBIDDEN", "message": "no"})
        hear(desk, {"op": "error", "id": command["id"], "code": "FORBIDDEN", "message": "no"})
        assert [error.code for error in inbox.errors] == ["FORBIDDEN"]


class TestStatus:
    def test_is_the_worst_of_the_channels(self) -> None:
        desk = joined(latest(), latest(PRICE))
        names = list(desk.names())
        assert desk.status(names).state == "connecting"
        hear(desk, snapshot(1, 1, forming=2))
        hear(desk, {"op": "snapshot", "n": 2, "channel": PRICE, "ticker": None, "state": "live"})
        assert desk.status([*names, "ticker:OTHER"]) == Status("live")
        hear(desk, {"op": "status", "channels": {"2": "stale", "9": "stale"}, "reason": "redis", "since": T0})
        assert desk.status(names) == Status("stale", "redis", T0)
        assert desk.status([CHANNEL]).live
        hear(desk, {"op": "status", "channels": {"2": "live"}})
        assert desk.status(names).live

    def test_a_snapshot_tells_it_too(self) -> None:
        desk = joined(latest())
        hear(desk, snapshot(1, 1, forming=2) | {"state": "stale"})
        assert desk.status([CHANNEL]) == Status("stale")


def test_prices_stay_decimal_all_the_way() -> None:
    inbox = latest()
    desk = joined(inbox)
    desk.hear(decoded('{"op":"snapshot","n":1,"klines":[],"forming":null,"state":"live"}'), NOW_S, 0.0)
    desk.hear(decoded(f"[1,1,[{T0},1.10,1.20,1.00,1.10,5.0,7.50,3,0]]"), NOW_S, 0.0)
    bar_ = inbox.take()
    assert bar_ is not None
    assert str(bar_[4]) == "1.10"
    assert isinstance(bar_[5], Decimal)
