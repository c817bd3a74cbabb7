"""The native protocol as events: the same JSON, in the form that an EventSource reads."""

from __future__ import annotations

import orjson

from gateway.delivery.staleness import Staleness, StaleReason
from gateway.protocol.events import EventDialect, close_event
from gateway.protocol.frame import TEXT, frame
from gateway.protocol.native import NativeDialect
from tests.builders import kline, ticker

EVENTS, NATIVE = EventDialect(), NativeDialect()


def data(event: bytes) -> bytes:
    """The message of one event that has nothing else."""
    assert event.startswith(b"data:")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2
    return event[5:-2]


def test_an_update_has_the_time_of_sending_as_its_id() -> None:
    body = EVENTS.ticker(7, None, ticker("101.5")) + EVENTS.closed(8, kline(1, closed=True))
    event = EVENTS.frame(body, 1_700_000_000_123, spare=True)
    id, message, *rest = event.split(b"\n")
    assert (id, rest) == (b"id:1700000000123", [b"", b""])
    assert frame(TEXT, message.removeprefix(b"data:")) == NATIVE.frame(body, 1_700_000_000_123, spare=False)


def test_every_other_message_is_that_of_a_websocket() -> None:
    state = Staleness(StaleReason.SILENT, 5)
    for events, native in (
        (EVENTS.heartbeat(5), NATIVE.heartbeat(5)),
        (EVENTS.throttle(250, "load"), NATIVE.throttle(250, "load")),
        (EVENTS.ticker_snapshot(1, "ticker:X", None, state), NATIVE.ticker_snapshot(1, "ticker:X", None, state)),
        (EVENTS.hello("kg", 1, 2, {}), NATIVE.hello("kg", 1, 2, {})),
        (
            EVENTS.kline_snapshot(1, "kline:X:1m", b"", kline(3), state, {"resync": True}),
            NATIVE.kline_snapshot(1, "kline:X:1m", b"", kline(3), state, {"resync": True}),
        ),
    ):
        assert frame(TEXT, data(events)) == native


def test_each_state_is_an_event() -> None:
    told = EVENTS.status({1: Staleness(), 2: Staleness(StaleReason.SILENT, 5)})
    assert [orjson.loads(data(event + b"\n\n"))["op"] for event in told.split(b"\n\n")[:-1]] == ["status"] * 2


def test_a_shutdown_says_when_to_connect_again() -> None:
    retry, rest = EVENTS.shutdown(1500).split(b"\n", 1)
    assert retry == b"retry:1500"
    assert orjson.loads(data(rest)) == {"op": "shutdown", "retry_ms": 1500}


def test_the_last_event_says_why_the_connection_ends() -> None:
    assert orjson.loads(data(close_event(1012, "restart"))) == {"op": "close", "code": 1012, "reason": "restart"}
