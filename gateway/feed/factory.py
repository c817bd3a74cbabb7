"""Makes the feed that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio.connection import parse_url

from gateway.feed.auto import AutoFeed
from gateway.feed.key_reader import KeyReader
from gateway.feed.keyspace import KeyspaceFeed
from gateway.feed.poll import PollFeed
from gateway.feed.pubsub import PubSubFeed
from gateway.feed.sharded_pubsub import ShardedPubSubFeed
from gateway.redis.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import FeedConfig, RedisConfig
    from gateway.feed.auto import Feed, MarketView
    from gateway.feed.pubsub import FeedSink
    from gateway.redis.contract import Topic, Topics
    from gateway.redis.deployment import Deployment


def make_feed(
    config: FeedConfig,
    redis: RedisConfig,
    topics: Topics,
    deployment: Deployment,
    sink: FeedSink,
    market: MarketView,
    subscribed: Callable[[], set[Topic]],
) -> Feed:
    """`subscribed`: returns the topics that clients are subscribed to now, which polling reads more often."""

    def make(mode: str, sink: FeedSink) -> Feed:
        reader = KeyReader(deployment, topics, sink.ingest)
        match mode:
            case "pubsub":
                if isinstance(deployment, Cluster) and redis.cluster_pubsub == "sharded":
                    return ShardedPubSubFeed(redis, topics, sink, deployment)
                return PubSubFeed(redis, topics, sink, deployment)
            case "keyspace":
                database = parse_url(redis.url).get("db") or 0
                return KeyspaceFeed(redis, config, topics, reader, sink, deployment, database)
            case "poll":
                return PollFeed(redis, config, tuple(sorted(topics.intervals)), reader, sink, subscribed)
            case _:
                return AutoFeed(redis, config, topics, reader, sink, deployment, market, make)

    # Notifications are a node's own: in a cluster there is no mode to detect.
    return make("pubsub" if config.mode == "auto" and redis.cluster else config.mode, sink)
