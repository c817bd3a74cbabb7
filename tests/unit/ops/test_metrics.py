"""The text of `/metrics`, of one process and of several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from gateway.ops.counters import Counters, Histogram, Stage
from gateway.ops.metrics import DESCRIPTIONS, Metrics, Reading, label_by_worker

if TYPE_CHECKING:
    from collections.abc import Mapping

HANDBOOK = Path(__file__).resolve().parents[3] / "deploy" / "METRICS.md"


def scrape(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        sample.name + "".join(f"|{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_readings_of_one_name_are_one_metric_with_its_description() -> None:
    readings = [Reading("slow_clients", {"cause": cause}, count) for cause, count in (("stalled", 2), ("capped", 3))]
    text = Metrics(Counters(), dict, dict, readings=lambda: readings).render().decode()
    assert text.count("# TYPE gateway_slow_clients gauge") == 1
    assert f"# HELP gateway_slow_clients {DESCRIPTIONS['slow_clients']}" in text
    assert 'gateway_slow_clients{cause="stalled"} 2.0' in text
    assert 'gateway_slow_clients{cause="capped"} 3.0' in text


def test_histogram_buckets_are_cumulative_and_have_a_sum() -> None:
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


def test_a_name_that_ends_in_total_is_a_counter() -> None:
    counters = Counters()
    counters.count_response("native", 200, 0.1)
    metrics = Metrics(
        counters, lambda: {"symbols": 3}, lambda: {"resyncs": 4}, by_source=lambda: {"source_linked": {"a": 1}}
    )
    text = metrics.render().decode()
    for name in ("resyncs", "http_requests", "writes"):
        assert f"# TYPE gateway_{name}_total counter" in text
    for name in ("symbols", "source_linked"):
        assert f"# TYPE gateway_{name} gauge" in text


def test_the_handbook_has_every_metric_and_no_other() -> None:
    documented = set(re.findall(r"^\| `gateway_(\w+)", HANDBOOK.read_text(), re.MULTILINE))
    assert documented == set(DESCRIPTIONS)


ONE = """\
# HELP writes_total Writes { to } clients
# TYPE writes_total counter
writes_total 3.0
# HELP closes_total Ends
# TYPE closes_total counter
closes_total{code="1012",why="a \\"b\\" {c} d"} 2.0
# HELP lag_seconds Lag
# TYPE lag_seconds histogram
lag_seconds_bucket{le="+Inf"} 4.0
lag_seconds_count 4.0
lag_seconds_sum 0.5
"""
TWO = """\
# HELP writes_total Writes { to } clients
# TYPE writes_total counter
writes_total 5.0
# HELP only_here One has it alone
# TYPE only_here gauge
only_here 1.0
"""


def samples_by_worker(text: str) -> Mapping[tuple[str, str], Mapping[str, float]]:
    """As Prometheus reads it: samples by name and worker, then by what else tells them apart."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            key = (sample.name, labels.pop("worker", ""))
            found.setdefault(key, {})[str(sorted(labels.items()))] = sample.value
    return found


def test_each_sample_gets_a_worker_label_and_keeps_its_own() -> None:
    found = samples_by_worker(label_by_worker({1: ONE, 2: TWO}))
    assert found["writes_total", "1"] == {"[]": 3.0}
    assert found["writes_total", "2"] == {"[]": 5.0}
    assert found["closes_total", "1"] == {"""[('code', '1012'), ('why', 'a "b" {c} d')]""": 2.0}
    assert found["lag_seconds_bucket", "1"] == {"[('le', '+Inf')]": 4.0}
    assert found["only_here", "2"] == {"[]": 1.0}


def test_a_family_appears_once_with_the_samples_of_all_workers() -> None:
    lines = label_by_worker({1: ONE, 2: TWO}).splitlines()
    headers = [line for line in lines if line.startswith("#")]
    assert len(headers) == len(set(headers)) == 8
    index = lines.index('writes_total{worker="1"} 3.0')
    assert lines[index + 1] == 'writes_total{worker="2"} 5.0'


def test_without_workers_or_samples_the_text_is_empty() -> None:
    assert label_by_worker({}) == ""
    assert label_by_worker({1: "\n"}) == ""


def test_histograms_of_other_parts_are_shown() -> None:
    times = Histogram()
    times.observe(0.001)
    text = Metrics(Counters(), dict, dict, histograms={"archive_read_seconds": times}).render().decode()
    assert "gateway_archive_read_seconds_count 1.0" in text
