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
    there: Deployment,
    sink: FeedSink,
    held: MarketView,
    wanted: Callable[[], set[Topic]],
) -> Feed:
    """`there`: where to listen and read; `held`: what is known; `wanted`: what is subscribed to just now."""

    def make(mode: str, sink: FeedSink) -> Feed:
        reader = KeyReader(there, topics, sink.ingest)
        match mode:
            case "pubsub":
                if isinstance(there, Cluster) and redis.cluster_pubsub == "sharded":
                    return ShardedPubSubFeed(redis, topics, sink, there)
                return PubSubFeed(redis, topics, sink, there)
            case "keyspace":
                database = parse_url(redis.url).get("db") or 0
                return KeyspaceFeed(redis, config, topics, reader, sink, there, database)
            case "poll":
                return PollFeed(redis, config, tuple(sorted(topics.intervals)), reader, sink, wanted)
            case _:
                return AutoFeed(redis, config, topics, reader, sink, there, held, make)

    # Notifications are a node's own: in a cluster there is nothing to find out.
    return make("pubsub" if config.mode == "auto" and redis.cluster else config.mode, sink)
