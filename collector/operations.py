"""What operators and orchestrators ask a collector: is it alive, is it ready, what does it measure.

`/healthz`: the process answers. `/readyz`: it writes what the exchange says; otherwise 503 with the reasons. A standby
is ready too: it is what takes over. `/v1/status`: the same with figures. `/metrics`: for Prometheus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric
    from starlette.requests import Request

    from collector.collection import Collection

SILENT_S = 15.0
"""An exchange of which no event has come for so long is not well, whatever its connections say."""

_CONTENT = "text/plain; version=0.0.4; charset=utf-8"


def reasons(collection: Collection) -> list[str]:
    """Why the collector is not ready; empty when it is."""
    found = []
    if not collection.writer.connected.is_set() and not collection.writer.standby:
        found.append("redis")
    status = collection.exchange.status()
    if not status.connected or status.connected < status.connections:
        found.append("exchange")
    elif collection.event_age_s > SILENT_S:
        found.append("silent")
    if not collection.stored.is_set() and not collection.writer.standby:
        found.append("loading")
    return found


def status(collection: Collection) -> dict[str, Any]:
    """The state in figures."""
    exchange, writer, filler = collection.exchange.status(), collection.writer, collection.filler
    why = reasons(collection)
    return {
        "ready": not why,
        "reasons": why,
        "exchange": {
            "name": collection.exchange.venue.name,
            "title": collection.exchange.venue.title,
            "lacks": list(collection.exchange.venue.lacks),
            "connections": exchange.connections,
            "connected": exchange.connected,
            "lost": exchange.lost,
            "refused": dict(exchange.refused),
            "weight_used": exchange.weight_used,
            "event_age_s": round(collection.event_age_s, 3),
            "error": filler.error,
        },
        "redis": {
            "connected": writer.connected.is_set(),
            "commands": writer.counts.commands,
            "bytes": writer.counts.sent_bytes,
            "failures": writer.counts.failures,
            "waiting_closed": writer.waiting_closed,
        },
        "symbols": len(collection.symbols),
        "series_missing": filler.missing,
        "events": writer.counts.events,
        "closed": writer.counts.closed,
    }


class CollectorMetrics(Collector):
    """Read when Prometheus scrapes."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def collect(self) -> Iterator[Metric]:
        """All metrics of one collection."""
        collection = self._collection
        writer, exchange, filler = collection.writer, collection.exchange.status(), collection.filler
        gauges = {
            "ready": ("Whether the collector writes what the exchange says", not reasons(collection)),
            "redis_connected": ("Whether Redis can be written", writer.connected.is_set()),
            "closed_klines_waiting": ("Closed klines that are not written yet", writer.waiting_closed),
            "exchange_connections": ("Connections to the exchange that there should be", exchange.connections),
            "exchange_connected": ("Connections to the exchange that deliver", exchange.connected),
            "exchange_weight_used": ("Weight of questions in the running minute", exchange.weight_used),
            "event_age_seconds": ("Time since the exchange's last event", collection.event_age_s),
            "series_missing": ("Series of which klines are missing", filler.missing),
            "symbols": ("Pairs that are collected", len(collection.symbols)),
        }
        counts = {
            "redis_commands": ("Commands sent to Redis, as hosted Redis bills them", writer.counts.commands),
            "redis_bytes": ("Bytes of keys and values sent to Redis", writer.counts.sent_bytes),
            "redis_failures": ("Writes that failed", writer.counts.failures),
            "events": ("Events written", writer.counts.events),
            "closed_klines": ("Closed klines written", writer.counts.closed),
            "gap_requests": ("Requests of gateways for missing klines", collection.requests.answered),
            "gap_requests_found": ("Klines that were missing in Redis and found", collection.requests.found),
            "gap_requests_refused": ("Requests that make no sense", collection.requests.refused.total()),
            "exchange_lost": ("Connections to the exchange that ended by themselves", exchange.lost),
            "exchange_questions": ("Questions to the exchange for klines", filler.asked),
            "exchange_question_failures": ("Questions that the exchange refused or left unanswered", filler.failures),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"collector_{name}", text, float(value))
        for name, (text, value) in counts.items():
            yield CounterMetricFamily(f"collector_{name}", text, float(value))
        refused = CounterMetricFamily(
            "collector_exchange_refused", "Messages of the exchange that could not be used", labels=["reason"]
        )
        for reason, count in exchange.refused.items():
            refused.add_metric([reason], count)
        yield refused


def routes(collection: Collection) -> list[Route]:
    """The routes of a collector's operations address."""
    registry = CollectorRegistry()
    registry.register(CollectorMetrics(collection))
    ProcessCollector(registry=registry)

    async def healthz(_request: Request) -> Response:
        return _json({"alive": True})

    async def readyz(_request: Request) -> Response:
        why = reasons(collection)
        return _json({"ready": not why, "reasons": why}, 503 if why else 200)

    async def state(_request: Request) -> Response:
        return _json(status(collection))

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": _CONTENT})

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/v1/status", state),
        Route("/metrics", metrics),
    ]


def _json(body: dict[str, Any], code: int = 200) -> Response:
    return Response(orjson.dumps(body), code, media_type="application/json")
