"""An update's stamps, from a batch to the sockets, on a clock that counts the looks at it."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from gateway.delivery.channel import Lane, View
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.redis.contract import Topic
from gateway.runtime.trace import PENDING_MAX, Tracing
from tests.builders import kline, kline_update, ticker_update
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import CLOSED_ONLY, STYLE, SampleMarket

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

    def subscribe(self, style: Any = STYLE, *, kline: bool = False, tier: int = 0) -> Session:
        session = Session(FakeSocket(), style)
        self.hub.add(session)
        channel = self.hub.kline_channel(SYMBOL, "1m") if kline else self.hub.ticker_channel(SYMBOL)
        self.hub.subscribe(session, [channel])
        if tier:
            self.hub.move(session, tier)
        return session

    def price(self, last: str, topic: Topic = PRICE) -> None:
        self.tracing.read()
        if step := self.tracing.begin(topic):
            step.decoded(ticker_update(last, symbol=topic.symbol))
            self.samples.price(last, topic.symbol)
            step.folded()

    def flush(self, held: frozenset[Lane] = frozenset()) -> None:
        """A flush, as `Flusher` makes it, for sockets that take everything."""
        self.hub.publish(self.samples.market.take_changes())
        self.tracing.published(self.hub)
        due = self.hub.due(held)
        self.tracing.encoded(self.hub)
        for tier in due:
            for session in list(tier.catching_up):
                session.take(self.hub.published, 10_000, 0)
                if session.is_caught_up(self.hub.published):
                    self.hub.enter_sync(session)
            self.tracing.served(tier, self.hub)
        self.tracing.flushed(self.hub)

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
    assert len(set(stamps)) == len(stamps)


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


def test_clients_of_slower_tiers_are_waiting_until_their_beat(traced: Traced) -> None:
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
