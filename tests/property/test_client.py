"""The Python client returns every closed kline once and in order, or reports those that are lost.

Whatever gateway, network and consumer do.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kline_gateway_client.codec import decode_json
from kline_gateway_client.errors import MissedKlines
from kline_gateway_client.queues import ClosedQueue, LatestQueue
from kline_gateway_client.subscriptions import Subscriptions

from tests.builders import T0
from tests.examples import EXAMPLES
from tests.unit.client.builders import CHANNEL, SYMBOL, client_kline, kline_fields, opens, snapshot

HELLO = {"op": "hello", "protocol": 1}

steps = st.lists(
    st.one_of(
        st.tuples(st.just("close"), st.integers(1, 6)),
        st.tuples(st.just("form"), st.just(0)),
        st.tuples(st.just("lose"), st.integers(0, 4)),
        st.tuples(st.just("connect"), st.booleans()),
        st.tuples(st.just("away"), st.integers(1, 40)),
        st.tuples(st.just("resync"), st.integers(0, 8)),
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.just("read"), st.integers(1, 6)),
        st.tuples(st.just("forget"), st.integers(1, 20)),
    ),
    max_size=60,
)


class World:
    """A gateway of one series that stores the newest klines, a connection that breaks, and two consumers."""

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.next = 10
        """The kline that is forming."""
        self.first = 5
        """The oldest that is stored."""
        self.shown = 0
        """The newest kline that was kline_fields."""
        self.connected = False
        self.subscriptions = Subscriptions()
        self.closed = ClosedQueue([SYMBOL], "1m", lambda: None, max_klines=4)
        self.latest = LatestQueue([CHANNEL], lambda: None)
        self.subscriptions.add(self.closed)
        self.subscriptions.add(self.latest)
        self.got: list[int] = []
        self.gone: list[range] = []
        self.started: int | None = None

    def receive(self, message: Any) -> None:
        self.subscriptions.receive(decode_json(json.dumps(message, default=float)), 0.0, 0.0)

    def close(self, count: int) -> None:
        for _ in range(count):
            if self.connected:
                self.receive(
                    {
                        "op": "update",
                        "t": T0,
                        "u": [[1, kline_fields(self.next)], [1, kline_fields(self.next + 1, closed=False)]],
                    }
                )
                self.shown = self.next + 1
            self.next += 1
            self.first = max(self.first, self.next - self.kept)

    def form(self, _: int) -> None:
        if self.connected:
            self.receive([T0, 1, 105])
        if (newest := self.latest.take()) is not None:
            assert newest[2] == opens(self.shown), "an older value than the newest"

    def lose(self, _: int) -> None:
        self.connected = False

    def connect(self, forming: bool) -> None:
        self.subscriptions.reset()
        self.receive(HELLO)
        (command,) = map(json.loads, self.subscriptions.commands(0.0))
        self.receive({"op": "subscribed", "id": command["id"], "channels": {CHANNEL: {"n": 1}}})
        self.connected = True
        if self.started is None:
            self.started = self.next
        shown = self.next if forming else None
        self.shown = self.next if forming else self.next - 1
        cursor = command.get("resume", {}).get(CHANNEL)
        if cursor is None:
            self.receive(snapshot(1, self.next - 1, forming=shown))
            return
        after = (cursor - T0) // 60_000
        recovered = after + 1 >= self.first
        klines = range(after + 1, self.next) if recovered else range(self.next - 1, self.next)
        self.receive(snapshot(1, *klines, forming=shown, recovered=recovered))

    def away(self, count: int) -> None:
        """An outage of so many klines, with a gateway that stores fewer or more than that."""
        self.lose(0)
        self.close(count)
        self.connect(True)

    def resync(self, count: int) -> None:
        if self.connected:
            first = max(self.first, self.next - count)
            self.shown = self.next
            self.receive(snapshot(1, *range(first, self.next), forming=self.next, resync=True))

    def take(self, count: int) -> None:
        for _ in range(count):
            while self.closed.errors:
                error = self.closed.errors.popleft()
                assert isinstance(error, MissedKlines)
                self.gone.append(range((error.after_ms - T0) // 60_000 + 1, (error.before_ms - T0) // 60_000))
            if (kline := self.closed.take()) is not None:
                assert kline == client_kline((kline.open_time_ms - T0) // 60_000)
                self.got.append((kline.open_time_ms - T0) // 60_000)

    def read(self, most: int) -> None:
        """What the stream does for a consumer that has taken everything."""
        self.take(5)
        if (cursor := self.closed.next_to_read()) is not None:
            assert cursor.cursor_ms is not None
            first = max(self.first, (cursor.cursor_ms - T0) // 60_000)
            stored = [client_kline(number) for number in range(first, self.next)][:most]
            self.closed.add_history(cursor, stored, 0.0, 0.0)

    def forget(self, kept: int) -> None:
        self.first = max(self.first, self.next - kept)

    def check(self) -> None:
        assert len(self.closed._klines) <= 4
        returned = sorted([*self.got, *(number for missed in self.gone for number in missed)])
        assert self.got == sorted(set(self.got))
        if self.started is not None:
            # Each one once, either as a kline or as one that is gone; and none is called gone that was given.
            assert returned == list(range(self.started, self.started + len(returned)))


@given(steps, st.integers(8, 30))
@settings(max_examples=3 * EXAMPLES // 2, deadline=None)
def test_each_closed_kline_is_returned_once_and_in_order(script: list[tuple[str, Any]], kept: int) -> None:
    world = World(kept)
    for name, argument in script:
        getattr(world, name)(argument)
        world.check()
    world.connect(True)
    world.close(1)
    for _ in range(100):
        world.read(5)
    world.take(5)
    world.check()
    returned = len(world.got) + sum(map(len, world.gone))
    assert world.started is not None
    assert world.started + returned == world.next, "every kline is returned or reported in the end"
