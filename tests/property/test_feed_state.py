"""Truth: whatever happens to the feed, nothing is live whose usable data is older than its limit: of a lane, and of
each symbol."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery.feed_state import FeedStateMachine
from tests.builders import MINUTE_MS, T0
from tests.examples import EXAMPLES

STALE_S, GRACE_S, MINUTE_S = 4.0, 2.0, 60.0
OVERDUE_S = MINUTE_S + STALE_S + GRACE_S

EVENTS = st.lists(
    st.one_of(
        st.sampled_from(["price", "forming", "closed", "refused", "connect", "disconnect"]),
        st.floats(0.0, 200.0).map(lambda age_s: ("backfill", age_s)),
        st.just(("backfill", None)),
        st.sampled_from([0.05, 0.5, 1.0, 2.0, 3.9, 4.1, 30.0, 59.0, 61.0, 70.0]),
    ),
    max_size=60,
)


class World:
    """A machine, and when which usable data really came."""

    def __init__(self) -> None:
        self.machine = FeedStateMachine(STALE_S, GRACE_S)
        self.now_s = 1000.0
        self.closed_ms = T0
        self.price_s: float | None = None
        self.other_s: float | None = None
        self.closed_s: float | None = None
        self.pause_s = 0.0
        """When the feed was last read, or fresh again: what it could not send before that is not missing."""
        self.connected = False
        self.knows_nothing = False

    @property
    def now_ms(self) -> int:
        return T0 + round((self.now_s - 1000) * 1000)

    def take(self, event: object) -> None:
        machine, now_s = self.machine, self.now_s
        match event:
            case "price":
                machine.message_received(now_s)
                machine.price_usable(now_s)
                self.price_s = now_s
            case "forming":
                machine.message_received(now_s)
                machine.kline_usable(now_s)
                self.other_s = now_s
            case "closed":
                machine.message_received(now_s)
                self.closed_ms += MINUTE_MS
                machine.kline_closed(now_s, MINUTE_S, self.closed_ms)
                self.closed_s = now_s
            case "refused":
                machine.message_received(now_s)
                machine.message_refused(now_s)
            case "connect":
                machine.connected(now_s, self.now_ms)
                self.connected = True
            case "disconnect":
                machine.disconnected(now_s, self.now_ms)
                self.connected = False
            case ("backfill", age_s):
                if self.connected:
                    self.backfill(age_s)
            case float(seconds):
                self.now_s += seconds
        machine.time_passed(self.now_s, self.now_ms)

    def backfill(self, age_s: object) -> None:
        if self.machine.is_live():
            return
        stored_s = self.now_s - age_s if isinstance(age_s, float) else None
        if stored_s is not None:
            self.price_s = max(self.price_s or stored_s, stored_s)
        elif self.price_s is self.other_s is self.closed_s is None:
            self.knows_nothing = True
            self.other_s = self.now_s
        self.pause_s = self.now_s
        newest_ms = 0 if stored_s is None else self.now_ms - round((self.now_s - stored_s) * 1000)
        self.machine.backfill_done(self.now_s, self.now_ms, newest_ms, frozenset())

    def age_s(self, *at_s: float | None) -> float:
        return self.now_s - max((known for known in at_s if known is not None), default=0.0)


@given(EVENTS)
def test_no_lane_is_live_whose_usable_data_is_older_than_its_limit(events: list[object]) -> None:
    world = World()
    slack_s = 0.001
    """Stored times are rounded to ms."""
    for event in events:
        world.take(event)
        state = world.machine.current
        if not world.connected:
            assert not state.live
            assert not state.prices.live
            assert not state.closed.live
        closed_only = world.price_s is None and world.other_s is None and world.closed_s is not None
        if state.prices.live and world.price_s is not None:
            assert world.age_s(world.price_s) <= STALE_S + slack_s
        if state.prices.live or state.closed.live:
            newest_s = world.age_s(world.price_s, world.other_s, world.closed_s, world.pause_s if closed_only else None)
            assert newest_s <= (OVERDUE_S if closed_only else STALE_S) + slack_s
        if world.price_s is not None and world.age_s(world.price_s) > STALE_S + slack_s:
            assert not state.ticker("BTCUSDT").live
            assert not state.klines("BTCUSDT").live


@given(EVENTS)
def test_refused_messages_make_nothing_live(events: list[object]) -> None:
    world = World()
    for event in events:
        before = world.machine.current
        world.take(event)
        if event == "refused" and not before.prices.live:
            # What time alone would have done: nothing has arrived since the last event.
            assert not world.machine.current.prices.live or world.age_s(world.price_s, world.other_s) <= STALE_S


@given(EVENTS)
def test_whatever_has_happened_a_feed_that_brings_everything_is_live_again(events: list[object]) -> None:
    world = World()
    for event in [*events, "connect", ("backfill", None)]:
        world.take(event)
    for number in range(500):
        world.take("price")
        world.take("forming")
        if number % 240 == 0:
            world.take("closed")
        world.take(0.25)
    assert world.machine.is_live()


SYMBOLS = ("A", "B", "C")
PAUSES_S = st.sampled_from([0.05, 0.5, 1.1, 3.0, 5.0, 30.0])
SOURCES = st.lists(
    st.one_of(
        # Time in which the source sends the prices of all symbols.
        st.tuples(st.just("prices"), st.sampled_from([0.05, 0.5, 1.1, 3.0])),
        # Time in which it is silent.
        st.tuples(st.just("silence"), PAUSES_S),
        # The connection is lost, after the prices of so many symbols, for a while. Then the store is read: the age of
        # what it has, and the symbols of which that is of no use.
        st.tuples(
            st.just("break"),
            st.integers(0, 3),
            PAUSES_S,
            st.sampled_from([0.0, 0.4, 3.0, 5.0, 30.0]),
            st.sets(st.sampled_from(("A", "B", "C"))),
        ),
    ),
    min_size=1,
    max_size=20,
)


class SymbolWorld:
    """A machine, and the age of each symbol's known price. The source has new prices all the time."""

    def __init__(self) -> None:
        self.machine = FeedStateMachine(STALE_S, GRACE_S)
        self.now_s = 1000.0
        self.known_s = dict.fromkeys(SYMBOLS, 1000.0)
        self.lapsed: set[str] = set()
        self.connect(self.now_s, set())
        self.judge()

    @property
    def now_ms(self) -> int:
        return T0 + round((self.now_s - 1000) * 1000)

    def judge(self) -> None:
        self.machine.note_prices(self.lapsed.__contains__)
        self.machine.time_passed(self.now_s, self.now_ms)

    def take(self, event: object) -> None:
        match event:
            case ("prices", float(seconds)):
                for _ in range(round(seconds / 0.05)):
                    self.now_s += 0.05
                    self.bring(SYMBOLS)
                    self.judge()
            case ("silence", float(seconds)):
                self.now_s += seconds
            case ("break", int(count), float(seconds), float(age_s), set(unusable)):
                self.bring(SYMBOLS[:count])
                self.machine.disconnected(self.now_s, self.now_ms)
                self.judge()
                self.now_s += seconds
                self.connect(self.now_s - age_s, unusable)
        self.judge()

    def bring(self, symbols: tuple[str, ...]) -> None:
        for symbol in symbols:
            self.machine.message_received(self.now_s)
            self.machine.price_usable(self.now_s)
            self.known_s[symbol] = self.now_s
            self.lapsed.discard(symbol)

    def connect(self, stored_s: float, unusable: set[str]) -> None:
        self.machine.connected(self.now_s, self.now_ms)
        for symbol in SYMBOLS:
            if symbol in unusable:
                self.lapsed.add(symbol)
            elif stored_s >= self.known_s[symbol]:
                self.known_s[symbol] = stored_s
                self.lapsed.discard(symbol)
        newest_ms = T0 + round((stored_s - 1000) * 1000) if len(unusable) < len(SYMBOLS) else 0
        self.machine.backfill_done(self.now_s, self.now_ms, newest_ms, frozenset(), frozenset(self.lapsed))


@settings(max_examples=3 * EXAMPLES)
@given(SOURCES)
def test_no_symbol_is_live_whose_known_price_is_older_than_the_limit(events: list[object]) -> None:
    world = SymbolWorld()
    for event in events:
        world.take(event)
        state = world.machine.current
        for symbol in SYMBOLS:
            # A symbol whose price is late is known to be so once those of all have had time to arrive.
            if world.now_s - world.known_s[symbol] > STALE_S + 1.0 + 0.001:
                assert not state.ticker(symbol).live
                assert not state.klines(symbol).live


@given(SOURCES)
def test_whatever_has_happened_a_source_that_sends_the_prices_of_all_symbols_is_live_again(
    events: list[object],
) -> None:
    world = SymbolWorld()
    for event in [*events, ("prices", 3.0)]:
        world.take(event)
    assert all(world.machine.current.ticker(symbol).live for symbol in SYMBOLS)
