"""What a program gets from the client's pure part, whatever gateway, network and consumer do: every closed bar once, in
order, or an announcement of those that are gone."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kline_gateway_client.decode import decoded
from kline_gateway_client.errors import MissedBars
from kline_gateway_client.queues import Closed, Latest
from kline_gateway_client.subscriptions import Desk

from tests.builders import T0
from tests.unit.client.klines import CHANNEL, SYMBOL, bar, opens, said, snapshot

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
        st.tuples(st.just("look"), st.integers(1, 6)),
        st.tuples(st.just("forget"), st.integers(1, 20)),
    ),
    max_size=60,
)


class World:
    """A gateway of one series that stores the newest bars, a connection that breaks, and two consumers."""

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.next = 10
        """The bar that is forming."""
        self.first = 5
        """The oldest that is stored."""
        self.shown = 0
        """The newest bar that was said."""
        self.connected = False
        self.desk = Desk()
        self.closed = Closed([SYMBOL], "1m", lambda: None, size=4)
        self.latest = Latest([CHANNEL], lambda: None)
        self.desk.add(self.closed)
        self.desk.add(self.latest)
        self.got: list[int] = []
        self.gone: list[range] = []
        self.started: int | None = None

    def hear(self, message: Any) -> None:
        self.desk.hear(decoded(json.dumps(message, default=float)), 0.0, 0.0)

    def close(self, count: int) -> None:
        for _ in range(count):
            if self.connected:
                self.hear(
                    {"op": "update", "t": T0, "u": [[1, said(self.next)], [1, said(self.next + 1, closed=False)]]}
                )
                self.shown = self.next + 1
            self.next += 1
            self.first = max(self.first, self.next - self.kept)

    def form(self, _: int) -> None:
        if self.connected:
            self.hear([T0, 1, 105])
        if (newest := self.latest.take()) is not None:
            assert newest[2] == opens(self.shown), "an older value than the newest"

    def lose(self, _: int) -> None:
        self.connected = False

    def connect(self, forming: bool) -> None:
        self.desk.connected()
        self.hear(HELLO)
        (command,) = map(json.loads, self.desk.commands(0.0))
        self.hear({"op": "subscribed", "id": command["id"], "channels": {CHANNEL: {"n": 1}}})
        self.connected = True
        if self.started is None:
            self.started = self.next
        shown = self.next if forming else None
        self.shown = self.next if forming else self.next - 1
        cursor = command.get("resume", {}).get(CHANNEL)
        if cursor is None:
            self.hear(snapshot(1, self.next - 1, forming=shown))
            return
        after = (cursor - T0) // 60_000
        recovered = after + 1 >= self.first
        bars = range(after + 1, self.next) if recovered else range(self.next - 1, self.next)
        self.hear(snapshot(1, *bars, forming=shown, recovered=recovered))

    def away(self, count: int) -> None:
        """An outage of so many bars, with a gateway that stores fewer or more than that."""
        self.lose(0)
        self.close(count)
        self.connect(True)

    def resync(self, count: int) -> None:
        if self.connected:
            first = max(self.first, self.next - count)
            self.shown = self.next
            self.hear(snapshot(1, *range(first, self.next), forming=self.next, resync=True))

    def take(self, count: int) -> None:
        for _ in range(count):
            while self.closed.errors:
                error = self.closed.errors.popleft()
                assert isinstance(error, MissedBars)
                self.gone.append(range((error.after_ms - T0) // 60_000 + 1, (error.before_ms - T0) // 60_000))
            if (kline := self.closed.take()) is not None:
                assert kline == bar((kline.open_time_ms - T0) // 60_000)
                self.got.append((kline.open_time_ms - T0) // 60_000)

    def look(self, most: int) -> None:
        """What the stream does for a consumer that has taken everything."""
        self.take(5)
        if (place := self.closed.behind()) is not None:
            assert place.cursor_ms is not None
            first = max(self.first, (place.cursor_ms - T0) // 60_000)
            stored = [bar(number) for number in range(first, self.next)][:most]
            self.closed.filled(place, stored, 0.0, 0.0)

    def forget(self, kept: int) -> None:
        self.first = max(self.first, self.next - kept)

    def check(self) -> None:
        assert len(self.closed._waiting) <= 4
        told = sorted([*self.got, *(number for hole in self.gone for number in hole)])
        assert self.got == sorted(set(self.got))
        if self.started is not None:
            # Each one once, either as a bar or as one that is gone; and none is called gone that was given.
            assert told == list(range(self.started, self.started + len(told)))


@given(steps, st.integers(8, 30))
@settings(max_examples=150, deadline=None)
def test_each_closed_bar_comes_once_and_in_order(script: list[tuple[str, Any]], kept: int) -> None:
    world = World(kept)
    for name, argument in script:
        getattr(world, name)(argument)
        world.check()
    world.connect(True)
    world.close(1)
    for _ in range(100):
        world.look(5)
    world.take(5)
    world.check()
    told = len(world.got) + sum(map(len, world.gone))
    assert world.started is not None
    assert world.started + told == world.next, "in the end everything has been told"
