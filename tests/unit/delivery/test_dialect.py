from __future__ import annotations

from gateway.delivery.dialect import FeedState


def test_the_feed_is_live_when_there_is_no_reason_why_not() -> None:
    assert FeedState().live
    assert not FeedState("redis", 5).live


def test_while_the_source_is_away_or_read_again_it_may_have_what_is_not_known() -> None:
    assert FeedState("redis", 5).unread
    assert FeedState("repair", 5).unread
    assert not FeedState("silent", 5).unread
    assert not FeedState().unread


def test_every_state_is_news_of_its_own() -> None:
    assert FeedState("redis", 5) != FeedState("redis", 5)
