"""Settings -> the feed that they ask for. Nothing is connected."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import Config, FeedConfig, RedisConfig
from gateway.feed.auto import AutoFeed
from gateway.feed.factory import make_feed, make_feeds
from gateway.feed.keyspace import KeyspaceFeed
from gateway.feed.poll import PollFeed
from gateway.feed.pubsub import PubSubFeed
from gateway.feed.sharded_pubsub import ShardedPubSubFeed
from gateway.feed.streams import StreamsFeed
from gateway.redis.contract import Topics
from gateway.redis.deployment import make_deployment
from gateway.redis.name_refusals import NameRefusals
from tests.unit.feed.doubles import RecordingSink

CLUSTER = {"cluster": ("h:1",)}


@pytest.mark.parametrize(
    ("mode", "redis", "kind"),
    [
        ("pubsub", {}, PubSubFeed),
        ("keyspace", {"url": "redis://h/3"}, KeyspaceFeed),
        ("poll", {}, PollFeed),
        ("auto", {}, AutoFeed),
        ("streams", {}, StreamsFeed),
        pytest.param("streams", {"format": "ccxt"}, StreamsFeed, id="rows in streams"),
        pytest.param("pubsub", CLUSTER, PubSubFeed, id="plain-pubsub-of-a-cluster"),
        pytest.param("pubsub", CLUSTER | {"cluster_pubsub": "sharded"}, ShardedPubSubFeed, id="sharded-pubsub"),
        pytest.param("auto", CLUSTER, PubSubFeed, id="no-detection-in-a-cluster"),
    ],
)
async def test_the_settings_choose_the_feed(mode: Any, redis: dict[str, Any], kind: type) -> None:
    config = RedisConfig(**redis)
    topics = Topics(config, ("1m",), "[A-Z]+")
    market: Any = None
    feed = make_feed(FeedConfig(mode=mode), config, topics, make_deployment(config), RecordingSink(), market, set, 15.0)
    assert type(feed) is kind
    assert feed.problem == ""


async def test_each_source_has_a_feed_of_its_own() -> None:
    config = Config(sources={"a": RedisConfig(prefix="a:"), "b": RedisConfig(cluster=("h:1",))})
    deployments = {name: make_deployment(redis) for name, redis in config.sources.items()}
    sinks = {name: RecordingSink() for name in config.sources}
    market: Any = None
    feeds = make_feeds(config, deployments, lambda name: NameRefusals(), sinks, market, set)
    assert {name: type(feed) for name, feed in feeds.items()} == {"a": AutoFeed, "b": PubSubFeed}
    for deployment in deployments.values():
        await deployment.aclose()
