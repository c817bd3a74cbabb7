from __future__ import annotations

from gateway.hub.dialect import FeedState


def test_the_feed_is_live_when_there_is_no_reason_why_not() -> None:
    assert FeedState().live
    assert not FeedState("redis", 5).live


def test_every_state_is_news_of_its_own() -> None:
    assert FeedState("redis", 5) != FeedState("redis", 5)
