"""`gateway check-config --probe`: connects to each configured source, reads a bounded part of it and listens a while.

Uses the same parts as the gateway itself (names, connections, feeds, decoding), so that both see the same. Writes
nothing, changes no setting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Literal

import msgspec
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.config import mask_url
from gateway.feed.decode import FeedError, decode_kline, decode_stored_kline, decode_stored_ticker, decode_ticker
from gateway.feed.factory import make_feed
from gateway.feed.formats.registry import format_named
from gateway.feed.key_reader import KeyReader
from gateway.market.market import Market
from gateway.model.timestamps import time_of
from gateway.ops.probe_formats import find_foreign
from gateway.ops.probe_report import Findings, feed_mode, problems, report, unit_of
from gateway.redis.contract import Topic, Topics
from gateway.redis.deployment import make_deployment
from gateway.redis.scan import scan_keys
from gateway.redis.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.config import Config, RedisConfig
    from gateway.feed.conflate import Batch
    from gateway.feed.formats.registry import Format
    from gateway.redis.deployment import Deployment

SCAN_S = 10.0
SCAN_KEYS_MAX = 500_000
"""A scan ends after this time or number of keys: the probe must not burden a server that others use."""

TOPICS_MAX = 500
"""Tickers and series that are read and decoded."""


def probe(config: Config, listen_s: float, echo: Callable[[str], None]) -> bool:
    """Look at every source and print what was found; returns whether the gateway would serve live data from all."""
    # What the parts of the gateway would log is in the report.
    logging.disable(logging.CRITICAL)
    try:
        return asyncio.run(_probe(config, listen_s, echo))
    finally:
        logging.disable(logging.NOTSET)


async def _probe(config: Config, listen_s: float, echo: Callable[[str], None]) -> bool:
    served = True
    may_enable = config.feed.enable_notifications
    for name, redis in config.redis_by_source.items():
        found = await probe_source(name, redis, config, listen_s)
        mode = feed_mode(found, config.feed.mode, is_cluster=bool(redis.cluster), may_enable=may_enable)
        mistakes = list(problems(found, mode, may_enable=may_enable))
        echo(report(found, mode, mistakes, time.time_ns() // 1_000_000))
        served = served and not mistakes
    return served


async def probe_source(name: str, redis: RedisConfig, config: Config, listen_s: float) -> Findings:
    """Look at one source for a little more than `listen_s` seconds."""
    found = Findings(name, _place(redis), format=redis.format or config.feed.format)
    deployment = make_deployment(redis)
    market = config.market
    topics = Topics(redis, market.stored or market.intervals, market.symbol_pattern, found.refusals)
    try:
        with _failures_noted(found, "connect to it"):
            await deployment.execute("PING")
            await _look(found, redis, deployment, topics, config, listen_s)
    finally:
        await deployment.aclose()
    return found


async def _look(
    found: Findings, redis: RedisConfig, deployment: Deployment, topics: Topics, config: Config, listen_s: float
) -> None:
    seen: set[Topic] = set()
    with _failures_noted(found, "find its keys (SCAN)"):
        seen = await _scan(found, deployment, topics)
    sampled = list(islice(sorted(seen, key=lambda topic: (bool(topic.interval), topic)), TOPICS_MAX))
    payload_format = format_named(redis.format)
    reader = KeyReader(deployment, topics, lambda batch: None, payload_format=payload_format)
    with _failures_noted(found, "read its keys (MGET, ZREVRANGE)"):
        await _read(found, deployment, topics, sampled, payload_format)
        await reader.read(sampled)
    streams, channels = "read its streams (XREAD)", "subscribe to its channels (PSUBSCRIBE, SSUBSCRIBE)"
    with _failures_noted(found, streams if config.feed.mode == "streams" else channels):
        await _listen(found, redis, deployment, topics, config, listen_s)
    with _failures_noted(found, "read its keys again"):
        # It passes on what has changed since the last time.
        found.keys_change = await reader.read(sampled) > 0
        found.setting = await reader.notifications()
        if not found.symbols:
            foreign = await find_foreign(deployment)
            found.advice = foreign.advice(found.format) if foreign else ""


async def _scan(found: Findings, deployment: Deployment, topics: Topics) -> set[Topic]:
    keys = topics.of_keys
    refused: Counter[str] = Counter()
    seen: set[Topic] = set()
    ends_s = time.monotonic() + SCAN_S
    async for names in scan_keys(deployment.execute, await deployment.owners(), keys):
        found.keys += len(names)
        seen.update(topic for name in names if (topic := keys.parse(name)))
        refused.update(reason for name in names if (reason := keys.reason(name)))
        if found.keys >= SCAN_KEYS_MAX or time.monotonic() >= ends_s:
            found.scanned_all = False
            break
    found.refusals.keys = refused
    _note_topics(found, seen)
    return seen


async def _read(
    found: Findings, deployment: Deployment, topics: Topics, sampled: Sequence[Topic], payload_format: Format
) -> None:
    """Read and decode what is stored of the topics: tickers, and the newest closed kline of each series."""
    commands: list[tuple[str | int, ...]] = [
        ("ZREVRANGE", topics.klines_key(*topic), 0, 0, "WITHSCORES")
        if topic.interval
        else ("MGET", topics.ticker_key(topic.symbol), topics.ticker_updated_key(topic.symbol))
        for topic in sampled
    ]
    answers = await deployment.execute_all(commands) if commands else []
    for topic, answer in zip(sampled, answers, strict=True):
        if isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE"):
            found.stored.take("wrong_type", _name(topic), str(answer).encode())
        elif isinstance(answer, Exception):
            raise answer
        elif topic.interval and answer:
            _take_kline(found, topic, payload_format, *answer)
        elif not topic.interval and answer[0] is not None:
            _take_ticker(found, topic, payload_format, *answer)
    series = [topic for topic in sampled if topic.interval]
    if series:
        for closed in await deployment.execute("MGET", *(topics.last_closed_key(*topic) for topic in series)):
            _note_unit(found, "lastClosed", closed)


def _take_ticker(found: Findings, topic: Topic, payload_format: Format, payload: bytes, updated: bytes | None) -> None:
    _note_unit(found, "lastUpdate", updated)
    try:
        ticker = decode_stored_ticker(payload_format.payload(payload), topic.symbol, time_of(updated) or 0)
    except FeedError as error:
        found.stored.take(error.reason, _name(topic), payload)
        return
    found.stored.take("", "", b"")
    found.newest_ticker = max(found.newest_ticker, (ticker.event_time_ms, topic.symbol))


def _take_kline(found: Findings, topic: Topic, payload_format: Format, member: bytes, score: bytes) -> None:
    if not payload_format.event_scores:
        _note_unit(found, "scores", score)
    try:
        kline = decode_stored_kline(payload_format.payload(member), *topic)
    except FeedError as error:
        found.stored.take(error.reason, _name(topic), member)
        return
    found.stored.take("", "", b"")
    if kline is not None:
        found.newest_closed[topic.interval] = max(found.newest_closed.get(topic.interval, 0), kline.close_time_ms)


async def _listen(
    found: Findings, redis: RedisConfig, deployment: Deployment, topics: Topics, config: Config, listen_s: float
) -> None:
    """Subscribe as the gateway does, and decode what comes."""
    listener = _Listener(found)
    mode: Literal["streams", "pubsub"] = "streams" if config.feed.mode == "streams" else "pubsub"
    feed = msgspec.structs.replace(config.feed, mode=mode, silent_reconnect=0.0)
    stale_after_s = config.market.stale_after_s
    market = Market(config.market, config.stream.closed_log)
    running = asyncio.create_task(
        make_feed(feed, redis, topics, deployment, listener, market, set, stale_after_s).run()
    )
    try:
        async with asyncio.timeout(redis.connect_timeout_s + redis.command_timeout_s + redis.watchdog_s):
            await listener.answered.wait()
        if listener.reason:
            raise ResponseError(listener.reason)
        await asyncio.sleep(listen_s)
        found.listened_s = listen_s
    finally:
        await cancel_and_wait([running])


class _Listener:
    """The sink of a feed: decodes each message and counts it."""

    surging = False
    charge: AbstractContextManager[None] = nullcontext()

    def __init__(self, found: Findings) -> None:
        self._found = found
        self.answered = asyncio.Event()
        """The feed is connected, or has failed to."""
        self.reason = ""

    def connected(self) -> None:
        self.answered.set()

    def disconnected(self, reason: str) -> None:
        if not self.answered.is_set():
            self.reason = reason
            self.answered.set()

    def ingest(self, batch: Batch, replaced: int = 0) -> None:
        found, now_ms = self._found, time.time_ns() // 1_000_000
        _note_topics(found, {topic for topic, _ in batch})
        for topic, payload in batch:
            reason = ""
            try:
                if topic.interval:
                    decode_kline(payload, topic.symbol, topic.interval, now_ms)
                else:
                    decode_ticker(payload, topic.symbol, now_ms)
            except FeedError as error:
                reason = error.reason
            found.messages.take(reason, _name(topic), payload)


def _note_topics(found: Findings, topics: set[Topic]) -> None:
    found.symbols.update(topic.symbol for topic in topics)
    found.intervals.update(topic.interval for topic in topics if topic.interval)


def _note_unit(found: Findings, kind: str, text: bytes | None) -> None:
    if text is not None and (unit := unit_of(text)):
        found.units.setdefault(kind, unit)


@contextmanager
def _failures_noted(found: Findings, what: str) -> Iterator[None]:
    """Turn an error of Redis into a sentence."""
    try:
        yield
    except (RedisError, OSError) as error:
        found.failures.append(f"cannot {what}: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    text = str(error)
    if isinstance(error, AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")):
        return f"the server refuses the user or the password ({text})"
    if "NOPERM" in text or "no permissions" in text.lower():
        return f"the user lacks a permission, see ACL SETUSER ({text})"
    if isinstance(error, (TimeoutError, RedisTimeoutError)):
        return "no answer in time (redis.connect_timeout_s, redis.command_timeout_s)"
    return text or type(error).__name__


def _name(topic: Topic) -> str:
    return f"{topic.symbol} {topic.interval}".rstrip()


def _place(redis: RedisConfig) -> str:
    if redis.sentinels:
        return f"{redis.sentinel_master} of the sentinels {', '.join(redis.sentinels)}"
    return f"the cluster of {', '.join(redis.cluster)}" if redis.cluster else mask_url(redis.url)
