"""What `/metrics` is made of."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from gateway.ops.counters import Counters, Stage
from gateway.ops.metrics import MEANINGS, Metrics, Reading

HANDBOOK = Path(__file__).resolve().parents[3] / "deploy" / "METRICS.md"


def scrape(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        sample.name + "".join(f"|{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_readings_of_one_name_are_one_metric_with_its_meaning() -> None:
    readings = [Reading("slow_clients", {"cause": cause}, count) for cause, count in (("stalled", 2), ("capped", 3))]
    text = Metrics(Counters(), dict, dict, readings=lambda: readings).render().decode()
    assert text.count("# TYPE gateway_slow_clients gauge") == 1
    assert f"# HELP gateway_slow_clients {MEANINGS['slow_clients']}" in text
    assert 'gateway_slow_clients{cause="stalled"} 2.0' in text
    assert 'gateway_slow_clients{cause="capped"} 3.0' in text


def test_histograms_rise_from_bucket_to_bucket_and_have_a_sum() -> None:
    counters = Counters()
    for seconds in (0.002, 0.002, 0.3):
        counters.observe_stage(Stage.INGEST_TO_FLUSH, seconds)
    found = scrape(Metrics(counters, dict, dict))
    name = "gateway_delivery_lag_seconds"
    assert found[f"{name}_bucket|le=0.001|stage=ingest_to_flush"] == 0
    assert found[f"{name}_bucket|le=0.0025|stage=ingest_to_flush"] == 2
    assert found[f"{name}_bucket|le=+Inf|stage=ingest_to_flush"] == 3
    assert found[f"{name}_count|stage=ingest_to_flush"] == 3
    assert abs(found[f"{name}_sum|stage=ingest_to_flush"] - 0.304) < 1e-9


def test_what_only_rises_is_a_counter() -> None:
    counters = Counters()
    counters.answered("native", 200, 0.1)
    metrics = Metrics(
        counters, lambda: {"symbols": 3}, lambda: {"resyncs": 4}, by_source=lambda: {"source_linked": {"a": 1}}
    )
    text = metrics.render().decode()
    for name in ("resyncs", "http_requests", "writes"):
        assert f"# TYPE gateway_{name}_total counter" in text
    for name in ("symbols", "source_linked"):
        assert f"# TYPE gateway_{name} gauge" in text


def test_the_handbook_has_every_metric_and_no_other() -> None:
    told = set(re.findall(r"^\| `gateway_(\w+)", HANDBOOK.read_text(), re.MULTILINE))
    assert told == set(MEANINGS)
