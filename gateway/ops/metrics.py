"""Names, types and meanings of all metrics, in Prometheus' text format. Read when scraped; the hot path never comes
here. `deploy/METRICS.md` says what to do about each."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.ops.counters import BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gateway.ops.counters import Counters, Histogram

MEANINGS = {
    "accepted_connections_total": "WebSocket connections taken in",
    "channels": "Channels that somebody has asked for since the start",
    "client_disconnects_total": "Connections that clients ended, by their close code (1006: without one)",
    "clock_ahead_seconds": "How far the gateway's steady clock is ahead of the machine's",
    "closed_klines_sent_total": "Closed klines written to clients, in beats",
    "closed_klines_total": "Closed klines taken in, from the feed and from the store",
    "cohorts": "Groups of clients that share every frame",
    "command_errors_total": "Commands answered with an error",
    "conflated_updates_total": "Channel values replaced by newer ones before the tier's beat",
    "connections": "WebSocket connections now",
    "delivery_lag_seconds": "Where an update's time goes, by stage",
    "disconnects_total": "Connections the gateway ended, by close code",
    "feed_age_seconds": "Since the feed last said anything; -1: it never has",
    "feed_bytes_total": "Bytes read from Redis for the feed",
    "feed_conflated_total": "Messages replaced by a newer one in a surge, before decoding",
    "feed_errors_total": "Feed messages skipped",
    "feed_gaps_total": "Times the feed's link was lost",
    "feed_linked": "Whether the feed is linked to Redis",
    "feed_live": "Whether clients get live data",
    "feed_messages_total": "Messages taken from the feed",
    "feed_mode": "How news is taken from Redis just now",
    "feed_reconnects_total": "Attempts to link the feed again",
    "feed_switches_total": "Times the feed changed its mode",
    "feed_thinned_total": "Messages of a surge that a newer one in the same read replaced",
    "flush_overruns_total": "Flushes that ended after the next one was due",
    "flush_seconds": "Time a flush takes",
    "freshness_seconds": "Age of the newest news there is, by its event time",
    "history_available": "Whether the store can be read",
    "history_circuit": "State of the circuit breaker before the store",
    "history_coalesced_total": "Requests that waited for a read another one had begun",
    "history_failures_total": "Reads of the store that failed",
    "history_hits_total": "Requests answered from what is kept",
    "history_malformed_total": "Stored values that could not be used",
    "history_misses_total": "Reads that were begun because nothing young enough was kept",
    "history_seconds": "Time to find klines or a ticker, by where they came from",
    "history_stale_served_total": "Requests answered with what is old, because the store is away",
    "http_request_seconds": "Time to answer a request over HTTP",
    "http_requests_total": "Requests over HTTP, by status",
    "kline_gaps_given_up_total": "Missing closed klines that are looked for no more",
    "kline_gaps_open": "Runs of closed klines that are looked for now",
    "kline_gaps_repaired_total": "Missing closed klines that came after all",
    "kline_gaps_total": "Closed klines found to be missing",
    "load_level": "0 normal, 1 busy, 2 surge, 3 overload",
    "loop_lag_seconds": "How late a flush begins",
    "missed_beats_total": "Beats a client could not take",
    "published_updates_total": "Channel values that were news at a tick",
    "received_bytes_total": "Bytes clients have sent over WebSockets",
    "redis_ping_seconds": "How long Redis took to answer the last ping",
    "refusals_total": "Handshakes and requests refused",
    "refused_connections_total": "Handshakes refused",
    "repaired_klines_total": "Closed klines that had been missed and were found in the store",
    "resyncs_total": "Channels sent anew to a client",
    "sent_bytes_total": "Bytes written to clients",
    "sessions_behind": "Clients that are served one by one",
    "sessions_slowed": "Clients in a slower tier than the first",
    "slow_clients": "Clients that are served less often than others",
    "source_age_seconds": "Since a source last brought anything",
    "source_failures_total": "Times a source's link was lost or could not be made",
    "source_followed": "Whether a source is the one that is followed",
    "source_linked": "Whether a source is linked",
    "source_messages_total": "Messages a source has brought",
    "source_switches_total": "Times another source was followed",
    "symbols": "Symbols with data",
    "symbols_stale": "Symbols nothing has been heard of for market.symbol_stale_after_s",
    "updates_sent_total": "Updates written to clients, counted in one tick of 17",
    "workers": "Processes that are to serve",
    "workers_up": "Processes that answer",
    "writes_total": "Writes to clients",
}
"""By name without the leading `gateway_`."""


class Reading(NamedTuple):
    """A value that somebody looked up; its name ends in `_total` where it only rises."""

    name: str
    labels: Mapping[str, str]
    value: float


class Metrics(Collector):
    """One process's metrics. `gauges`, `totals` and the rest are asked for what other parts count for themselves."""

    def __init__(
        self,
        counters: Counters,
        gauges: Callable[[], Mapping[str, float]],
        totals: Callable[[], Mapping[str, float]],
        *,
        totals_by_interval: Callable[[], Mapping[str, Mapping[str, int]]] = dict,
        by_source: Callable[[], Mapping[str, Mapping[str, float]]] = dict,
        feed_mode: Callable[[], str] = str,
        readings: Callable[[], Iterable[Reading]] = tuple,
    ) -> None:
        """`by_source`: metrics by name, then by source; names that end in `_total` are of counters."""
        self._counters = counters
        self._gauges = gauges
        self._totals = totals
        self._totals_by_interval = totals_by_interval
        self._by_source = by_source
        self._feed_mode = feed_mode
        self._readings = readings
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield from _families(self._counted())
        yield from _families(self._looked_up())
        counters = self._counters
        yield _histograms("flush_seconds", "", {"": counters.flush})
        yield _histograms("loop_lag_seconds", "", {"": counters.lag})
        yield _histograms("delivery_lag_seconds", "stage", counters.stages)
        yield _histograms("http_request_seconds", "surface", counters.answer_times)
        yield _histograms("history_seconds", "served", counters.history_times)

    def _counted(self) -> Iterator[Reading]:
        counters = self._counters
        yield Reading("feed_messages_total", {}, counters.messages_in)
        yield Reading("feed_conflated_total", {}, counters.conflated)
        yield Reading("feed_gaps_total", {}, counters.gaps)
        yield Reading("published_updates_total", {}, counters.published)
        yield Reading("writes_total", {}, counters.writes)
        yield Reading("sent_bytes_total", {}, counters.bytes_out)
        yield Reading("flush_overruns_total", {}, counters.overruns)
        yield Reading("resyncs_total", {}, counters.resyncs)
        yield Reading("refused_connections_total", {}, counters.refused)
        for name, label, counts in (
            ("feed_errors_total", "reason", counters.feed_errors),
            ("missed_beats_total", "cause", counters.missed),
            ("updates_sent_total", "dialect", counters.updates_out),
            ("closed_klines_sent_total", "dialect", counters.closed_out),
            ("accepted_connections_total", "dialect", counters.accepted),
            ("refusals_total", "reason", counters.refusals),
            ("command_errors_total", "code", counters.command_errors),
            ("disconnects_total", "code", counters.disconnects),
            ("client_disconnects_total", "code", counters.departures),
        ):
            for value, count in counts.items():
                yield Reading(name, {label: str(value)}, count)
        for (surface, status), count in counters.answers.items():
            yield Reading("http_requests_total", {"surface": surface, "code": str(status)}, count)

    def _looked_up(self) -> Iterator[Reading]:
        yield from self._readings()
        yield Reading("feed_mode", {"mode": self._feed_mode()}, 1)
        for name, value in self._gauges().items():
            yield Reading(name, {}, value)
        for name, value in self._totals().items():
            yield Reading(f"{name}_total", {}, value)
        for name, values in self._totals_by_interval().items():
            for interval, count in values.items():
                yield Reading(f"{name}_total", {"interval": interval}, count)
        for name, by_source in self._by_source().items():
            for source, value in by_source.items():
                yield Reading(name, {"source": source}, value)


def gauge(name: str, value: float) -> str:
    """One in the text format, of more than this process."""
    return f"# HELP gateway_{name} {MEANINGS[name]}\n# TYPE gateway_{name} gauge\ngateway_{name} {value}\n"


def _families(readings: Iterable[Reading]) -> Iterable[Metric]:
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for name, labels, value in readings:
        family = families.get(name)
        if family is None:
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = families[name] = kind(f"gateway_{name}", MEANINGS[name], labels=list(labels))
        family.add_metric(list(labels.values()), value)
    return families.values()


def _histograms(name: str, label: str, histograms: Mapping[str, Histogram]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"gateway_{name}", MEANINGS[name], labels=[label] if label else [])
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    for value, histogram in histograms.items():
        buckets = list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
        family.add_metric([value] if label else [], buckets, histogram.total_s)
    return family
