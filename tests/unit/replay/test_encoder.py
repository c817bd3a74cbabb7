from __future__ import annotations

from typing import Any

from gateway.delivery.channel import View
from gateway.model.interval import INTERVALS
from gateway.protocol.native import NativeDialect
from gateway.replay.channels import ReplayKlines, ReplayTicker
from gateway.replay.encoder import EventEncoder
from gateway.replay.timeline import Event
from tests.builders import MINUTE_MS, T0, kline, ticker
from tests.fakes import messages

BARS = ReplayKlines(1, "kline:AUSDT:1m", View.NATIVE, "AUSDT", INTERVALS["1m"], None, derived=False)
PRICE = ReplayTicker(2, "ticker:AUSDT", View.NATIVE, "AUSDT", INTERVALS["1m"])


def encoder(*, closed_only: bool = False) -> EventEncoder:
    return EventEncoder((NativeDialect(), closed_only))


def forms(prices: str, at_ms: int = T0) -> Event:
    return Event(at_ms, BARS, kline(0, prices))


def closes(at_ms: int = T0 + MINUTE_MS) -> Event:
    return Event(at_ms, BARS, kline(0, closed=True))


def says(price: str, at_ms: int = T0) -> Event:
    return Event(at_ms, PRICE, ticker(price, "AUSDT"))


def test_a_frame_has_what_happens_at_one_moment_and_its_time() -> None:
    found = messages(encoder().frames([forms("1 1 1 1"), says("1"), forms("1 2 1 2", T0 + 5)]))
    assert [(one["op"], one["t"], len(one["u"])) for one in found] == [
        ("update", str(T0), 2),
        ("update", str(T0 + 5), 1),
    ]
    assert found[1]["u"] == [["1", {"high": "2", "close": "2"}]]


def test_what_has_not_changed_is_not_sent() -> None:
    one = encoder()
    one.frames([forms("1 1 1 1"), says("1")])
    assert one.frames([forms("1 1 1 1", T0 + 5), says("1", T0 + 5)]) == b""


def test_after_a_close_the_next_kline_is_sent_whole() -> None:
    one = encoder()
    found = messages(one.frames([forms("1 2 1 2"), closes(), forms("1 2 1 2", T0 + MINUTE_MS)]))
    assert [update[1].get("isClosed") for message in found for update in message["u"]] == [False, True, False]


def test_a_client_may_want_closed_klines_only() -> None:
    found = messages(encoder(closed_only=True).frames([forms("1 1 1 1"), says("1"), closes()]))
    assert [[update[0] for update in message["u"]] for message in found] == [["1"]]


def value_of(channel: Any, value: Any) -> Any:
    if channel is BARS:
        BARS.forming = value
    else:
        PRICE.value = value
    return channel


def test_what_a_snapshot_had_is_sent_as_changes() -> None:
    one = encoder()
    one.note(value_of(BARS, kline(0, "1 1 1 1")))
    one.note(value_of(PRICE, None))
    assert messages(one.frames([forms("1 2 1 2")]))[0]["u"] == [["1", {"high": "2", "close": "2"}]]


def test_a_new_style_and_a_new_subscription_begin_with_whole_values() -> None:
    one = encoder()
    one.frames([forms("1 1 1 1"), says("1")])
    one.forget(1)
    assert "openTime" in messages(one.frames([forms("1 2 1 2")]))[0]["u"][0][1]
    one.set_style((NativeDialect(event_times=True), False))
    channels = [value_of(BARS, kline(0, "1 2 1 2")), value_of(PRICE, ticker("1", "AUSDT"))]
    (found,) = messages(one.values(channels, T0 + 9))
    assert found["t"] == str(T0 + 9)
    assert all("E" in update for _, update in found["u"])


def test_channels_without_a_value_have_no_frame() -> None:
    assert encoder().values([value_of(BARS, None), value_of(PRICE, None)], T0) == b""
