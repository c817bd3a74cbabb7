"""An update's stamps, from a batch to the sockets, on a clock that counts the looks at it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from gateway.delivery.channel import Lane, View
from gateway.delivery.flush_schedule import ALL_LANES
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.throttle import DEFAULT, FAST
from gateway.redis.contract import Topic
from gateway.runtime.trace import PENDING_MAX, Tracing
from tests.builders import kline, kline_update, ticker_update
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import CLOSED_ONLY, STYLE, SampleMarket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.delivery.group import Group

SYMBOL = "AAAUSDT"
PRICE = Topic(SYMBOL, "")
BARS = Topic(SYMBOL, "1m")


class Traced:
    """A market, a hub, and a trace of `SYMBOL`."""

    def __init__(self) -> None:
        self.samples = SampleMarket()
        self.hub: Hub = Hub(self.samples.market)
        looks = count()
        self.tracing = Tracing(lambda: next(looks) / 1000, lambda: 5.0)
        self.reported: list[dict[str, Any]] = []
        self.trace = self.tracing.start(SYMBOL, self.reported.append)

    def subscribe(self, style: Any = STYLE, *, kline: bool = False, tier: int = DEFAULT) -> Session:
        session = Session(FakeSocket(), style)
        self.hub.add(session)
        channel = self.hub.kline_channel(SYMBOL, "1m") if kline else self.hub.ticker_channel(SYMBOL)
        self.hub.subscribe(session, [channel])
        self.hub.move(session, tier)
        return session

    def price(self, last: str, topic: Topic = PRICE) -> None:
        self.tracing.read()
        if step := self.tracing.begin(topic):
            step.decoded(ticker_update(last, symbol=topic.symbol))
            self.samples.price(last, topic.symbol)
            step.folded()

    def flush(self, held: frozenset[Lane] = frozenset(), *, tiers: Sequence[int] = (FAST, DEFAULT)) -> None:
        """A flush of the groups of these tiers, as `Flusher` makes it, for sockets that take everything."""
        self.hub.publish(self.samples.market.take_changes())
        self.tracing.published(self.hub)
        for group in self.hub.groups():
            if group.tier in tiers and group.in_use:
                self.serve(group, held)
        self.tracing.flushed(self.hub)

    def serve(self, group: Group, held: frozenset[Lane]) -> None:
        self.hub.begin(group, held)
        for session in list(group.catching_up):
            session.take(self.hub.published, 10_000, 0, held)
            if session.is_caught_up(self.hub.published):
                self.hub.enter_sync(session)
        self.tracing.served(group, self.hub)

    @property
    def only(self) -> dict[str, Any]:
        (record,) = self.reported
        return record


@pytest.fixture
def traced() -> Traced:
    traced = Traced()
    traced.samples.price("1")
    traced.flush()
    return traced


def test_an_update_is_stamped_at_every_stage_in_order(traced: Traced) -> None:
    traced.subscribe()
    traced.flush()
    traced.price("2")
    traced.flush()
    update = traced.only
    assert (update["kind"], update["read"], update["clients"], update["waiting"]) == ("ticker", 5000.0, 1, 0)
    assert update["tick"] == traced.hub.flush_number
    assert update["outcome"] == "written"
    stamps = [update[stage] for stage in ("decoded", "folded", "published", "encoded", "written")]
    assert stamps == sorted(stamps)
    assert len(set(stamps[:-1])) == len(stamps) - 1, "a group is encoded and written in one go"


def test_what_came_in_one_tick_goes_out_with_it_and_later_news_does_not(traced: Traced) -> None:
    traced.subscribe()
    traced.price("2")
    traced.price("3")
    traced.flush()
    traced.price("4")
    assert len(traced.reported) == 2
    traced.flush()
    ticks = [update["tick"] for update in traced.reported]
    assert ticks == [ticks[0], ticks[0], ticks[0] + 1]


def test_other_symbols_are_not_followed(traced: Traced) -> None:
    traced.price("2", Topic("BBBUSDT", ""))
    traced.flush()
    assert traced.reported == []


def test_without_subscribers_the_way_ends_at_the_hub(traced: Traced) -> None:
    traced.hub.market_channel(View.MINI, "all")
    traced.price("2")
    traced.flush()
    assert (traced.only["outcome"], traced.only["encoded"], traced.only["written"]) == ("nobody subscribed", None, None)
    assert traced.only["published"] is not None


def test_clients_of_slower_tiers_are_waiting_until_their_flush(traced: Traced) -> None:
    traced.subscribe()
    traced.subscribe(tier=4)
    traced.flush()
    traced.price("2")
    traced.flush()
    assert (traced.only["clients"], traced.only["waiting"]) == (1, 1)


def test_with_slower_tiers_alone_nothing_is_written_yet(traced: Traced) -> None:
    traced.subscribe(tier=4)
    traced.price("2")
    traced.flush()
    assert (traced.only["outcome"], traced.only["written"], traced.only["waiting"]) == ("waiting", None, 1)


def test_clients_of_slower_tiers_are_counted_if_their_flush_is_now(traced: Traced) -> None:
    traced.subscribe()
    traced.subscribe(tier=4)
    traced.flush(tiers=(DEFAULT, 4))
    traced.price("2")
    traced.flush(tiers=(DEFAULT, 4))
    assert (traced.only["clients"], traced.only["waiting"]) == (2, 0)


class TestGroups:
    """Groups that are flushed one after the other, some of them at a later flush."""

    def test_an_update_is_reported_when_it_has_gone_out_to_the_groups_of_both_tiers_without_a_rate(
        self, traced: Traced
    ) -> None:
        traced.subscribe(tier=FAST)
        traced.subscribe()
        traced.flush()
        traced.price("2")
        traced.flush(tiers=(FAST,))
        assert traced.reported == []
        traced.flush(tiers=(DEFAULT,))
        assert (traced.only["clients"], traced.only["waiting"], traced.only["outcome"]) == (2, 0, "written")

    def test_the_stamp_is_that_of_the_last_group(self, traced: Traced) -> None:
        traced.subscribe(tier=FAST)
        traced.subscribe()
        traced.flush()
        traced.price("2")
        traced.flush(tiers=(FAST,))
        (step,) = traced.trace.published
        first_ms = step.record["written"]
        traced.flush(tiers=(DEFAULT,))
        assert traced.only["written"] > first_ms

    def test_a_group_is_counted_once_however_often_it_is_flushed_meanwhile(self, traced: Traced) -> None:
        traced.subscribe(tier=FAST)
        traced.subscribe()
        traced.flush()
        traced.price("2")
        for _ in range(3):
            traced.flush(tiers=(FAST,))
        traced.flush(tiers=(DEFAULT,))
        assert traced.only["clients"] == 2

    def test_a_group_without_clients_of_the_symbol_is_not_waited_for(self, traced: Traced) -> None:
        traced.subscribe(tier=FAST)
        session = Session(FakeSocket(), STYLE)
        traced.hub.add(session)
        traced.hub.subscribe(session, [traced.hub.ticker_channel("BBBUSDT")])
        traced.flush()
        traced.price("2")
        traced.flush(tiers=(FAST,))
        assert traced.only["outcome"] == "written"

    def test_a_closed_kline_has_gone_out_with_a_flush_at_which_all_else_waits(self, traced: Traced) -> None:
        traced.subscribe(kline=True)
        traced.flush()
        traced.tracing.read()
        step = traced.tracing.begin(BARS)
        assert step is not None
        step.decoded(kline_update(kline(closed=True), SYMBOL))
        traced.samples.closes(0)
        step.folded()
        traced.flush(ALL_LANES)
        assert (traced.only["kind"], traced.only["outcome"]) == ("kline 1m closed", "written")

    def test_updates_that_wait_for_a_group_that_is_not_flushed_are_not_kept_without_end(self, traced: Traced) -> None:
        traced.subscribe()
        traced.flush()
        for number in range(PENDING_MAX + 10):
            traced.price(str(number + 2))
            traced.flush(tiers=())
        assert len(traced.trace.published) == PENDING_MAX


def test_a_client_that_takes_nothing_is_waiting(traced: Traced) -> None:
    session = traced.subscribe()
    session.subscribe(session.subscription_set, {}, traced.hub.flush_number + 10)
    traced.price("2")
    traced.flush()
    assert (traced.only["clients"], traced.only["waiting"]) == (0, 1)


def test_news_that_is_held_back_says_so(traced: Traced) -> None:
    traced.subscribe()
    traced.flush()
    traced.price("2")
    traced.flush(held=frozenset({Lane.TICKER}))
    assert (traced.only["outcome"], traced.only["encoded"]) == ("held: the process is busy", None)


def test_an_update_that_changes_nothing_says_so(traced: Traced) -> None:
    traced.subscribe()
    traced.flush()
    traced.tracing.read()
    step = traced.tracing.begin(PRICE)
    assert step is not None
    step.decoded(ticker_update("1"))
    step.folded()
    traced.flush()
    assert traced.only["outcome"] == "no news"


def test_who_wants_closed_klines_only_counts_for_those(traced: Traced) -> None:
    traced.subscribe(CLOSED_ONLY, kline=True)
    traced.flush()
    for closed in (False, True):
        traced.tracing.read()
        step = traced.tracing.begin(BARS)
        assert step is not None
        step.decoded(kline_update(kline(closed=closed), SYMBOL))
        (traced.samples.closes if closed else traced.samples.forms)(0)
        step.folded()
        traced.flush()
    assert [(update["kind"], update["clients"]) for update in traced.reported] == [
        ("kline 1m", 0),
        ("kline 1m closed", 1),
    ]


def test_a_payload_that_cannot_be_used_is_told_at_once(traced: Traced) -> None:
    step = traced.tracing.begin(PRICE)
    assert step is not None
    traced.tracing.fail(step, "bad_json")
    traced.flush()
    assert (traced.only["outcome"], traced.only["decoded"]) == ("skipped: bad_json", None)


def test_two_who_follow_one_symbol_are_both_told(traced: Traced) -> None:
    others: list[dict[str, Any]] = []
    traced.tracing.start(SYMBOL, others.append)
    step = traced.tracing.begin(PRICE)
    assert step is not None
    traced.tracing.fail(step, "bad_json")
    traced.price("2")
    traced.flush()
    assert len(traced.reported) == len(others) == 2


def test_a_flood_is_not_kept(traced: Traced) -> None:
    for _ in range(PENDING_MAX + 10):
        traced.tracing.begin(PRICE)
    assert len(traced.trace.pending) == PENDING_MAX


def test_after_the_last_trace_nothing_is_followed(traced: Traced) -> None:
    traced.tracing.stop(traced.trace)
    traced.price("2")
    traced.flush()
    assert (traced.tracing.traces, traced.reported) == ([], [])
