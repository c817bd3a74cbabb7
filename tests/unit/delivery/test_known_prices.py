"""What is known of the prices after a break: by the store, or because the feed had been live."""

from __future__ import annotations

from gateway.delivery.feed_times import FeedTimes
from gateway.delivery.known_prices import FUTURE_MS, PRICES_SPREAD_S, KnownPrices
from gateway.delivery.staleness import Staleness, StaleReason
from tests.builders import T0

STALE_S = 10.0
START_S = 1000.0
SINCE_MS = T0 + 77


class World:
    """Prices that were known at the start, if they were, and time that is moved by hand."""

    def __init__(self, *, known: bool = True) -> None:
        self.times = FeedTimes(STALE_S, 2.0)
        self.prices = KnownPrices(self.times)
        self.now_s = START_S
        if known:
            self.live(2.0)

    @property
    def now_ms(self) -> int:
        return T0 + round((self.now_s - START_S) * 1000)

    def live(self, seconds: float) -> None:
        """Live prices for so long."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += 0.25
            self.times.price_usable(self.now_s)
            self.prices.time_passed(self.now_s, live=True)

    def away(self, seconds: float) -> None:
        """A break of so many seconds."""
        self.prices.time_passed(self.now_s, live=False)
        self.now_s += seconds

    def read(self, age_s: float | None = None, *unpriced: str) -> None:
        """The store has a newest price of this age."""
        newest_ms = 0 if age_s is None else self.now_ms - round(age_s * 1000)
        self.prices.store_read(self.now_s, self.now_ms, newest_ms, frozenset(unpriced), SINCE_MS)

    @property
    def age_s(self) -> float:
        return self.now_s - self.times.last_price_s

    @property
    def unknown(self) -> set[str]:
        return set(self.prices.unknown)


def test_stored_prices_date_all_of_them() -> None:
    world = World()
    world.away(STALE_S + 1)
    world.read(3.0)
    assert (world.age_s, world.unknown) == (3.0, set())


def test_what_was_known_before_the_break_counts_where_the_store_is_older() -> None:
    world = World()
    world.away(4)
    world.read(9.0)
    assert world.age_s == 4


def test_prices_that_the_store_cannot_confirm_are_unknown_after_a_break_longer_than_the_limit() -> None:
    world = World()
    world.away(STALE_S + 1)
    world.read(0.0, "A")
    assert world.prices.unknown == {"A": Staleness(StaleReason.PRICES, SINCE_MS)}
    assert world.age_s == 0


def test_prices_are_known_after_a_shorter_break() -> None:
    world = World()
    world.away(STALE_S - 1)
    world.read(0.0, "A")
    assert world.unknown == set()
    assert world.age_s == STALE_S - 1, "the store does not date what it could not confirm"


def test_breaks_in_a_row_count_as_one_until_all_prices_have_had_time_to_arrive() -> None:
    world = World()
    for _ in range(3):
        world.away(4)
        world.read(0.0, "A")
        world.live(PRICES_SPREAD_S - 0.25)
    assert world.unknown == {"A"}
    world = World()
    for _ in range(3):
        world.away(4)
        world.read(0.0, "A")
        world.live(PRICES_SPREAD_S + 0.25)
    assert world.unknown == set()


def test_prices_that_came_between_two_breaks_do_not_date_those_of_other_symbols() -> None:
    world = World()
    world.away(STALE_S + 1)
    world.times.price_usable(world.now_s)
    world.away(1)
    world.read(STALE_S + 2)
    assert world.times.prices_old(world.now_s)


def test_unknown_prices_stay_so_until_they_are_confirmed() -> None:
    world = World()
    world.away(STALE_S + 1)
    world.read(0.0, "A", "B")
    before = world.prices.unknown["A"]
    world.away(1)
    world.read(0.0, "A")
    assert world.prices.unknown == {"A": before}


def test_a_store_that_has_become_old_confirms_no_price_as_a_fresh_one() -> None:
    world = World()
    world.away(STALE_S + 20)
    world.read(0.0, "A")
    world.away(1)
    world.read(STALE_S + 5)
    assert world.unknown == set()
    assert world.times.prices_old(world.now_s)


def test_a_price_that_comes_is_known() -> None:
    world = World()
    assert not world.prices.drop_known(lambda symbol: False), "there is none"
    world.away(STALE_S + 1)
    world.read(0.0, "A", "B")
    assert not world.prices.drop_known(lambda symbol: True)
    assert world.prices.drop_known(lambda symbol: symbol == "A")
    assert world.unknown == {"A"}


def test_the_first_read_follows_no_break() -> None:
    world = World(known=False)
    world.read(3.0, "A")
    assert (world.age_s, world.unknown) == (3.0, set())
    assert world.times.last_usable_s == world.times.last_price_s


def test_where_nothing_is_known_data_counts_as_fresh() -> None:
    world = World(known=False)
    world.read()
    assert (world.times.last_usable_s, world.times.last_price_s) == (START_S, 0.0)
    world.now_s += 1
    world.read()
    assert world.times.last_usable_s == START_S, "it was known then"


def test_newer_data_of_other_kinds_remains_the_last_usable() -> None:
    world = World()
    world.away(STALE_S + 1)
    world.times.kline_usable(world.now_s)
    world.read(3.0)
    assert world.times.last_usable_s == world.now_s


def test_a_price_slightly_in_the_future_is_one_of_now_and_one_far_in_it_says_nothing() -> None:
    world = World()
    world.away(2)
    world.read(1 / 1000 - FUTURE_MS / 1000)
    assert world.age_s == 0
    world.away(2)
    world.read(-FUTURE_MS / 1000)
    assert world.age_s == 4
