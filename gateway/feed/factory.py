"""Makes the feed that the settings ask for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from redis.asyncio.connection import parse_url

from gateway.feed.auto import AutoFeed
from gateway.feed.format_sink import FormatSink
from gateway.feed.formats.registry import CONTRACT, format_named
from gateway.feed.key_reader import KeyReader
from gateway.feed.keyspace import KeyspaceFeed
from gateway.feed.poll import PollFeed
from gateway.feed.pubsub import PubSubFeed
from gateway.feed.sharded_pubsub import ShardedPubSubFeed
from gateway.feed.silence import Silence
from gateway.feed.streams import StreamsFeed
from gateway.model.feed_error import ignore
from gateway.redis.cluster import Cluster
from gateway.redis.contract import Topics
from gateway.redis.stream_names import StreamNames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import Config, FeedConfig, RedisConfig
    from gateway.feed.auto import Feed, MarketView
    from gateway.feed.pubsub import FeedSink
    from gateway.model.feed_error import OnOdd
    from gateway.model.feed_time import FeedClock
    from gateway.redis.contract import Topic
    from gateway.redis.deployment import Deployment
    from gateway.redis.name_refusals import NameRefusals


def make_feeds(
    config: Config,
    deployments: Mapping[str, Deployment],
    refusals: Callable[[str], NameRefusals],
    sinks: Mapping[str, FeedSink],
    market: MarketView,
    subscribed: Callable[[], set[Topic]],
    feed_clock: FeedClock | None = None,
    on_odd: OnOdd = ignore,
    quiet_until_s: Callable[[], float] = lambda: 0.0,
) -> dict[str, Feed]:
    """The feed of each source by name; see `make_feed`. `refusals` returns what collects a source's refused names."""
    of_market, feeds = config.market, {}
    for name, redis in config.redis_by_source.items():
        topics = Topics(redis, of_market.stored or of_market.intervals, of_market.symbol_pattern, refusals(name))
        feeds[name] = make_feed(
            *(config.feed, redis, topics, deployments[name], sinks[name], market, subscribed),
            *(of_market.stale_after_s, feed_clock, on_odd, quiet_until_s),
        )
    return feeds


def make_feed(
    config: FeedConfig,
    redis: RedisConfig,
    topics: Topics,
    deployment: Deployment,
    sink: FeedSink,
    market: MarketView,
    subscribed: Callable[[], set[Topic]],
    stale_after_s: float,
    feed_clock: FeedClock | None = None,
    on_odd: OnOdd = ignore,
    quiet_until_s: Callable[[], float] = lambda: 0.0,
) -> Feed:
    """`subscribed`: returns the topics that clients are subscribed to now, which polling reads more often.

    `stale_after_s`: after how many seconds without a message data is stale. `feed_clock`: tells which times of the
    collector's keys are impossible; `on_odd` counts them. `quiet_until_s`: returns until when no message has to come.
    """
    silence = Silence(config.silent_reconnect * stale_after_s or math.inf, quiet_until_s)
    payload_format = format_named(redis.format)
    payloads: FormatSink | None = None
    if payload_format is not CONTRACT:
        limit_ms = feed_clock.limit_ms if feed_clock else lambda: math.inf
        sink = payloads = FormatSink(payload_format, sink, limit_ms, continuous=config.mode == "streams")

    def make(mode: str, sink: FeedSink) -> Feed:
        reader = KeyReader(deployment, topics, sink.ingest, feed_clock, on_odd, payload_format)
        match mode:
            case "streams":
                names = StreamNames(redis, topics.intervals, topics.symbol_pattern, topics.refusals)
                on_missed = payloads.missed if payloads else None
                return StreamsFeed(redis, names, sink, deployment, on_missed, silence)
            case "pubsub":
                if isinstance(deployment, Cluster) and redis.cluster_pubsub == "sharded":
                    return ShardedPubSubFeed(redis, topics, sink, deployment, silence)
                return PubSubFeed(redis, topics, sink, deployment, silence)
            case "keyspace":
                database = parse_url(redis.url).get("db") or 0
                return KeyspaceFeed(redis, config, topics, reader, sink, deployment, database, silence)
            case "poll":
                intervals = tuple(sorted(topics.intervals))
                return PollFeed(redis, config, intervals, reader, sink, subscribed, silence)
            case _:
                return AutoFeed(
                    *(redis, config, topics, reader, sink, deployment, market, make),
                    silence=silence,
                    feed_clock=feed_clock,
                )

    # Notifications are a node's own: in a cluster there is no mode to detect.
    return make("pubsub" if config.mode == "auto" and redis.cluster else config.mode, sink)
