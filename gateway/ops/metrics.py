"""Names and types for the counters, in Prometheus' text format. Read when scraped; the hot path never comes here."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

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
    from collections.abc import Callable, Iterator, Mapping

    from gateway.ops.counters import Counters, Histogram


class Metrics(Collector):
    """One process's metrics. `gauges`, `totals` and `by_source` are asked for what other parts count for themselves."""

    def __init__(
        self,
        counters: Counters,
        gauges: Callable[[], Mapping[str, float]],
        totals: Callable[[], Mapping[str, float]],
        *,
        totals_by_interval: Callable[[], Mapping[str, Mapping[str, int]]] = dict,
        by_source: Callable[[], Mapping[str, Mapping[str, float]]] = dict,
        feed_mode: Callable[[], str] = str,
    ) -> None:
        """`by_source`: metrics by name, then by source; names that end in `_total` are of counters."""
        self._counters = counters
        self._gauges = gauges
        self._totals = totals
        self._totals_by_interval = totals_by_interval
        self._feed_mode = feed_mode
        self._by_source = by_source
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        counters = self._counters
        yield _counter("gateway_feed_messages", "Messages taken from the feed", counters.messages_in)
        yield _counter("gateway_feed_conflated", "Messages replaced by a newer one in a surge", counters.conflated)
        yield _labelled("gateway_feed_errors", "Feed messages skipped", "reason", counters.feed_errors)
        yield _counter("gateway_feed_gaps", "Times the feed's link was lost", counters.gaps)
        yield _counter("gateway_writes", "Writes to clients", counters.writes)
        yield _counter("gateway_sent_bytes", "Bytes written to clients", counters.bytes_out)
        yield _counter("gateway_missed_beats", "Beats a client could not take", counters.missed_beats)
        yield _counter("gateway_resyncs", "Channels sent anew to a client", counters.resyncs)
        yield _counter("gateway_refused_connections", "Handshakes refused", counters.refused)
        yield _labelled("gateway_refusals", "Handshakes and requests refused", "reason", counters.refusals)
        yield _labelled("gateway_command_errors", "Commands answered with an error", "code", counters.command_errors)
        closes = {str(code): count for code, count in counters.disconnects.items()}
        yield _labelled("gateway_disconnects", "Connections the gateway ended", "code", closes)
        yield _histogram("gateway_flush_seconds", "Time a flush takes", counters.flush)
        yield _histogram("gateway_loop_lag_seconds", "How late a flush begins", counters.lag)
        yield GaugeMetricFamily("gateway_connections", "WebSocket connections now", counters.connections)
        mode = GaugeMetricFamily("gateway_feed_mode", "How news is taken from Redis just now", labels=["mode"])
        mode.add_metric([self._feed_mode()], 1)
        yield mode
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"gateway_{name}", name.replace("_", " "), value)
        for name, value in self._totals().items():
            yield _counter(f"gateway_{name}", name.replace("_", " "), value)
        for name, values in self._totals_by_interval().items():
            yield _labelled(f"gateway_{name}", name.replace("_", " "), "interval", values)
        for name, by_source in self._by_source().items():
            counts = name.endswith("_total")
            family = (CounterMetricFamily if counts else GaugeMetricFamily)(
                f"gateway_{name.removesuffix('_total')}", name.replace("_", " "), labels=["source"]
            )
            for source, value in by_source.items():
                family.add_metric([source], value)
            yield family


def _counter(name: str, help: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, help, value)


def _labelled(name: str, help: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, help, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _histogram(name: str, help: str, histogram: Histogram) -> HistogramMetricFamily:
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    buckets = list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
    return HistogramMetricFamily(name, help, buckets=buckets, sum_value=histogram.total_s)
