"""Composition root: builds the parts in the order of the data flow, runs and ends them. Decides nothing itself."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from gateway import __version__
from gateway.access.rate_limiter import RateLimiter
from gateway.access.request_queue import RequestQueue
from gateway.config.reload import reloaded
from gateway.delivery.feed_state import FeedStateMachine
from gateway.delivery.hub import Hub
from gateway.delivery.load_level import Load
from gateway.delivery.load_meter import Cause, LoadMeter
from gateway.feed.factory import make_feeds
from gateway.feed.failover import SourceFailover
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.live_view import LiveView
from gateway.history.query import QueryRules
from gateway.history.redis_store import RedisStore
from gateway.history.service import History
from gateway.history.stores import Stores
from gateway.history.turns import Turns
from gateway.http import about, binance_rest, docs, documents, functions, klines, page, status, udf
from gateway.http.admission import Admission
from gateway.http.at_once import AtOnce
from gateway.http.errors import EXCEPTION_HANDLERS, UNKNOWN_STREAM
from gateway.http.guard import middleware
from gateway.http.kept_answers import kept_answers
from gateway.http.operations import operations_token
from gateway.http.reads import HistoryReads
from gateway.http.request_turns import RequestTurns
from gateway.http.unread import UnreadAnswers
from gateway.http.worker_operations import OperationsRoutes
from gateway.market.market import Market
from gateway.model.symbol import SymbolRule
from gateway.ops.collector import MetricsCollector
from gateway.ops.counters import Counters
from gateway.ops.health import Health
from gateway.ops.logs import setup_logging
from gateway.ops.refused import RefusedNames
from gateway.ops.status.view import StatusView
from gateway.protocol.binance_commands import StreamNames
from gateway.protocol.native_commands import NativeCommands
from gateway.protocol.phoenix import Topics
from gateway.redis.deployment import make_deployment
from gateway.redis.tasks import cancel_and_wait
from gateway.runtime.archiving import Archiving
from gateway.runtime.backfill import Backfill
from gateway.runtime.clock import SteadyClock
from gateway.runtime.day_reader import DayReader
from gateway.runtime.demand import demanded_topics
from gateway.runtime.flush import Flusher
from gateway.runtime.gap_requests import GapRequests
from gateway.runtime.gap_watch import GapWatch
from gateway.runtime.ingest import Ingest
from gateway.runtime.keepalive import Keepalive
from gateway.runtime.load_windows import LoadWindows, charge_tasks
from gateway.runtime.plausibility import Plausibility
from gateway.runtime.session_writer import SessionWriter
from gateway.runtime.store_comparison import StoreComparison
from gateway.runtime.symbol_watch import SymbolWatch
from gateway.server.lifecycle import Server
from gateway.server.operations import serve_operations
from gateway.server.process import run_process
from gateway.server.socket_batch import SocketBatch
from gateway.stream.binance import BinanceService
from gateway.stream.endpoint import Endpoint
from gateway.stream.native import StreamService
from gateway.stream.phoenix import PhoenixService
from gateway.stream.replay import make_replays

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterator

    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute

    from gateway.config import Config
    from gateway.server.worker_group import WorkerGroup

logger = logging.getLogger(__name__)

STATIC = Path(str(files("gateway"))) / "static"
DOCS = STATIC.with_name("site")


class Gateway:
    """Every part of one process, built in the order in which data flows through them."""

    def __init__(self, config: Config, worker_group: WorkerGroup | None = None) -> None:
        self.config, self.worker_group = config, worker_group
        market_config, stream, redis_by_source = config.market, config.stream, config.redis_by_source
        symbols, intervals = SymbolRule(market_config.symbol_pattern), market_config.intervals
        refused = RefusedNames(redis_by_source)
        self._server: Server | None = None

        # What everything uses.
        self.counters = Counters()
        self.clock = clock = SteadyClock()

        # State: the market, its channels, whether the feed is live, how loaded the process is.
        self.market = Market(market_config, stream.closed_log, lazy=True)
        self.hub = Hub(self.market, stream.closed_log, round(stream.close_wait_s * 1000))
        self.feed_state = FeedStateMachine(market_config.stale_after_s, market_config.close_grace_ms / 1000)
        self.load = Load(stream.shed_above)
        self.load_meter = LoadMeter(time.thread_time)
        self.requests = RequestQueue(self.load, self.load_meter)
        self.load_windows = LoadWindows(self.load_meter, lambda: self.requests.waiting > 0)

        # What of the feed, and of what is stored, can be true.
        judge = Plausibility(market_config, self.market, self.counters, clock)

        # Stored klines: each source, all of them, aggregated intervals; then history, and what repairs gaps from it.
        self.sources = SourceFailover(redis_by_source, market_config.switch_after_s, judge.is_usable, time.monotonic)
        deployments = {name: make_deployment(redis) for name, redis in redis_by_source.items()}
        shared = clock, (turns := Turns()), judge
        redis_stores = {
            name: RedisStore(redis, intervals, symbols.pattern, deployments[name], refused.of(name), *shared)
            for name, redis in redis_by_source.items()
        }
        self.stores = stores = Stores(redis_stores, redis_by_source, self.sources.by_health, config.archive)
        self.store = stores.all
        aggregating_store = AggregatingStore(self.store, market_config)
        live_view, observe = LiveView(self.market, self.feed_state), self.counters.observe_history
        self.history = History(aggregating_store, live_view, config.history, stream.history_max, observe, turns)
        self.backfill = Backfill(aggregating_store, self.market, intervals, config.redis.retry_s, clock)
        self.day_reader = DayReader(self.market, aggregating_store)
        requests = GapRequests(redis_by_source, deployments, self.sources.by_health, time.monotonic)
        is_live = self.feed_state.closed_live
        self.watch = GapWatch(market_config, self.store, self.market, self.backfill, is_live, clock, requests=requests)

        # In: feeds of all sources, of which the active one's updates reach the market.
        parts = self.feed_state, self.backfill, self.counters, clock, self.load, self.load_meter
        self.ingest = Ingest(config, self.market, self.hub, *parts, plausibility=judge)
        self.sources.connect(self.ingest)
        demand = partial(demanded_topics, self.hub, self.market)
        is_live = self.feed_state.is_live
        self.comparison = StoreComparison(market_config, self.store, self.market, self.backfill, is_live, demand, clock)
        sinks, judged = self.sources.all, (judge.feed_clock, judge.note, lambda: self.feed_state.times.quiet_until_s)
        self.feeds = make_feeds(config, deployments, refused.of, sinks, self.market, demand, *judged)

        # Out: who is admitted, their sessions, and the flush that serves them.
        self.admission = Admission(config, self.counters, self.load)
        self.rates = RateLimiter(config.limits.tracked, config.redis if config.limits.shared else None)
        self.request_turns = RequestTurns()
        writer = SessionWriter(config, self.hub, self.counters, clock)
        self.endpoint = Endpoint(config, self.hub, writer, self.counters, self.admission, judge.feed_clock)
        commands = NativeCommands(symbols, intervals, stores.limit(stream.history_max))
        charged = partial(self.load_meter.charged, Cause.SNAPSHOTS)
        self.stream = StreamService(self.endpoint, self.market, self.history, commands, turns, charged)
        self.binance = BinanceService(self.endpoint, self.market, StreamNames(symbols, intervals))
        self.replays = make_replays(config, stores, self.endpoint, commands, self.load, self.load_meter)
        self.phoenix = PhoenixService(self.endpoint, self.market, Topics(symbols, intervals))
        self.flusher = Flusher(
            *(config, self.market, self.hub, self.backfill, self.ingest, self.counters, self.load, self.load_windows),
            *(writer, self.stream.sender.start, SocketBatch.of),
            lambda: bool(self.request_turns.waiting or self.requests.waiting or turns.waiting),
            clock,
        )
        self.keepalive = Keepalive(stream, self.hub.sessions, more=self.replays.sessions.sessions)

        # Operations: health, metrics and status read all of it.
        self.health = Health(
            clock=clock,
            market=self.market,
            hub=self.hub,
            store=self.store,
            history=self.history,
            backfill=self.backfill,
            watch=self.watch,
            comparison=self.comparison,
            ingest=self.ingest,
            flusher=self.flusher,
            windows=self.load_windows,
            requests=self.requests,
            sources=self.sources,
            feeds=self.feeds,
            refused=refused,
            replays=self.replays.sessions.stats,
            archiving=Archiving.of(stores.archive, stores.redis, self.market, config.archive, clock),
            server=lambda: self._server,
        )
        symbol_s = market_config.symbol_stale_after_s
        collector = MetricsCollector(self.hub, self.market, redis_stores, self.counters, symbol_s, clock)
        self.metrics = self.health.metrics(self.counters, collector)
        self.status = StatusView(config, self.health, self.counters)
        more = partial(status.routes, self.status, self.ingest.tracing)
        self.operations = OperationsRoutes(self.health, self.metrics, operations_token(config), worker_group, more)

        self.rules = QueryRules(symbols, intervals, stores.limit(stream.history_max), stream.history_max)
        self._limits = self.admission, self.rates, self.load_meter, self.requests, self.request_turns, UnreadAnswers()
        self.reads = HistoryReads(self.history, self.request_turns)
        self.app = Starlette(
            routes=self._routes(), middleware=self._middleware(), exception_handlers=EXCEPTION_HANDLERS
        )
        self.at_once = AtOnce(config, *self._limits, self.reads.makers)

    def reload(self, wanted: Config) -> None:
        """Apply the settings that may change while the process runs, and name those that need a restart."""
        config, changed, waiting = reloaded(self.config, wanted)
        self.config = config
        if any(key.startswith("log.") for key in changed):
            setup_logging(config.log)
        self.endpoint.configure(config)
        self.ingest.configure(config)
        self.flusher.configure(config)
        self.keepalive.configure(config.stream)
        if "http.cors_origins" in changed:
            # Requests that are under way end in the old stack.
            self.app.user_middleware = self._middleware()
            self.app.middleware_stack = self.app.build_middleware_stack()
            self.at_once.configure(config.http)
        logger.info("settings read again; changed: %s", ", ".join(changed) or "nothing")
        if waiting:
            logger.warning("settings that need a restart were left as they were: %s", ", ".join(waiting))

    async def run(
        self, sock: socket.socket, on_ready: Callable[[], None], operations_sock: socket.socket | None = None
    ) -> None:
        """Serve on bound sockets until a signal ends it, then end everything in order.

        `on_ready` is called once connections are accepted. Raises what a background task has failed with.
        """
        server = self._server = Server(self.app, lambda: self.config, on_ready, self.request_turns, self.at_once)
        failures: list[Exception] = []
        charge_tasks(asyncio.get_running_loop(), self.load_meter)

        async def run_in_background(work: Coroutine[None, None, None]) -> None:
            try:
                await work
            except Exception as error:
                failures.append(error)
            finally:
                # A background task ends only by failing. Nobody is served without it, so the server ends too.
                server.should_exit = True

        try:
            async with asyncio.TaskGroup() as group:
                works = self._background_works(operations_sock)
                tasks = [group.create_task(run_in_background(work), name=name) for name, work in works]
                try:
                    # Processes that share a port accept connections only when they have data to serve.
                    is_live = (lambda: self.market.read) if self.config.server.reuse_port else None
                    await server.serve_once(is_live, sock)
                finally:
                    await cancel_and_wait(tasks)
        finally:
            await self._close()
        if failures:
            raise failures[0]

    def _background_works(self, operations: socket.socket | None) -> Iterator[tuple[str, Coroutine[None, None, None]]]:
        """Every task of the process but the server, by name. `operations`: the socket of operations.address."""
        yield "clock", self.clock.run()
        for name, feed in self.feeds.items():
            yield f"feed {name}", self.load_meter.charged(Cause.INGEST, feed.run())
        yield "sources", self.sources.run()
        yield from (("store probe", probe.run()) for probe in self.stores.probes)
        if archiving := self.health.archiving:
            yield "archive", archiving.run()
        yield "gap watch", self.watch.run()
        yield "symbol watch", SymbolWatch(self.config.market, self.market, self.feed_state, self.clock).run()
        yield "day reader", self.day_reader.run()
        if self.config.market.compare_s:
            yield "store comparison", self.comparison.run()
        yield "flush", self.flusher.run()
        yield "keepalive", self.keepalive.run()
        yield "reaper", self.admission.reaper.run()
        yield "status", self.status.run()
        if operations is not None:
            yield "operations", serve_operations(operations, self.operations.routes())
        if group := self.worker_group:
            yield "worker group", serve_operations(group.bind(), self.operations.worker_routes(group))

    async def _close(self) -> None:
        """Cancel what is under way and close the connections to Redis."""
        for part in (self.stream, self.replays, self.phoenix, self.rates, self.backfill, self.history, self.store):
            await part.aclose()

    def _middleware(self) -> list[Middleware]:
        return [*middleware(self.config, *self._limits), kept_answers(self.reads.makers)]

    def _routes(self) -> list[BaseRoute]:
        history, rules, clock = self.reads, self.rules, self.clock
        dialects, gzip_min_bytes = self.config.dialects, self.config.history.gzip_min_bytes
        weight_max = self.config.limits.http_burst
        return [
            *(*self.stream.routes(), *self.binance.routes(), *self.phoenix.routes(), *self.replays.routes()),
            UNKNOWN_STREAM,
            *klines.routes(history, rules, gzip_min_bytes, clock),
            klines.gaps_route(self.watch.tracker, clock, self.ingest.plausibility.refused_klines, self.health.holes),
            *functions.routes(history, rules, dialects, gzip_min_bytes, clock, self.health.not_ready_reasons),
            *binance_rest.routes(history, rules, dialects, gzip_min_bytes, weight_max, clock, time.monotonic),
            *udf.routes(history, rules, dialects, gzip_min_bytes, clock),
            *documents.routes(rules, __version__, gzip_min_bytes),
            *about.routes(self.config.attribution, __version__),
            *(self.operations.public_routes() if self.config.operations.address else self.operations.routes()),
            *docs.routes(DOCS, wanted=self.config.http.docs),
            *page.routes(STATIC),
        ]


async def serve(
    config: Config,
    *,
    on_ready: Callable[[str], None] | None = None,
    reread: Callable[[], Config] | None = None,
    worker_group: WorkerGroup | None = None,
) -> None:
    """Run a gateway until SIGINT or SIGTERM: see `server.process.run_process`."""
    await run_process(
        config,
        lambda fitted: Gateway(fitted, worker_group),
        on_ready=on_ready,
        reread=reread,
        ends_with_supervisor=worker_group is not None,
    )
