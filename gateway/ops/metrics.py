"""Names, types and descriptions of all metrics, and their export in Prometheus' text format.

Runs when Prometheus scrapes; the hot path must not come here. `deploy/METRICS.md` says what to do about each metric."""

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

DESCRIPTIONS = {
    "accepted_connections_total": "WebSocket connections accepted",
    "archive_behind_seconds": "For how long the archive cannot be written; 0 while it can",
    "archive_bytes": "Size of the archive on disk",
    "archive_holes_total": "Times that Redis no longer had klines that are missing in the archive",
    "archive_leads": "Whether this process is the one that writes the archive",
    "archive_missing_klines": "Klines missing in the archive between others, at the last look (once an hour)",
    "archive_pending_klines": "Closed klines that the last attempt to write has left",
    "archive_read_failures_total": "Reads of the archive that failed",
    "archive_read_seconds": "Time of a read of the archive",
    "archive_write_failures_total": "Attempts to write the archive that failed",
    "archive_written_total": "Klines written to the archive, new or changed",
    "channels": "Channels that clients have subscribed to since the start, without those of unknown symbols",
    "client_disconnects_total": "Connections that clients closed, by their close code (1006: none)",
    "clock_ahead_seconds": "How far the gateway's steady clock is ahead of the system clock",
    "closed_klines_sent_total": "Closed klines written to clients",
    "closed_klines_total": "Closed klines received, from the feed and from the store",
    "cohorts": "Groups of clients that share every frame",
    "command_errors_total": "Commands answered with an error",
    "compared_series_total": "Series whose newest stored klines were compared with those in memory",
    "conflated_updates_total": "Channel values replaced by newer ones before the tier's flush",
    "connections": "WebSocket connections now",
    "corrected_klines_total": "Closed klines that were corrected because the store has other values",
    "delivery_lag_seconds": "Where an update's time goes, by stage",
    "disconnects_total": "Connections the gateway closed, by close code",
    "fast_clients": "Clients that asked for every update at once, and those of them that are served so now",
    "feed_age_seconds": "Time since the feed's last message; -1: no message yet",
    "feed_bytes_total": "Bytes read from Redis for the feed",
    "feed_conflated_total": "Messages replaced by a newer one in a surge, before decoding",
    "feed_ahead_seconds": "How far the feed's time is ahead of this machine's, as most of the feed says",
    "feed_errors_total": "Feed messages and stored values skipped",
    "feed_gaps_total": "Times the feed was disconnected",
    "feed_linked": "Whether the feed is connected to Redis",
    "feed_live": "Whether clients get live data",
    "feed_messages_total": "Messages taken from the feed",
    "feed_mode": "How updates are read from Redis now",
    "feed_odd_total": "Feed messages used although something about them is odd",
    "feed_reconnects_total": "Attempts to reconnect the feed",
    "feed_switches_total": "Times the feed changed its mode",
    "feed_thinned_total": "Messages of a surge that a newer one in the same read replaced",
    "flush_interval_seconds": "Time between two flushes to a client of the default tier, by the load",
    "flush_overruns_total": "Flushes that ended after the next one was due",
    "flush_seconds": "Time a flush takes",
    "freshness_seconds": "Age of the newest update, by its event time",
    "history_available": "Whether the store can be read",
    "history_circuit": "State of the circuit breaker before the store",
    "history_coalesced_total": "Requests that waited for a read that another request had started",
    "history_failures_total": "Reads of the store that failed",
    "history_hits_total": "Requests answered from the cache",
    "history_kept_bytes": "Memory of beginnings of answers that are kept for later ones, at most",
    "history_malformed_total": "Stored values that could not be used",
    "history_misses_total": "Reads started because the cache held nothing recent enough",
    "history_seconds": "Time to find klines or a ticker, by where they came from",
    "history_stale_served_total": "Requests answered with stale data because the store was unavailable",
    "http_request_seconds": "Time to answer a request over HTTP",
    "http_requests_waiting": "Requests that wait for their share of the time",
    "http_requests_total": "Requests over HTTP, by status",
    "kline_gaps_given_up_total": "Missing closed klines that the gateway has given up on",
    "kline_gaps_open": "Runs of missing closed klines that the gateway is trying to repair",
    "kline_gaps_repaired_total": "Missing closed klines that arrived later",
    "kline_gaps_total": "Closed klines found to be missing",
    "lane_live": "Whether clients get live data of a lane",
    "load_cause_level": "Load level of each cause: 0 normal, 1 busy, 2 surge, 3 overload",
    "load_level": "0 normal, 1 busy, 2 surge, 3 overload",
    "loop_seconds_total": "CPU time by cause; others: time in which the core was busy with other processes",
    "loop_lag_seconds": "How late a flush begins",
    "missed_beats_total": "Flushes that a client could not take",
    "published_updates_total": "Channel values that had changed at a flush",
    "received_bytes_total": "Bytes clients have sent over WebSockets",
    "redis_ping_seconds": "How long Redis took to answer the last ping",
    "refusals_total": "Handshakes and requests refused",
    "refused_channels_total": "Messages on channels whose symbol or interval the settings do not admit",
    "refused_connections_total": "Handshakes refused",
    "refused_keys": "Keys found by the last scan whose symbol or interval the settings do not admit",
    "replay_cpu_seconds_total": "CPU time that replays have taken",
    "replay_sessions": "Replays now",
    "replay_started_total": "Replays whose market time has begun",
    "replay_waits_total": "Times that a replay waited for its client, or for what is stored",
    "repaired_klines_total": "Closed klines that were missing and were found in the store",
    "resyncs_total": "Channels that were resynced to a client",
    "sent_bytes_total": "Bytes written to clients",
    "sessions_behind": "Clients that are catching up and get full values",
    "sessions_slowed": "Clients in a slower tier than they ask for",
    "slow_clients": "Clients that are served less often than others",
    "source_age_seconds": "Time since a source's last usable data",
    "source_failures_total": "Times a source was disconnected or could not be connected",
    "source_followed": "Whether a source is the active one",
    "source_linked": "Whether a source is connected",
    "source_messages_total": "Messages received from a source",
    "source_switches_total": "Times the active source was switched",
    "symbols": "Symbols with data",
    "symbols_stale": "Symbols without an update for market.symbol_stale_after_s",
    "unknown_streams_total": "Streams that Binance clients asked for and that are not served, by name",
    "updates_sent_total": "Updates written to clients, counted in one flush of 17",
    "workers": "Worker processes configured",
    "workers_up": "Worker processes that answer",
    "writes_total": "Writes to clients",
}
"""By name without the leading `gateway_`."""


class Reading(NamedTuple):
    """One sample; its name ends in `_total` if it is a counter."""

    name: str
    labels: Mapping[str, str]
    value: float


class Metrics(Collector):
    """The metrics of one process. `gauges`, `totals` and the others return what other parts count themselves."""

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
        histograms: Mapping[str, Histogram] | None = None,
    ) -> None:
        """`by_source`: values by metric name, then by source; a name that ends in `_total` is a counter."""
        self._counters = counters
        self._gauges = gauges
        self._totals = totals
        self._totals_by_interval = totals_by_interval
        self._by_source = by_source
        self._feed_mode = feed_mode
        self._readings = readings
        self._more_histograms = histograms or {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The families; the registry calls this for each scrape."""
        yield from _families(self._counted())
        yield from _families(self._collected())
        counters = self._counters
        yield _histograms("flush_seconds", "", {"": counters.flush})
        yield _histograms("loop_lag_seconds", "", {"": counters.lag})
        yield _histograms("delivery_lag_seconds", "stage", counters.stages)
        yield _histograms("http_request_seconds", "surface", counters.response_times)
        yield _histograms("history_seconds", "served", counters.history_times)
        for name, histogram in self._more_histograms.items():
            yield _histograms(name, "", {"": histogram})

    def _counted(self) -> Iterator[Reading]:
        counters = self._counters
        yield Reading("feed_messages_total", {}, counters.messages_in)
        yield Reading("feed_conflated_total", {}, counters.conflated)
        yield Reading("feed_gaps_total", {}, counters.feed_disconnects)
        yield Reading("published_updates_total", {}, counters.published)
        yield Reading("writes_total", {}, counters.writes)
        yield Reading("sent_bytes_total", {}, counters.bytes_out)
        yield Reading("flush_overruns_total", {}, counters.overruns)
        yield Reading("resyncs_total", {}, counters.resyncs)
        yield Reading("refused_connections_total", {}, counters.refused)
        for name, label, counts in (
            ("feed_errors_total", "reason", counters.feed_errors),
            ("feed_odd_total", "reason", counters.feed_odd),
            ("missed_beats_total", "cause", counters.missed),
            ("updates_sent_total", "dialect", counters.updates_out),
            ("closed_klines_sent_total", "dialect", counters.closed_out),
            ("accepted_connections_total", "dialect", counters.accepted),
            ("refusals_total", "reason", counters.refusals),
            ("command_errors_total", "code", counters.command_errors),
            ("unknown_streams_total", "stream", counters.unknown_streams),
            ("disconnects_total", "code", counters.disconnects),
            ("client_disconnects_total", "code", counters.client_disconnects),
        ):
            for value, count in counts.items():
                yield Reading(name, {label: str(value)}, count)
        for (surface, status), count in counters.responses.items():
            yield Reading("http_requests_total", {"surface": surface, "code": str(status)}, count)

    def _collected(self) -> Iterator[Reading]:
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
    """One gauge in the text format, for a value that concerns more than this process."""
    return f"# HELP gateway_{name} {DESCRIPTIONS[name]}\n# TYPE gateway_{name} gauge\ngateway_{name} {value}\n"


def _families(readings: Iterable[Reading]) -> Iterable[Metric]:
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for name, labels, value in readings:
        family = families.get(name)
        if family is None:
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = families[name] = kind(f"gateway_{name}", DESCRIPTIONS[name], labels=list(labels))
        family.add_metric(list(labels.values()), value)
    return families.values()


def _histograms(name: str, label: str, histograms: Mapping[str, Histogram]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"gateway_{name}", DESCRIPTIONS[name], labels=[label] if label else [])
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    for value, histogram in histograms.items():
        buckets = list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
        family.add_metric([value] if label else [], buckets, histogram.total_s)
    return family


def label_by_worker(texts: Mapping[int, str]) -> str:
    """Combine the metrics of several processes: each family once, each sample with a `worker` label.

    `texts`: Prometheus' text format by worker number. The samples are not added up: when one process restarts its
    counters begin at zero again, and a sum that falls looks like a restart of all processes.
    `sum without (worker) (rate(...))` is right in that moment too.
    """
    families: dict[str, tuple[list[str], list[str]]] = {}
    for number, text in texts.items():
        headers: list[str] = []
        samples: list[str] = []
        for line in text.splitlines():
            if line.startswith("# "):
                _, kind, name, *_ = line.split(" ", 3)
                headers, samples = families.setdefault(name, ([], []))
                if not any(header.startswith(f"# {kind} ") for header in headers):
                    headers.append(line)
            elif line:
                samples.append(_add_worker_label(line, number))
    return "".join(f"{line}\n" for headers, samples in families.values() for line in (*headers, *samples))


def _add_worker_label(sample: str, number: int) -> str:
    # A metric's name contains neither a brace nor a space: whichever comes first ends the name.
    name, blank, rest = sample.partition(" ")
    if "{" not in name:
        return f'{name}{{worker="{number}"}}{blank}{rest}'
    name, _, rest = sample.partition("{")
    return f'{name}{{worker="{number}",{rest}'
