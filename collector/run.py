"""`gateway collect` and `gateway live`: a collection from the settings, alone or with a server and a gateway."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from collector.backfill import Backfill, BackfillCounts
from collector.budget import BudgetError, Rates, rates_for
from collector.collection import Collection
from collector.contract import Contract
from collector.exchange import ExchangeError
from collector.exchanges import UnknownExchange, make_exchange
from collector.lease import LeaseUnsupported
from collector.operations import routes
from collector.selection import UnknownPairs, choose
from gateway.archive.open import open_archive
from gateway.config import mask_url
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis.contract import Topics
from gateway.redis.deployment import make_deployment
from gateway.server.listening import bind
from gateway.server.operations import serve_operations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from collector.exchange import Exchange
    from gateway.config import Config

REFUSALS = (BudgetError, ExchangeError, LeaseUnsupported, UnknownExchange, UnknownPairs)
"""Why collecting cannot begin: each says in a sentence what is wrong."""

_LINE_S = 10.0


def make_collection(config: Config, exchange: Exchange) -> Collection:
    """The collection of an exchange that the settings describe; raises one of `REFUSALS`."""
    wanted, redis = config.collect, config.redis
    if wanted.ha and redis.cluster:
        raise LeaseUnsupported("collect.ha: expected one server or Sentinel, not redis.cluster")
    rates = Rates(bundle=wanted.bundle == "on")
    if wanted.commands_a_day:
        symbols = wanted.top + len(wanted.symbols)
        rates = rates_for(
            wanted.commands_a_day, symbols, wanted.intervals, bundle=wanted.bundle != "off", lease=wanted.ha
        )
    topics = Topics(redis, wanted.intervals, DEFAULT_SYMBOL_PATTERN)
    if rates.bundle and not topics.bundle:
        raise BudgetError("redis.bundle_channel: expected the name of a channel, or collect.bundle off")
    contract = Contract(
        topics,
        extended=True,
        brief_tickers=bool(wanted.commands_a_day),
        one_server=not redis.cluster,
        sharded=bool(redis.cluster) and redis.cluster_pubsub == "sharded",
    )
    lease_key = topics.lease_key if wanted.ha else ""
    return Collection(exchange, make_deployment(redis), contract, rates, wanted, redis.retry_s, lease_key)


async def run_collect(collection: Collection, config: Config, *, print_line: Callable[[str], None]) -> None:
    """Collect until cancelled; `print_line` gets a line of progress now and then."""
    host, _, port = config.collect.address.rpartition(":")
    sock = bind(host.strip("[]"), int(port)) if port else None
    print_line(f"collecting {collection.exchange.venue.title} into {mask_url(config.redis.url)}")
    for lacks in collection.exchange.venue.lacks:
        print_line(f"{collection.exchange.venue.title}: {lacks}")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_report(collection, print_line), name="progress")
        if sock is not None:
            tasks.create_task(serve_operations(sock, routes(collection)), name="operations")
        await collection.run()


async def run_live(
    config: Config, exchange: Exchange, serve: Callable[[str], Awaitable[None]], *, print_line: Callable[[str], None]
) -> None:
    """Run `serve(redis_url)` with a server and a collection of an exchange until it returns, fails or is cancelled."""
    from simulator.server import EmbeddedServer

    async with EmbeddedServer() as server, asyncio.TaskGroup() as tasks:
        embedded = msgspec.structs.replace(config, redis=msgspec.structs.replace(config.redis, url=server.url))
        collection = make_collection(embedded, exchange)
        collecting = tasks.create_task(run_collect(collection, embedded, print_line=print_line), name="collector")
        await serve(server.url)
        collecting.cancel()


async def _report(collection: Collection, print_line: Callable[[str], None]) -> None:
    writer, before, before_s = collection.writer, 0, time.monotonic()
    while True:
        await asyncio.sleep(_LINE_S)
        now_s, counts = time.monotonic(), writer.counts
        rate = (counts.events - before) / (now_s - before_s)
        print_line(
            f"{len(collection.symbols)} pairs, {rate:.0f} events/s, {counts.closed} klines closed, "
            f"{collection.filler.missing} series to load, {counts.commands} commands to Redis"
        )
        before, before_s = counts.events, now_s


async def run_backfill(config: Config, since_ms: int, *, print_line: Callable[[str], None]) -> BackfillCounts:
    """Fill the archive from the exchange; returns what was done. Raises one of `REFUSALS`, or `ArchiveError`."""
    wanted, exchange = config.collect, make_exchange(config.collect)
    archive = open_archive(config.archive)
    if archive is None:
        raise UnknownExchange("archive.path: expected the file to fill")
    try:
        symbols = choose(await exchange.listing(), symbols=wanted.symbols, top=wanted.top, quote=wanted.quote)
        backfill = Backfill(exchange, archive, since_ms)
        place = config.archive.path or mask_url(config.archive.url)
        print_line(f"filling {place} from {exchange.venue.title}: {len(symbols)} pairs")
        await backfill.run(symbols, wanted.intervals, print_line)
        return backfill.counts
    finally:
        await exchange.aclose()
        await archive.aclose()
