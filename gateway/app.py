"""Composition root: makes every object, joins the routes, runs and ends the tasks. Decides nothing itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware

from gateway import __version__
from gateway.access.rate_limiter import RateLimiter
from gateway.config import ConfigError
from gateway.config.reload import reloaded
from gateway.delivery.channel import KlineChannel, MarketChannel
from gateway.delivery.feed_state import FeedStateMachine
from gateway.delivery.hub import Hub
from gateway.feed.factory import make_feed
from gateway.feed.failover import SourceFailover
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.combined_store import CombinedStore
from gateway.history.live_view import LiveView
from gateway.history.probe import StoreProbe
from gateway.history.query import QueryRules
from gateway.history.redis_store import RedisStore
from gateway.history.service import History
from gateway.http import binance_rest, documents, functions, klines, page, reply, status, udf
from gateway.http.admission import Admission
from gateway.http.errors import EXCEPTION_HANDLERS
from gateway.http.guard import Guard
from gateway.http.worker_operations import OperationsRoutes
from gateway.market.market import Market
from gateway.model.symbol import SymbolRule
from gateway.ops.collector import MetricsCollector
from gateway.ops.counters import Counters
from gateway.ops.health import Health
from gateway.ops.logs import setup_logging
from gateway.ops.status.view import StatusView
from gateway.protocol.binance_commands import StreamNames
from gateway.protocol.native_commands import NativeCommands
from gateway.redis.contract import Topic, Topics
from gateway.redis.deployment import make_deployment
from gateway.redis.tasks import cancel_and_wait
from gateway.runtime.backfill import Backfill
from gateway.runtime.clock import SteadyClock
from gateway.runtime.flush import Flusher
from gateway.runtime.gap_watch import GapWatch
from gateway.runtime.ingest import Ingest
from gateway.runtime.keepalive import Keepalive
from gateway.server.lifecycle import Server
from gateway.server.listening import address_of, bind, check_tls
from gateway.server.operations import serve_operations
from gateway.server.socket_batch import SocketBatch
from gateway.server.worker_group import end_with_supervisor
from gateway.stream.binance import BinanceService
from gateway.stream.native import StreamService

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from starlette.routing import BaseRoute

    from gateway.config import Config
    from gateway.delivery.session import Session, Sink
    from gateway.server.client_socket import ClientSocket
    from gateway.server.worker_group import WorkerGroup

logger = logging.getLogger(__name__)

STATIC = Path(str(files("gateway"))) / "static"


class Gateway:
    """Every part of one process, joined."""

    def __init__(self, config: Config, worker_group: WorkerGroup | None = None) -> None:
        self.config = config
        self.worker_group = worker_group
        symbols = SymbolRule(config.market.symbol_pattern)
        intervals = config.market.intervals
        stored = config.market.stored or intervals
        self.counters = Counters()
        self.clock = clock = SteadyClock()
        self.market = Market(config.market, config.stream.closed_log, lazy=True)
        self.feed_state = state = FeedStateMachine(config.market.stale_after_s)
        self.hub: Hub[Session] = Hub(self.market, config.stream.closed_log, max(1, round(1000 / config.stream.tick_ms)))
        where = config.sources or {"redis": config.redis}
        self.deployments = {name: make_deployment(redis) for name, redis in where.items()}
        stores = {
            name: RedisStore(redis, intervals, symbols.pattern, redis=self.deployments[name], clock_ms=clock)
            for name, redis in where.items()
        }
        self.store = CombinedStore(stores, lambda: self.sources.by_health())
        self.store_probes = [StoreProbe(stores[name].ping, redis.retry_s) for name, redis in where.items()]
        self.aggregating_store = AggregatingStore(self.store, config.market)
        live, timed = LiveView(self.market, self.feed_state), self.counters.observe_history
        self.history = History(self.aggregating_store, live, config.history, config.stream.history_max, observe=timed)
        self.rules = QueryRules(symbols, intervals, config.stream.history_max)
        self.backfill = Backfill(self.aggregating_store, self.market, intervals, config.redis.retry_s, clock)
        self.watch = GapWatch(config.market, self.store, self.market, self.backfill, lambda: state.current.live, clock)
        self.admission = Admission(config, self.counters, lambda: self.flusher.load.refuses)
        self.rates = RateLimiter(config.limits.tracked, config.redis if config.limits.shared else None)
        commands = NativeCommands(symbols, intervals, config.stream.history_max)
        self.stream = StreamService(
            config, self.market, self.hub, self.history, self.counters, commands, self.admission, clock
        )
        self.ingest = Ingest(config, self.market, self.hub, self.feed_state, self.backfill, self.counters, clock)
        to_resync = self.stream.resync
        self.flusher = Flusher(
            config, self.market, self.hub, self.backfill, self.ingest, self.counters, to_resync, _socket_batch, clock
        )
        self.stream.flusher = self.flusher
        names = StreamNames(symbols, intervals)
        self.binance = BinanceService(
            config, self.market, self.hub, self.flusher, self.counters, names, self.admission, clock
        )
        self.sources = SourceFailover(where, self.ingest, config.market.switch_after_s, time.monotonic)
        self.feeds = {
            name: make_feed(
                config.feed,
                redis,
                Topics(redis, stored, symbols.pattern),
                self.deployments[name],
                self.sources.all[name],
                self.market,
                self._wanted,
            )
            for name, redis in where.items()
        }
        self.keepalive = Keepalive(config.stream, self.hub.sessions, self.counters)
        self.health = Health(
            clock=clock,
            market=self.market,
            hub=self.hub,
            store=self.store,
            history=self.history,
            backfill=self.backfill,
            watch=self.watch,
            ingest=self.ingest,
            flusher=self.flusher,
            sources=self.sources,
            feeds=self.feeds,
        )
        collector = MetricsCollector(
            self.hub, self.market, stores, self.counters, config.market.symbol_stale_after_s, clock
        )
        self.metrics = self.health.metrics(self.counters, collector)
        self.status = StatusView(config, self.health, self.counters)
        health, token = self.health, config.operations.token
        status_routes = partial(status.routes, self.status, self.ingest.tracing)
        self.operations = OperationsRoutes(
            health.not_ready_reasons, health.details, self.metrics, token, worker_group, status_routes
        )
        self.app = Starlette(
            routes=self._routes(),
            middleware=self._middleware(),
            exception_handlers=EXCEPTION_HANDLERS,
        )

    def reload(self, wanted: Config) -> None:
        """Put in force what may change while the process runs, and name what needs a restart."""
        config, changed, waiting = reloaded(self.config, wanted)
        self.config = config
        if any(key.startswith("log.") for key in changed):
            setup_logging(config.log)
        self.stream.config = self.binance.config = config.stream
        self.ingest.configure(config)
        self.flusher.configure(config)
        self.keepalive.configure(config.stream)
        if "http.cors_origins" in changed:
            # Requests that are under way end in the old stack.
            self.app.user_middleware = self._middleware()
            self.app.middleware_stack = self.app.build_middleware_stack()
        logger.info("settings read again; changed: %s", ", ".join(changed) or "nothing")
        if waiting:
            logger.warning("settings that need a restart were left as they were: %s", ", ".join(waiting))

    async def run(
        self, sock: socket.socket, on_ready: Callable[[], None], operations_sock: socket.socket | None = None
    ) -> None:
        """Serve on bound sockets until a signal ends it; then end everything in order."""
        server = Server(self.app, lambda: self.config, on_ready)
        tasks = [
            *(asyncio.create_task(feed.run(), name="feed") for feed in self.feeds.values()),
            asyncio.create_task(self.sources.run(), name="sources"),
            asyncio.create_task(self.flusher.run(), name="flush"),
            *(asyncio.create_task(pulse.run(), name="pulse") for pulse in self.store_probes),
            asyncio.create_task(self.keepalive.run(), name="keepalive"),
            asyncio.create_task(self.clock.run(), name="clock"),
            asyncio.create_task(self.watch.run(), name="watch"),
            asyncio.create_task(self.admission.reaper.run(), name="reaper"),
            asyncio.create_task(self.status.run(), name="status"),
        ]
        if operations_sock is not None:
            tasks.append(
                asyncio.create_task(serve_operations(operations_sock, self.operations.routes()), name="operations")
            )
        if worker_group := self.worker_group:
            tasks.append(
                asyncio.create_task(
                    serve_operations(worker_group.bind(), self.operations.worker_routes(worker_group)),
                    name="worker group",
                )
            )
        shared = self.config.server.reuse_port
        live = (lambda: self.feed_state.current.live) if shared else (lambda: True)
        serving = asyncio.create_task(server.serve_once(live, sock), name="server")
        try:
            done, _ = await asyncio.wait([serving, *tasks], return_when=asyncio.FIRST_COMPLETED)
            if serving not in done:
                # A loop that ends has failed: without it nobody is served, so the process must not look alive.
                server.should_exit = True
                await serving
            for task in done:
                task.result()
        finally:
            serving.cancel()
            await cancel_and_wait([serving, *tasks])
            await self.stream.aclose()
            await self.rates.aclose()
            await self.backfill.aclose()
            await self.history.aclose()
            await self.store.aclose()

    def _middleware(self) -> list[Middleware]:
        config = self.config
        tls = bool(config.server.tls_certificate)
        guard = Middleware(Guard, admission=self.admission, rates=self.rates, limits=config.limits, tls=tls)
        return [reply.cors(config.http), guard]

    def _routes(self) -> list[BaseRoute]:
        gzip_min_bytes, dialects, clock = self.config.history.gzip_min_bytes, self.config.dialects, self.clock
        return [
            *self.stream.routes(),
            *self.binance.routes(),
            *klines.routes(self.history, self.rules, gzip_min_bytes, clock),
            klines.gaps_route(self.watch.tracker, clock),
            *functions.routes(self.history, self.rules, gzip_min_bytes, clock),
            *binance_rest.routes(
                self.history, self.rules, dialects, gzip_min_bytes, self.config.limits.http_burst, clock, time.monotonic
            ),
            *udf.routes(self.history, self.rules, dialects, gzip_min_bytes, clock),
            *documents.routes(self.rules, __version__, gzip_min_bytes),
            *(self.operations.public_routes() if self.config.operations.address else self.operations.routes()),
            *page.routes(STATIC),
        ]

    def _wanted(self) -> set[Topic]:
        """What somebody is subscribed to, and the prices and shorter bars that its bars are made of."""
        wanted: set[Topic] = set()
        for channel in self.hub.channels:
            if channel.subscribers:
                symbols = self.market.symbols() if isinstance(channel, MarketChannel) else [channel.symbol]
                wanted.update(Topic(symbol, "") for symbol in symbols)
                if isinstance(channel, KlineChannel):
                    wanted.add(Topic(channel.symbol, channel.interval))
                    if source := self.market.divisor(channel.series):
                        wanted.add(Topic(channel.symbol, source))
        return wanted


def _socket_batch(sinks: Sequence[Sink]) -> SocketBatch:
    # Whatever a session here writes to is a client's socket.
    return SocketBatch(cast("Sequence[ClientSocket]", sinks))


async def serve(
    config: Config,
    *,
    on_ready: Callable[[str], None] | None = None,
    reread: Callable[[], Config] | None = None,
    worker_group: WorkerGroup | None = None,
) -> None:
    """Run a gateway until SIGINT or SIGTERM; `on_ready` is called with the page's address once it answers.

    With `reread` a SIGHUP makes it read the settings again; as one of a `worker_group` it ends with its supervisor.
    Raises `OSError` where the address cannot be bound, `ConfigError` for certificates and keys that cannot be used.
    """
    check_tls(config.server)
    with contextlib.ExitStack() as stack:
        bound = bind(config.server.host, config.server.port, share=config.server.reuse_port)
        sock = stack.enter_context(contextlib.closing(bound))
        operations_sock = None
        if config.operations.address:
            operations_host, _, operations_port = config.operations.address.rpartition(":")
            bound = bind(operations_host.strip("[]"), int(operations_port), share=config.server.reuse_port)
            operations_sock = stack.enter_context(contextlib.closing(bound))
            logger.info("operations at %s", address_of(operations_sock))
        address = address_of(sock, "https" if config.server.tls_certificate else "http")

        def ready() -> None:
            if on_ready:
                on_ready(address)

        gateway = Gateway(config, worker_group)
        if worker_group is not None:
            end_with_supervisor()
        if reread is not None:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, _reload, gateway, reread)
            stack.callback(loop.remove_signal_handler, signal.SIGHUP)
        await gateway.run(sock, ready, operations_sock)


def _reload(gateway: Gateway, reread: Callable[[], Config]) -> None:
    try:
        wanted = reread()
    except ConfigError as error:
        logger.error("settings cannot be read again, nothing has changed: %s", error)
    else:
        gateway.reload(wanted)
