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
from gateway.model.feed_error import ignore
from gateway.model.symbol import SymbolRule
from gateway.redis.cluster import Cluster
from gateway.redis.contract import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import Config, FeedConfig, RedisConfig
    from gateway.feed.auto import Feed, MarketView
    from gateway.feed.pubsub import FeedSink
    from gateway.model.feed_error import OnOdd
    from gateway.model.feed_time import FeedClock
    from gateway.redis.contract import Topic
    from gateway.redis.deployment import Deployment


def make_feeds(
    config: Config,
    redis_by_source: Mapping[str, RedisConfig],
    deployments: Mapping[str, Deployment],
    sinks: Mapping[str, FeedSink],
    market: MarketView,
    subscribed: Callable[[], set[Topic]],
    feed_clock: FeedClock,
    on_odd: OnOdd,
) -> dict[str, Feed]:
    """The feed of each source by name; see `make_feed`."""
    stored, pattern = config.market.stored or config.market.intervals, config.market.symbol_pattern
    return {
        name: make_feed(
            config.feed,
            redis,
            Topics(redis, stored, SymbolRule(pattern).pattern),
            deployments[name],
            sinks[name],
            market,
            subscribed,
            feed_clock,
            on_odd,
        )
        for name, redis in redis_by_source.items()
    }


def make_feed(
    config: FeedConfig,
    redis: RedisConfig,
    topics: Topics,
    deployment: Deployment,
    sink: FeedSink,
    market: MarketView,
    subscribed: Callable[[], set[Topic]],
    feed_clock: FeedClock | None = None,
    on_odd: OnOdd = ignore,
) -> Feed:
    """`subscribed`: returns the topics that clients are subscribed to now, which polling reads more often.

    `feed_clock`: tells which times of the collector's keys are impossible; `on_odd` counts them.
    """

    def make(mode: str, sink: FeedSink) -> Feed:
        reader = KeyReader(deployment, topics, sink.ingest, feed_clock, on_odd)
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
                return AutoFeed(redis, config, topics, reader, sink, deployment, market, make, feed_clock=feed_clock)

    # Notifications are a node's own: in a cluster there is no mode to detect.
    return make("pubsub" if config.mode == "auto" and redis.cluster else config.mode, sink)
