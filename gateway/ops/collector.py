"""Metrics that are computed for each scrape: sessions by dialect and tier, freshness of the data, state of the stores.

Visits all sessions and series once a scrape (a few ms with 1,000 clients and 300 symbols); changes nothing.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from gateway.delivery.throttle import DEFAULT, FAST, TIER_RATES
from gateway.ops.metrics import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session
    from gateway.history.redis_store import RedisStore
    from gateway.market.market import Market
    from gateway.ops.counters import Counters

DIALECTS = ("native", "compact", "events", "binance", "phoenix")
CAUSES = ("stalled", "slowed", "capped")

TIER_NAMES = ("fast", "default", *(f"{rate:g}/s" for rate in TIER_RATES[DEFAULT + 1 :]))
"""By tier: how often its clients are sent updates."""


class Newest(NamedTuple):
    """Newest event times of a symbol, in ms since the epoch; 0: no update yet."""

    ticker_ms: int
    forming_ms: int
    closed_ms: int


class MetricsCollector:
    """Computes samples from the hub, the market and the stores."""

    def __init__(
        self,
        hub: Hub,
        market: Market,
        stores: Mapping[str, RedisStore],
        counters: Counters,
        stale_after_s: float,
        clock_ms: Callable[[], int],
    ) -> None:
        """`stores`: by source. `stale_after_s`: a symbol without an update for longer counts as stale."""
        self._hub = hub
        self._market = market
        self._stores = stores
        self._counters = counters
        self._stale_after_ms = stale_after_s * 1000
        self._clock_ms = clock_ms

    def readings(self) -> Iterator[Reading]:
        """All samples."""
        yield from self._clients()
        yield from self._freshness()
        yield from self._store()

    def _clients(self) -> Iterator[Reading]:
        counts = Counter((session.style[0].name, session.pace.tier) for session in self._hub.sessions)
        for dialect, (tier, name) in product(DIALECTS, enumerate(TIER_NAMES)):
            yield Reading("connections", {"dialect": dialect, "tier": name}, counts[dialect, tier])
        served = sum(counts[dialect, FAST] for dialect in DIALECTS)
        yield Reading("fast_clients", {"state": "wanted"}, len(self._hub.fast))
        yield Reading("fast_clients", {"state": "served"}, served)
        open_bytes = sum(session.sink.received_bytes for session in self._hub.sessions)
        yield Reading("received_bytes_total", {}, self._counters.bytes_in + open_bytes)
        slow = Counter(cause for session in self._hub.sessions if (cause := _cause(session)))
        for cause in CAUSES:
            yield Reading("slow_clients", {"cause": cause}, slow[cause])
        for name, tier_ in zip(TIER_NAMES, self._hub.tiers, strict=True):
            yield Reading("conflated_updates_total", {"tier": name}, tier_.conflated)

    def _freshness(self) -> Iterator[Reading]:
        now_ms = self._clock_ms()
        closed: Counter[str] = Counter()
        by_symbol: dict[str, Newest] = {}
        for series in self._market.every_series():
            closed[series.interval.name] += series.closed.end
            known = by_symbol.get(series.symbol)
            if known is None:
                ticker = self._market.ticker(series.symbol)
                known = Newest(ticker.event_time_ms if ticker else 0, 0, 0)
            forming, last = series.forming, series.closed.last
            by_symbol[series.symbol] = Newest(
                known.ticker_ms,
                max(known.forming_ms, forming.event_time_ms if forming else 0),
                # Stored klines have no event time; their close time is near enough.
                max(known.closed_ms, (last.event_time_ms or last.close_time_ms) if last else 0),
            )
        for interval, count in closed.items():
            yield Reading("closed_klines_total", {"interval": interval}, count)
        stale = sum(now_ms - max(newest) > self._stale_after_ms for newest in by_symbol.values())
        yield Reading("symbols_stale", {}, stale)
        for lane, state in self._hub.feed_state.lanes().items():
            yield Reading("lane_live", {"lane": lane}, float(state.live))
        lanes = zip(("ticker", "forming", "closed"), zip(*by_symbol.values(), strict=True), strict=False)
        for lane, times_ms in lanes:
            if newest_ms := max(times_ms):
                yield Reading("freshness_seconds", {"lane": lane}, max(0, now_ms - newest_ms) / 1000)

    def _store(self) -> Iterator[Reading]:
        for source, store in self._stores.items():
            for state in ("closed", "open"):
                labels = {"source": source, "state": state}
                yield Reading("history_circuit", labels, float(store.circuit == state))
            for reason in ("timeout", "connection", "refused", "busy"):
                labels = {"source": source, "reason": reason}
                yield Reading("history_failures_total", labels, store.failures[reason])
            if store.ping_s is not None:
                yield Reading("redis_ping_seconds", {"source": source}, store.ping_s)


def _cause(session: Session) -> str | None:
    """Why a client is flushed less often than others; `None` if it is not."""
    if session.pace.stalled_since_s is not None:
        return "stalled"
    if session.pace.tiers_slowed:
        return "slowed"
    return "capped" if session.pace.fastest_tier > DEFAULT or session.pace.allowance is not None else None
