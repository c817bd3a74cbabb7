"""Makes the feed that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio.connection import parse_url

from gateway.feed.auto import Auto
from gateway.feed.keys import KeyReader
from gateway.feed.keyspace import Keyspace
from gateway.feed.listener import Listener
from gateway.feed.poll import Poll
from gateway.feed.sharded import ShardedListener
from gateway.link.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import FeedConfig, RedisConfig
    from gateway.feed.auto import Feed, Held
    from gateway.feed.listener import FeedSink
    from gateway.feed.topics import Topic, Topics
    from gateway.link.deployment import Deployment


def make_feed(
    config: FeedConfig,
    redis: RedisConfig,
    topics: Topics,
    there: Deployment,
    sink: FeedSink,
    held: Held,
    wanted: Callable[[], set[Topic]],
) -> Feed:
    """`there`: where to listen and read; `held`: what is known; `wanted`: what is subscribed to just now."""

    def make(mode: str, sink: FeedSink) -> Feed:
        reader = KeyReader(there, topics, sink.ingest)
        match mode:
            case "pubsub":
                if isinstance(there, Cluster) and redis.cluster_pubsub == "sharded":
                    return ShardedListener(redis, topics, sink, there)
                return Listener(redis, topics, sink, there)
            case "keyspace":
                database = parse_url(redis.url).get("db") or 0
                return Keyspace(redis, config, topics, reader, sink, there, database)
            case "poll":
                return Poll(redis, config, tuple(sorted(topics.intervals)), reader, sink, wanted)
            case _:
                return Auto(redis, config, topics, reader, sink, there, held, make)

    # Notifications are a node's own: in a cluster there is nothing to find out.
    return make("pubsub" if config.mode == "auto" and redis.cluster else config.mode, sink)
