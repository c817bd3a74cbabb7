"""Makes the feed that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.feed.auto import Auto
from gateway.feed.keys import KeyReader
from gateway.feed.keyspace import Keyspace
from gateway.feed.listener import Listener
from gateway.feed.poll import Poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from gateway.config import Config
    from gateway.feed.auto import Feed, Held
    from gateway.feed.listener import FeedSink
    from gateway.feed.topics import Topic, Topics


def make_feed(
    config: Config,
    topics: Topics,
    redis: Redis,
    sink: FeedSink,
    held: Held,
    wanted: Callable[[], set[Topic]],
) -> Feed:
    """`redis`: a client for reading keys; `held`: what is known; `wanted`: what is subscribed to just now."""
    database = redis.connection_pool.connection_kwargs.get("db") or 0

    def make(mode: str, sink: FeedSink) -> Feed:
        reader = KeyReader(redis, topics, sink.ingest)
        match mode:
            case "pubsub":
                return Listener(config.redis, topics, sink)
            case "keyspace":
                return Keyspace(config.redis, config.feed, topics, reader, sink, database)
            case "poll":
                return Poll(config.redis, config.feed, config.market.intervals, reader, sink, wanted)
            case _:
                return Auto(config.redis, config.feed, topics, reader, sink, held, make)

    return make(config.feed.mode, sink)
